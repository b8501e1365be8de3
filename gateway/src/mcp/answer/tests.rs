use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::BodyExt as _;
use serde_json::json;

use super::*;
use crate::mcp::tools::Progress;

fn id() -> Id {
    Id::read(&json!("a")).unwrap()
}

const BRISK: Pace =
    Pace { soon: Duration::from_millis(200), sign_of_life: Duration::from_millis(400) };

fn result(text: &str) -> Map<String, Value> {
    Map::from_iter([("said".to_owned(), json!(text))])
}

async fn text(response: Response) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn content_type(response: &Response) -> &str {
    response.headers()[CONTENT_TYPE].to_str().unwrap()
}

#[tokio::test]
async fn what_is_there_soon_is_json() {
    let (_progress, told) = Progress::of(None);
    let call = async {
        sleep(Duration::from_millis(20)).await;
        Ok(result("soon"))
    };
    let response = at_pace(BRISK, call, told, (Era::Modern, &id())).await;
    assert_eq!(content_type(&response), "application/json");
    assert_eq!(text(response).await, r#"{"jsonrpc":"2.0","id":"a","result":{"said":"soon"}}"#);
}

#[tokio::test]
async fn what_takes_longer_is_a_stream_that_shows_life() {
    let (_progress, told) = Progress::of(None);
    let call = async {
        sleep(Duration::from_millis(1_200)).await;
        Err::<Map<String, Value>, _>(RpcError::ended("too late"))
    };
    let response = at_pace(BRISK, call, told, (Era::Modern, &id())).await;
    assert_eq!((response.status(), content_type(&response)), (StatusCode::OK, "text/event-stream"));
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let error = r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32000,"message":"too late"}}"#;
    assert_eq!(text(response).await, format!(":\n\n:\n\nevent: message\ndata: {error}\n\n"));
}

#[tokio::test]
async fn progress_comes_before_the_answer_and_only_forward() {
    let token = json!(7);
    let (progress, told) = Progress::of(Some(&token));
    let call = async move {
        progress.tell(0.0, "begins");
        progress.tell(0.0, "stands");
        progress.tell(2.5, "goes on");
        progress.tell(1.0, "goes back");
        Ok(result("done"))
    };
    let response = at_pace(BRISK, call, told, (Era::Legacy, &id())).await;
    assert_eq!(content_type(&response), "text/event-stream");
    let told = text(response).await;
    let events: Vec<&str> = told.split("\n\n").filter(|event| !event.is_empty()).collect();
    let said = |progress: &str, message: &str| {
        format!(
            "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":\
             {{\"progressToken\":7,\"progress\":{progress},\"message\":\"{message}\"}}}}"
        )
    };
    let answered = r#"{"jsonrpc":"2.0","id":"a","result":{"said":"done"}}"#;
    let answered = format!("event: message\ndata: {answered}");
    assert_eq!(events, [said("0.0", "begins"), said("2.5", "goes on"), answered]);
}

#[tokio::test]
async fn nobody_is_told_what_they_did_not_ask_for_and_nobody_waits_for_a_reader() {
    let (silent, mut told) = Progress::of(None);
    silent.tell(1.0, "x");
    drop(silent);
    assert!(told.recv().await.is_none());
    let token = json!("t");
    let (progress, mut told) = Progress::of(Some(&token));
    for step in 1..1000 {
        progress.tell(f64::from(step), "x");
    }
    drop(progress);
    let mut kept = 0;
    while told.recv().await.is_some() {
        kept += 1;
    }
    assert!((1..100).contains(&kept), "{kept} wait");
}

#[tokio::test]
async fn a_dropped_answer_drops_its_call() {
    struct Gone(Arc<AtomicBool>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    for after in [Duration::from_millis(50), Duration::from_millis(900)] {
        let gone = Arc::new(AtomicBool::new(false));
        let held = Gone(Arc::clone(&gone));
        let (_progress, told) = Progress::of(None);
        let call = async move {
            let _held = held;
            std::future::pending::<Result<Map<String, Value>, RpcError>>().await
        };
        let id = id();
        let client = async { text(at_pace(BRISK, call, told, (Era::Modern, &id)).await).await };
        assert!(tokio::time::timeout(after, client).await.is_err());
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !gone.load(Ordering::SeqCst) {
            assert!(tokio::time::Instant::now() < deadline, "after {after:?}");
            sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn a_tool_that_panics_is_an_error_and_no_silence() {
    let (_progress, told) = Progress::of(None);
    let call = async { if true { panic!("on purpose") } else { Ok(result("never")) } };
    let response = at_pace(BRISK, call, told, (Era::Modern, &id())).await;
    assert!(text(response).await.contains("-32603"));
}
