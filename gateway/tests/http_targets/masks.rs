//! What must not be seen is not, and what nothing can look into does not pass.

use tallyport_schemas::{FindingAction, ResponseStatus};

use crate::upstream::CARD;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_is_not_recorded_of_what_is_written() {
    let routes = "[[routes]]\nname = 'order'\nmethod = 'POST'\npath = '/orders'\nbody = ['/amount', '/card']\n\
                  masks = [{ at = ['/card'], mask = 'partial:last4' }]\n";
    let world = World::told("", routes).await;
    let mut client = world.client().await;
    let body = format!("{{\"amount\":10,\"card\":\"{CARD}\"}}");
    assert_eq!(client.post("/orders", &body).await.0, 200);
    assert_eq!(world.upstream.sent()[0].body, body, "the service gets it as it is");
    let command = world.commands().await.remove(0);
    let statement = command.statement.unwrap();
    let content = command.content.unwrap().replay().unwrap();
    let content = String::from_utf8_lossy(&content).into_owned();
    for told in [&statement, &content] {
        assert!(!told.contains(CARD) && told.contains("1111\""), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn detectors_hide_what_no_rule_names() {
    let world = World::start().await;
    let mut client = world.client().await;
    for path in ["/notes/card", "/notes/plain"] {
        let (status, body) = client.get(path).await;
        assert_eq!(status, 200, "{body}");
        assert!(!body.contains(CARD), "{body}");
        let summary = world.summaries().await.pop().unwrap();
        assert_eq!(summary.masked_values, 1, "{path}");
        assert_eq!(summary.findings[0].detector, "payment_card");
        assert_eq!(summary.findings[0].action, FindingAction::Mask);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_a_key_is_kept_back() {
    let world = World::start().await;
    let mut client = world.client().await;
    let (status, body) = client.get("/notes/key").await;
    assert_eq!(status, 502, "{body}");
    assert!(body.contains("answer_withheld") && !body.contains("AKIA"), "{body}");
    let summary = world.summaries().await.remove(0);
    assert_eq!(summary.status, ResponseStatus::Error);
    assert_eq!(summary.findings[0].action, FindingAction::Deny);
    let recorded = String::from_utf8(summary.content.unwrap().replay().unwrap().to_vec()).unwrap();
    assert!(!recorded.contains("AKIA"), "{recorded}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_its_head_denies_does_not_pass() {
    let world = World::saying("# DENIES_ITS_BODY").await;
    let (status, body) = world.client().await.get("/customers/7").await;
    assert_eq!(status, 502, "{body}");
    assert!(body.contains("answer_withheld") && !body.contains("4111"), "{body}");
    let summary = world.summaries().await.remove(0);
    assert_eq!(summary.status, ResponseStatus::Error);
    let all = serde_json::to_string(&world.events().await).unwrap();
    assert!(!all.contains("4111"), "nor is it on record");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_can_look_into_does_not_pass() {
    let world = World::start().await;
    let mut client = world.client().await;
    for (path, why) in [
        ("/notes/picture", "image/png"),
        ("/notes/zipped", "gzip"),
        ("/notes/packed", "gzip"),
        ("/notes/wide", "utf-16le"),
        ("/notes/broken", "not what its type says"),
    ] {
        let (status, body) = client.get(path).await;
        assert_eq!(status, 502, "{path} {body}");
        assert!(body.contains("answer_withheld") && body.contains(why), "{path} {body}");
    }
    // Where the configuration lets it.
    let (status, body) = client.get("/large").await;
    assert_eq!((status, body.len()), (200, 64 * 64 * 1024));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_stream_of_documents_is_looked_into() {
    let world = World::start().await;
    let mut client = world.client().await;
    let (status, body) = client.get("/notes/lines").await;
    assert_eq!(
        (status, body.as_str()),
        (200, "{\"card\":\"[redacted]\"}\n{\"card\":\"[redacted]\"}\n")
    );
    assert_eq!(world.summaries().await[0].masked_values, 2);
}
