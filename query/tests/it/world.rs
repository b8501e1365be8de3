//! A query service with everything around it: an issuer, a policy, a log, and a stand-in for the recorder.

use std::sync::Arc;
use std::time::Duration;

use deltalake::kernel::Transaction;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::operations::write::SchemaMode;
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableBuilder};
use serde_json::{Value, json};
use tallyport_access::dev_issuer::{DevClient, DevIssuer};
use tallyport_access::policy::PolicyStore;
use tallyport_access::{Authenticator, Credential, IntrospectionConfig, Secret};
use tallyport_eventlog::backends::memory::MemoryLog;
use tallyport_eventlog::faults::FaultLog;
use tallyport_eventlog::{Appender, AppenderOptions, Log, Position, Topic};
use tallyport_query::{LakeConfig, Limits, ListenConfig, QueryConfig, QueryService, RunningQuery};
use tallyport_schemas::arrow::EventBatchBuilder;
use tallyport_schemas::{Draft, PrincipalKind, ProducerId, lake, ocsf};
use tempfile::TempDir;
use url::Url;

/// Auditors see everything; curators see it raw too, archivists three rows of that at most; apprentices see commands and
/// nothing else, ten rows at most.
const POLICY: &str = r#"
@id("auditors-ask") permit (principal in Tallyport::Group::"auditors",
  action == Tallyport::Action::"audit:query", resource);
@id("curators-ask") permit (principal in Tallyport::Group::"curators",
  action in [Tallyport::Action::"audit:query", Tallyport::Action::"audit:raw"], resource);
@id("archivists-ask") permit (principal in Tallyport::Group::"archivists",
  action == Tallyport::Action::"audit:query", resource);
@id("archivists-read") @row_limit("3") permit (principal in Tallyport::Group::"archivists",
  action == Tallyport::Action::"audit:raw", resource);
@id("apprentices-ask") @row_limit("10") permit (principal in Tallyport::Group::"apprentices",
  action == Tallyport::Action::"audit:query", resource == Tallyport::AuditView::"commands");
"#;

pub struct World {
    pub issuer: DevIssuer,
    pub log: Arc<FaultLog>,
    /// Writes what gateways would write.
    pub appender: Appender,
    pub running: RunningQuery,
    pub http: reqwest::Client,
    pub lake: LakeConfig,
    _dir: TempDir,
}

pub struct Setup {
    pub partitions: u32,
    pub limits: Limits,
    pub pg_tls: Option<Arc<rustls::ServerConfig>>,
    /// A directory of its own where there is none.
    pub lake: Option<LakeConfig>,
    /// Where HTTP is answered; an address of its own where there is none.
    pub listener: Option<Arc<std::net::TcpListener>>,
    /// Whether the issuer is asked if a token still counts, which holds for a second.
    pub introspected: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            partitions: 1,
            limits: Limits::default(),
            pg_tls: None,
            lake: None,
            listener: None,
            introspected: false,
        }
    }
}

pub fn clients() -> Vec<DevClient> {
    let human = |id: &str, group: &str| DevClient {
        kind: PrincipalKind::Human,
        groups: vec![group.to_owned()],
        ..DevClient::new(id)
    };
    vec![
        human("auditor", "auditors"),
        human("curator", "curators"),
        human("archivist", "archivists"),
        human("apprentice", "apprentices"),
        DevClient::new("nobody"),
    ]
}

impl World {
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = || LakeConfig::new(Url::from_directory_path(dir.path().join("lake")).unwrap());
        let lake = setup.lake.unwrap_or_else(own);
        let inner: Arc<dyn Log> = Arc::new(MemoryLog::with_partitions(setup.partitions));
        let log = Arc::new(FaultLog::new(inner));
        let issuer = DevIssuer::start("127.0.0.1:0".parse().unwrap(), clients()).await.unwrap();
        let appender = appender(&log, "gw-1").await;
        let mut trusted = issuer.issuer_config();
        if setup.introspected {
            let asker = &issuer.clients()[0];
            let secret = Secret::new(asker.secret.expose().to_owned());
            trusted.introspection = Some(IntrospectionConfig {
                url: issuer.introspection_url(),
                client_id: asker.id.clone(),
                client_secret: Credential::Value(secret),
                cache_seconds: 1,
            });
        }
        let authenticator = Authenticator::new(vec![trusted]).unwrap();
        let policies = PolicyStore::from_text(POLICY, "test").unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let config = QueryConfig {
            lake: lake.clone(),
            http: Some(ListenConfig { address: any, tls: None, listener: setup.listener }),
            pgwire: Some(ListenConfig { address: any, tls: setup.pg_tls, listener: None }),
            limits: setup.limits,
        };
        let own = appender_named(&log, "query-1").await;
        let shared: Arc<dyn Log> = Arc::clone(&log) as _;
        let running =
            QueryService::start(config, shared, authenticator, policies, own).await.unwrap();
        let http = reqwest::Client::new();
        Self { issuer, log, appender, running, http, lake, _dir: dir }
    }

    /// A token of a client, as any client would get it.
    pub async fn token(&self, client: &str) -> String {
        self.token_for(client, 600).await
    }

    pub async fn token_for(&self, client: &str, ttl: u64) -> String {
        let known = self.issuer.clients().iter().find(|known| known.id == client).unwrap();
        let ttl = ttl.to_string();
        let form = [("grant_type", "client_credentials"), ("ttl", ttl.as_str())];
        let response = self
            .http
            .post(&self.issuer.token_url)
            .basic_auth(client, Some(known.secret.expose()))
            .form(&form)
            .send()
            .await
            .unwrap();
        let answer: Value = response.json().await.unwrap();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.http_addr.unwrap())
    }

    pub async fn post(&self, client: &str, path: &str, body: &Value) -> (u16, Value) {
        let token = self.token(client).await;
        let request = self.http.post(self.url(path)).bearer_auth(token).json(body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    /// The answer to `sql`, whatever it is.
    pub async fn try_sql(&self, client: &str, sql: &str) -> (u16, Value) {
        self.post(client, "/v1/sql", &json!({ "sql": sql })).await
    }

    /// The rows of an auditor's question.
    pub async fn rows(&self, sql: &str) -> Vec<Value> {
        let (status, answer) = self.try_sql("auditor", sql).await;
        assert_eq!(status, 200, "{sql}: {answer}");
        assert!(answer.get("error").is_none(), "{sql}: {answer}");
        answer["rows"].as_array().unwrap().clone()
    }

    /// The one value of an auditor's question.
    pub async fn value(&self, sql: &str) -> Value {
        let rows = self.rows(sql).await;
        assert_eq!(rows.len(), 1, "{sql}");
        rows[0][0].clone()
    }

    /// Puts events on the log, as a gateway does.
    pub async fn commit(&self, draft: Draft) {
        let _durable = self.appender.commit(draft).await.unwrap();
    }

    pub async fn latest(&self, partition: u32) -> u64 {
        self.log.latest(Topic::Audit, partition).await.unwrap()
    }

    /// Stands in for the recorder: what is on the log before `upto` and not in the lake yet goes there in one commit,
    /// with its position.
    pub async fn record(&self, partition: u32, upto: u64) {
        record(self.log.as_ref(), &self.lake, partition, upto).await;
    }

    /// Everything that is on the log goes into the lake.
    pub async fn record_all(&self) {
        for partition in 0..self.log.partitions(Topic::Audit) {
            self.record(partition, self.latest(partition).await).await;
        }
    }
}

pub async fn appender(log: &Arc<FaultLog>, name: &str) -> Appender {
    appender_named(log, name).await
}

async fn appender_named(log: &Arc<FaultLog>, name: &str) -> Appender {
    let options =
        AppenderOptions { max_wait: Duration::from_secs(3), ..AppenderOptions::default() };
    let log: Arc<dyn Log> = Arc::clone(log) as _;
    Appender::start(log, ProducerId::parse(name).unwrap(), "test", options).await.unwrap()
}

async fn open(lake: &LakeConfig) -> DeltaTable {
    let mut url = lake.url.clone();
    url.set_path(&format!("{}/{}/", url.path().trim_end_matches('/'), lake::EVENTS_TABLE));
    if let Ok(path) = url.to_file_path() {
        std::fs::create_dir_all(path).unwrap();
    }
    let builder = DeltaTableBuilder::from_url(url).unwrap();
    let mut table = builder.with_storage_options(lake.storage_options.clone()).build().unwrap();
    if table.verify_deltatable_existence().await.unwrap() {
        table.load().await.unwrap();
    }
    table
}

pub async fn record(log: &dyn Log, lake: &LakeConfig, partition: u32, upto: u64) {
    record_without(log, lake, partition, upto, &[], Merge::No).await;
}

/// Whether columns that the table lacks are added to it.
#[derive(Clone, Copy, PartialEq)]
pub enum Merge {
    No,
    Yes,
}

/// As a build without these columns does, or as one does that adds what is missing.
pub async fn record_without(
    log: &dyn Log,
    lake: &LakeConfig,
    partition: u32,
    upto: u64,
    lacking: &[&str],
    merge: Merge,
) {
    let table = open(lake).await;
    let app = lake::app_id(partition);
    let mut from = 0;
    if let Ok(state) = table.snapshot() {
        let store = table.log_store();
        let version = state.transaction_version(store.as_ref(), &app).await.unwrap();
        from = version.map_or(0, |version| u64::try_from(version).unwrap());
    }
    let mut builder = EventBatchBuilder::new();
    while from < upto {
        let position = Position { partition, offset: from };
        let entries =
            log.read(Topic::Audit, position, 1 << 20, Duration::from_secs(1)).await.unwrap();
        for entry in entries.iter().take_while(|entry| entry.position.offset < upto) {
            let offset = entry.position.offset;
            if let Ok(event) = ocsf::decode(&entry.value) {
                builder.push(&event, &entry.value, partition, offset, entry.appended_at_ms);
            }
            from = offset + 1;
        }
    }
    if builder.is_empty() {
        return;
    }
    let position = Transaction::new(&app, i64::try_from(upto).unwrap());
    let batch = builder.finish().unwrap();
    let schema = batch.schema();
    let has = |at: &usize| !lacking.contains(&schema.field(*at).name().as_str());
    let columns: Vec<_> = (0..batch.num_columns()).filter(has).collect();
    let mut write = table.write([batch.project(&columns).unwrap()]);
    if merge == Merge::Yes {
        write = write.with_schema_mode(SchemaMode::Merge);
    }
    let _written = write
        .with_save_mode(SaveMode::Append)
        .with_partition_columns(["ingest_date"])
        .with_commit_properties(CommitProperties::default().with_application_transaction(position))
        .await
        .unwrap();
}

/// Makes the table say which log it is of, as the recorder does when it makes one: a commit of the metadata alone.
pub fn name_log(lake: &LakeConfig, id: &str) {
    let log = lake.url.to_file_path().unwrap().join(lake::EVENTS_TABLE).join("_delta_log");
    let mut commits: Vec<_> = std::fs::read_dir(&log)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "json"))
        .collect();
    commits.sort();
    let lines: Vec<Value> = commits
        .iter()
        .flat_map(|path| {
            std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect();
    let mut metadata =
        lines.into_iter().rfind(|line: &Value| line["metaData"].is_object()).unwrap();
    metadata["metaData"]["configuration"][lake::LOG_ID_PROPERTY] = id.into();
    std::fs::write(log.join(format!("{:020}.json", commits.len())), format!("{metadata}\n"))
        .unwrap();
}
