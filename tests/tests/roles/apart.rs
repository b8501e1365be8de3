//! Three processes, each killed in the middle of a load and started again; then the books are compared.

use std::path::Path;
use std::process::Command;

use tallyport_tests::{
    Books, Forward, Load, Role, Site, binary, eventually, keys_of, lake_on, psql, roll, said,
    setting, start_or_say,
};

use crate::together::checks;
use crate::{lake, sessions};

/// Where the lake is in the bucket.
const PREFIX: &str = "audit/lake";
/// Events of the one group that a producer has under way, at most: four agents, and who asks.
const IN_FLIGHT: u64 = 64;

/// The three processes of one file.
struct Roles<'a> {
    config: &'a Path,
    gateway: Role,
    recorder: Role,
    query: Role,
}

#[test]
fn nothing_passes_unrecorded_whichever_role_is_killed() {
    let test = "nothing_passes_unrecorded_whichever_role_is_killed";
    let rounds = setting("TALLYPORT_ROLES_ROUNDS").unwrap_or(1);
    let seed = setting("TALLYPORT_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("TALLYPORT_SEED={seed} TALLYPORT_ROLES_ROUNDS={rounds}");
    let Some(site) = Site::start(test) else { return };
    let Some(kafka) = start_or_say(test, "kafka", &[]) else { return };
    let Some(s3) = start_or_say(test, "s3", &[]) else { return };
    let log = format!("kafka://{}?partitions=3", kafka.text("bootstrap"));
    let config = site.config(
        "site.toml",
        &log,
        &lake_on(&s3, PREFIX, keys_of(&s3)),
        &["gateway", "recorder", "query"],
    );
    checks(&config);

    let mut roles = Roles::start(&config);
    let forward = site.connect();
    let mut books = Books::default();
    for round in 0..rounds {
        let moment = |kill| usize::try_from(roll(seed, 3 * round + kill, 200)).expect("few");
        roles = roles.without_recorder(&site, &forward, 3 * round, moment(0), &mut books);
        roles = roles.without_query(&site, &forward, 3 * round + 1, moment(1), &mut books);
        roles = roles.without_gateway(&forward, 3 * round + 2, moment(2), &mut books);
        books.executed(site.statement_log());
        eprintln!("round {round}: {books}");
    }
    compacts(&config);
    books.compare(&|sql| site.sql(sql), IN_FLIGHT);
    sessions::happen_and_are_told(&site, forward.port());

    drop(forward);
    roles.gateway.stop();
    roles.query.stop();
    // The last to end: it takes what is on the log by then.
    roles.recorder.stop();
    lake::has_the_whole_topic(&s3, PREFIX, &kafka);
}

/// While everything goes on.
fn compacts(config: &Path) {
    let compacted = Command::new(binary())
        .args(["lake", "compact", "--today", "--config"])
        .arg(config)
        .output()
        .expect("the binary runs; build it with make build");
    let said = said(&compacted);
    assert!(compacted.status.success(), "{said}");
    assert!(said.contains("events of all days: ") && said.contains(" files became "), "{said}");
}

impl<'a> Roles<'a> {
    fn start(config: &'a Path) -> Self {
        let start = |name| Role::start(name, config);
        Self {
            config,
            recorder: start("recorder"),
            query: start("query"),
            gateway: start("gateway"),
        }
    }

    /// The agents go on, and what they do is answered from the log.
    fn without_recorder(
        mut self,
        site: &Site,
        forward: &Forward,
        round: u64,
        moment: usize,
        books: &mut Books,
    ) -> Self {
        let load = Load::start(round, forward.port());
        load.wait_for_more(16 + moment);
        self.recorder.kill();
        load.wait_for_more(16);
        let fresh = "SELECT now() - max(time) < INTERVAL '5 seconds' AS fresh FROM commands \
                     WHERE statement LIKE 'SELECT ''mark-%'";
        assert!(
            eventually(|| site.sql(fresh).first().is_some_and(|row| row["fresh"] == true)),
            "what the lake does not have is answered from the log: {:?}",
            site.sql(fresh)
        );
        self.recorder = Role::start("recorder", self.config);
        load.wait_for_more(16);
        books.received(load.stop());
        self
    }

    /// The agents go on; who asks is told that nobody answers.
    fn without_query(
        mut self,
        site: &Site,
        forward: &Forward,
        round: u64,
        moment: usize,
        books: &mut Books,
    ) -> Self {
        let load = Load::start(round, forward.port());
        load.wait_for_more(16 + moment);
        self.query.kill();
        let unanswered = site.ask(&["sql", "SELECT count(*) AS n FROM events"]);
        assert_eq!(unanswered.status.code(), Some(1), "{}", said(&unanswered));
        assert!(said(&unanswered).contains("could not be asked"), "{}", said(&unanswered));
        load.wait_for_more(16);
        self.query = Role::start("query", self.config);
        let told = site.sql("SELECT count(*) AS n FROM commands");
        assert!(told[0]["n"].as_u64() > Some(16), "{told:?}");
        books.received(load.stop());
        self
    }

    /// The agents' connections break; the same local port serves them again once the gateway is back.
    fn without_gateway(
        mut self,
        forward: &Forward,
        round: u64,
        moment: usize,
        books: &mut Books,
    ) -> Self {
        let load = Load::start(round, forward.port());
        load.wait_for_more(16 + moment);
        self.gateway.kill();
        self.gateway = Role::start("gateway", self.config);
        // It learns at once that its connection is lost: an ordinary client's patience is enough.
        let seen = psql(forward.port(), "anyone", "postgres")
            .args(["-Atc", "SELECT 'back'"])
            .output()
            .expect("psql runs");
        assert_eq!(said(&seen).trim(), "back");
        books.received(load.broken());
        // Marks tell the loads of one round apart by their round alone.
        let load = Load::start(round + 1_000_000, forward.port());
        load.wait_for_more(16);
        books.received(load.stop());
        self
    }
}
