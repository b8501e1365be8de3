//! A gateway's side in this process appends to Kafka; recorder and query service are processes of their own. What is
//! durable is answered, by the first question after it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tallyport_eventlog::{Appender, AppenderOptions, LogUrl, open};
use tallyport_schemas::{Body, Context, Draft, Integrity, ProducerId, SessionId};
use tallyport_tests::{Role, Site, start_or_say};
use tokio::runtime::Runtime;

const EVENTS: u64 = 60;
/// Pause between two events: all of them take several commits of the recorder.
const APART: Duration = Duration::from_millis(70);

#[test]
fn an_event_of_another_process_is_answerable_within_one_second() {
    let test = "an_event_of_another_process_is_answerable_within_one_second";
    let Some(site) = Site::start(test) else { return };
    let Some(kafka) = start_or_say(test, "kafka", &[]) else { return };
    let log = format!("kafka://{}?partitions=3", kafka.text("bootstrap"));
    let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path("lake").display());
    let config = site.config("fresh.toml", &log, &lake, &["recorder", "query"]);
    let (recorder, query) = (Role::start("recorder", &config), Role::start("query", &config));
    let runtime = Runtime::new().expect("a runtime");
    let mut waits = runtime.block_on(measure(&site, &log));
    waits.sort();
    let (p50, p99) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
    eprintln!("FIGURE committed here, answered by another process: p50 {p50:?}, p99 {p99:?}");
    assert!(p50 < Duration::from_secs(1), "p50 {p50:?}");
    query.stop();
    recorder.stop();
}

/// From when a commit is acknowledged until its event is in an answer.
async fn measure(site: &Site, log: &str) -> Vec<Duration> {
    let log = open(&LogUrl::parse(log).expect("a log")).await.expect("the log opens");
    let gateway = ProducerId::parse("gateway-apart").expect("a name");
    let appender = Appender::start(log, gateway, "gateway", AppenderOptions::default())
        .await
        .expect("the appender starts");
    let (client, token, url) = (reqwest::Client::new(), site.token().await, site.sql_url());
    let mut waits = Vec::new();
    for number in 0..EVENTS {
        let draft = event(number);
        let id = draft.event_id;
        let _durable = appender.commit(draft).await.expect("it is durable");
        let committed = Instant::now();
        let sql = format!("SELECT count(*) FROM events WHERE event_id = '{id}'");
        let request = client.post(&url).bearer_auth(&token).json(&json!({ "sql": sql }));
        let answer: Value =
            request.send().await.expect("it answers").json().await.expect("an answer");
        assert_eq!(answer["rows"], json!([[1]]), "the first question sees it: {answer}");
        waits.push(committed.elapsed());
        tokio::time::sleep(APART).await;
    }
    appender.stop().await.expect("all is durable");
    waits
}

/// Of a session of its own, so that all partitions get some.
fn event(number: u64) -> Draft {
    let context = Context { session_id: Some(SessionId::new()), ..Context::default() };
    let body = Body::Integrity(Integrity::ProducerStopped { events: number });
    Draft::new(context.into(), None, body)
}
