//! The named questions over the known story. Every answer was worked out by hand; it is the same wherever the events are.

use serde_json::{Value, json};

use crate::cases::{self, Case};
use crate::story;
use crate::world::World;

pub async fn ask(world: &World, question: &str, parameters: &Value) -> Value {
    let (status, answer) = world.post("auditor", &format!("/v1/ask/{question}"), parameters).await;
    assert_eq!(status, 200, "{question} {parameters}: {answer}");
    assert!(answer.get("error").is_none(), "{question}: {answer}");
    answer
}

pub fn picked(answer: &Value, columns: &[&str]) -> Vec<Value> {
    let names: Vec<_> =
        answer["columns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    let place = |name: &&str| {
        names
            .iter()
            .position(|known| known == name)
            .unwrap_or_else(|| panic!("no {name} in {names:?}"))
    };
    let places: Vec<_> = columns.iter().map(place).collect();
    let rows = answer["rows"].as_array().unwrap().iter();
    rows.map(|row| places.iter().map(|place| row[*place].clone()).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_question_has_its_known_answer_in_the_tail_in_the_lake_and_across_both() {
    let world = World::start().await;
    for draft in story::drafts() {
        world.commit(draft).await;
    }
    let whole = world.latest(0).await;
    let cases = cases::all();
    for (place, upto) in [("in the tail", 0), ("across both", whole / 2), ("in the lake", whole)] {
        world.record(0, upto).await;
        for Case { question, parameters, columns, rows } in &cases {
            let answer = ask(&world, question, parameters).await;
            assert_eq!(&picked(&answer, columns), rows, "{question} {parameters} {place}");
        }
    }
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_the_documented_one() {
    let world = World::start().await;
    let token = world.token("nobody").await;
    let response = world.http.get(world.url("/v1/ask")).bearer_auth(token).send().await.unwrap();
    let list: Value = response.json().await.unwrap();
    let questions = list["questions"].as_array().unwrap();
    let names: Vec<_> = questions.iter().map(|q| q["name"].as_str().unwrap()).collect();
    for name in [
        "who-read-column",
        "principal-activity",
        "denied",
        "statements",
        "sessions-on-behalf-of",
        "volume-by-table",
        "first-use",
        "off-hours",
        "failed-authentications",
        "abnormal-sessions",
        "token-activity",
        "top-talkers",
    ] {
        assert!(names.contains(&name), "{name} is missing");
    }
    let cookbook = dev_services::repo_root().join("docs/audit-cookbook.md");
    let cookbook = std::fs::read_to_string(cookbook).unwrap();
    for question in questions {
        let heading = format!("\n### {}\n", question["name"].as_str().unwrap());
        let Some((_, page)) = cookbook.split_once(&heading) else {
            panic!("docs/audit-cookbook.md lacks `{heading}`");
        };
        let page = page.split_once("\n### ").map_or(page, |(own, _)| own);
        let parameters = question["parameters"].as_array().unwrap();
        let about = parameters.iter().map(|parameter| &parameter["about"]);
        for told in [&question["tells"], &question["sql"]].into_iter().chain(about) {
            let told = told.as_str().unwrap().trim();
            assert!(page.contains(told), "docs/audit-cookbook.md, {heading} lacks: {told}");
        }
    }
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_of_the_audit_names_parameters_and_what_came_of_it() {
    let world = World::start().await;
    let hostile = "a.x' OR '1'='1";
    let answer = ask(&world, "denied", &json!({"since": "2024-01-01"})).await;
    assert_eq!(answer["rows"], json!([]));
    let (status, _) =
        world.post("nobody", "/v1/ask/who-read-column", &json!({"column": hostile})).await;
    assert_eq!(status, 403);
    let (status, _) = world.post("auditor", "/v1/ask/who-read-column", &json!({})).await;
    assert_eq!(status, 400);
    let answer = ask(&world, "audit-queries", &json!({})).await;
    let rows = picked(&answer, &["principal_subject", "face", "outcome", "sql"]);
    let seen: Vec<_> =
        rows.iter().map(|row| (row[0].as_str().unwrap(), row[2].as_str().unwrap())).collect();
    assert_eq!(seen, [("auditor", "completed"), ("nobody", "denied"), ("auditor", "failed")]);
    let sql = rows[1][3].as_str().unwrap();
    assert!(sql.starts_with("-- ask who-read-column\n"), "{sql}");
    assert!(sql.ends_with(r#"-- parameters: column = "a.x' OR '1'='1", since = "30d""#), "{sql}");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_in_a_writers_sequence_are_found() {
    use tallyport_eventlog::{Log as _, Record, Topic};
    use tallyport_schemas::{
        Body, Context, Draft, GapOutcome, Integrity, Producer, ProducerId, ocsf,
    };
    let world = World::start().await;
    let put = |name: &str, seq: u64, body: Integrity| {
        let draft = Draft::new(Context::default().into(), None, Body::Integrity(body));
        let producer = Producer { id: ProducerId::parse(name).unwrap(), epoch: 7, seq };
        let value = ocsf::encode(&draft.at(producer)).into();
        Record { topic: Topic::Audit, key: bytes::Bytes::from(name.to_owned()), value }
    };
    let plain = || Integrity::ProducerStopped { events: 0 };
    let gap = Integrity::Gap {
        first_seq: 1,
        last_seq: 2,
        outcome: GapOutcome::NotPersisted,
        reason: "disk full".into(),
    };
    let batch = vec![
        put("gw-honest", 0, plain()),
        put("gw-honest", 3, gap),
        put("gw-robbed", 0, plain()),
        put("gw-robbed", 2, plain()),
        put("gw-twice", 0, plain()),
        put("gw-twice", 0, plain()),
    ];
    let _positions = world.log.append(batch).await.unwrap();
    let answer = ask(&world, "gaps", &json!({})).await;
    let rows = picked(
        &answer,
        &["producer_id", "events", "missing", "doubled", "declared_gaps", "unexplained", "reason"],
    );
    let of = |name: &str| rows.iter().find(|row| row[0] == name).unwrap().clone();
    assert_eq!(of("gw-honest"), json!(["gw-honest", 2, 2, 0, 1, 0, "disk full"]));
    assert_eq!(of("gw-robbed"), json!(["gw-robbed", 2, 1, 0, 0, 1, null]));
    assert_eq!(of("gw-twice"), json!(["gw-twice", 2, 0, 1, 0, 0, null]));
    assert_eq!(of("gw-1"), json!(["gw-1", 1, 0, 0, 0, 0, null]));
    world.running.stop().await;
}
