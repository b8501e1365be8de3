//! Who plays, with which tokens, under which policy; the same for all runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tallyport_access::Authenticator;
use tallyport_access::dev_issuer::{DevClient, DevIssuer};
use tallyport_access::policy::PolicyStore;
use tallyport_schemas::{Actor, Principal, PrincipalKind};

use super::model::Coming;

/// `open` needs no grant; `locked` is for who has one; `guest` never gets one.
const POLICY: &str = r#"
@id("open") permit (principal in Tallyport::Group::"agents", action == Tallyport::Action::"sql:connect",
  resource in Tallyport::Target::"open");
@id("one") @require_grant("1 of dba; for 1h; within 10m") permit (principal in Tallyport::Group::"ones",
  action == Tallyport::Action::"sql:connect", resource in Tallyport::Target::"locked");
@id("two") @require_grant("2 of dba; for 1h; within 10m") permit (principal in Tallyport::Group::"twos",
  action == Tallyport::Action::"sql:connect", resource in Tallyport::Target::"locked");
@id("nobody") @require_grant("nobody; for 10m") permit (principal in Tallyport::Group::"threes",
  action == Tallyport::Action::"sql:connect", resource in Tallyport::Target::"locked");
@id("inside") permit (principal in Tallyport::Group::"agents", action in [Tallyport::Action::"sql:delete",
  Tallyport::Action::"sql:select", Tallyport::Action::"sql:session", Tallyport::Action::"sql:catalog"], resource);
@id("ends") permit (principal in Tallyport::Group::"security", action in Tallyport::Action::"access:any", resource);
"#;

/// Who opens sessions. `ada` is a human for whom `two` acts, and another; `three` and `guest` are another issuer's.
pub const AGENTS: [&str; 5] = ["one", "two", "three", "ada", "guest"];
/// Who answers; one of them in vain.
pub const REVIEWERS: [&str; 4] = ["dana", "eli", "fay", "sam"];
/// Who ends access; the script revokes `sal` by their issuer alone.
pub const SECURITY: [&str; 2] = ["sal", "sam"];
/// What the token of `one` calls its agent.
pub const NAME: &str = "billing-bot";
/// Who vouches for one of those who act for `ada`.
pub const ELSEWHERE: &str = "https://agents.example";

#[derive(Clone)]
pub struct Cast {
    pub issuers: Arc<[DevIssuer; 2]>,
    pub authenticator: Authenticator,
    pub policy: PolicyStore,
    tokens: Arc<BTreeMap<&'static str, String>>,
}

fn clients() -> [Vec<DevClient>; 2] {
    let agent = |id: &str, groups: &[&str]| DevClient {
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..DevClient::new(id)
    };
    let human = |id: &str, group: &str| DevClient {
        kind: PrincipalKind::Human,
        groups: vec![group.to_owned()],
        ..DevClient::new(id)
    };
    let actor = |subject: &str, issuer: Option<&str>| Actor {
        subject: subject.to_owned(),
        issuer: issuer.map(str::to_owned),
    };
    let one = DevClient { agent: Some(NAME.to_owned()), ..agent("one", &["agents", "ones"]) };
    let ada = DevClient {
        act: vec![actor("two", None), actor("planner", Some(ELSEWHERE))],
        kind: PrincipalKind::Human,
        ..agent("ada", &["agents", "ones", "dba"])
    };
    let mut ours = vec![one, agent("two", &["agents", "twos"]), ada];
    ours.extend(["dana", "eli", "fay"].map(|id| human(id, "dba")));
    ours.extend(SECURITY.map(|id| human(id, "security")));
    [ours, vec![agent("three", &["agents", "threes"]), agent("guest", &["guests"])]]
}

async fn token(issuer: &DevIssuer, client: &DevClient) -> String {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &client.id),
        ("client_secret", client.secret.expose()),
        ("ttl", "7200"),
    ];
    let answer = reqwest::Client::new().post(&issuer.token_url).form(&form).send().await;
    let answer: Value = answer.unwrap().json().await.unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

impl Cast {
    pub async fn new() -> Self {
        let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let [ours, theirs] = clients();
        let issuers = [
            DevIssuer::start(local, ours).await.unwrap(),
            DevIssuer::start(local, theirs).await.unwrap(),
        ];
        let configs = issuers.iter().map(DevIssuer::issuer_config).collect();
        let authenticator = Authenticator::new(configs).unwrap();
        let mut tokens = BTreeMap::new();
        for id in AGENTS.into_iter().chain(REVIEWERS).chain(["sal"]) {
            for issuer in &issuers {
                if let Some(client) = issuer.clients().iter().find(|client| client.id == id) {
                    tokens.insert(id, token(issuer, client).await);
                }
            }
        }
        let policy = PolicyStore::from_text(POLICY, "test.cedar").unwrap();
        Self { issuers: Arc::new(issuers), authenticator, policy, tokens: Arc::new(tokens) }
    }

    pub fn token(&self, who: &str) -> String {
        self.tokens[who].clone()
    }

    fn known(&self, who: &str) -> (&DevIssuer, &DevClient) {
        let mut all =
            self.issuers.iter().flat_map(|it| it.clients().iter().map(move |one| (it, one)));
        all.find(|(_, client)| client.id == who).unwrap()
    }

    /// Who they are to the oracle.
    pub fn coming(&self, who: &str) -> Coming {
        let (issuer, client) = self.known(who);
        Coming {
            issuer: issuer.issuer_url.clone(),
            subject: client.id.clone(),
            is_human: client.kind == PrincipalKind::Human,
            name: client.agent.clone(),
            actors: client.act.clone(),
            session: None,
            grant: None,
        }
    }

    /// Who they are to a gateway.
    pub fn principal(&self, who: &str) -> Principal {
        let (issuer, client) = self.known(who);
        Principal {
            issuer: issuer.issuer_url.clone(),
            subject: client.id.clone(),
            display_name: client.display_name.clone(),
            kind: client.kind,
            groups: client.groups.clone(),
            owner: None,
        }
    }
}
