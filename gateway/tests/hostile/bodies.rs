//! Bodies of callers that nobody knows yet: many at once, none of them whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use parking_lot::Mutex;
use tallyport_gateway::webhooks::RawWebhook;

use crate::client;
use crate::harness::{Options, Webhooks};
use crate::stage::{GROWTH, Memory, Stage, stage, times, until, within};

/// As the documentation has it: bodies that are read of one stranger at a time (docs/reference/front.md).
const OF_A_STRANGER: usize = 16;
const SENT: usize = 3 * OF_A_STRANGER;
const ANSWERS: &str = "https://localhost/v1/webhooks/chat/answers";

/// One that takes answers, so that there is a route for strangers.
fn webhook() -> Webhooks {
    Box::new(|issuer| {
        let text = format!(
            "name = 'chat'\nurl = 'http://127.0.0.1:9/in'\nsecret = {{ value = 'whsec_{}' }}\n\
             [answers]\nsecret = {{ value = 'whsec_{}' }}\n[[answers.reviewers]]\nid = '@dana'\n\
             issuer = '{issuer}'\nsubject = 'dana'\ndisplay_name = 'Dana'\ngroups = ['dba']\n",
            "b25lIGtleSBvZiBhbGwgdGhlIG1lc3NhZ2Vz", "b3RoZXIga2V5IG9mIGFsbCB0aGUgYW5zd2Vycw=="
        );
        let raw: RawWebhook = toml::from_str(&text).unwrap();
        let page = "https://gateway.example".parse().unwrap();
        RawWebhook::check_all(&[raw], Path::new("/"), &[issuer], Some(&page)).unwrap()
    })
}

async fn http2(stage: &Stage) -> SendRequest<Bytes> {
    let stream = client::tls(stage, b"h2").await;
    let (requests, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    within(requests.ready()).await.unwrap()
}

/// Begins so many answers, and ends none.
async fn begin(requests: &SendRequest<Bytes>) -> Vec<(ResponseFuture, SendStream<Bytes>)> {
    let mut begun = Vec::new();
    for _ in 0..SENT {
        let request = Request::post(ANSWERS).body(()).unwrap();
        let mut requests = within(requests.clone().ready()).await.unwrap();
        let (answer, mut body) = requests.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"{"), false).unwrap();
        begun.push((answer, body));
    }
    begun
}

/// The answers that came, by place.
type Answers = Arc<Mutex<BTreeMap<usize, u16>>>;

#[tokio::test(flavor = "multi_thread")]
async fn of_a_stranger_few_bodies_are_read_at_once() {
    let stage = stage!(Options { webhooks: Some(webhook()), ..Options::default() }, |_| ());
    let memory = Memory::now();
    stage
        .while_served(async {
            let requests = http2(&stage).await;
            let answers = Answers::default();
            let mut bodies = Vec::new();
            for (place, (answer, body)) in begin(&requests).await.into_iter().enumerate() {
                bodies.push(body);
                let answers = answers.clone();
                tokio::spawn(async move {
                    let status = answer.await.unwrap().status().as_u16();
                    answers.lock().insert(place, status);
                });
            }
            let refused = SENT - OF_A_STRANGER;
            until("some are refused", || answers.lock().len() >= refused).await;
            let now: Vec<u16> = answers.lock().values().copied().collect();
            assert_eq!(now, vec![503; refused]);
            // One that is read is whole, and nobody's answer: there is room for another.
            let held = (0..SENT).find(|place| !answers.lock().contains_key(place)).unwrap();
            bodies[held].send_data(Bytes::from_static(b"}"), true).unwrap();
            until("it is answered", || answers.lock().contains_key(&held)).await;
            let mut requests = within(requests.ready()).await.unwrap();
            let another = Request::post(ANSWERS).body(()).unwrap();
            let another = within(requests.send_request(another, true).unwrap().0).await.unwrap();
            assert_eq!((answers.lock()[&held], another.status().as_u16()), (401, 401));
        })
        .await;
    memory.assert_growth_below(GROWTH);
    let counted: u64 = stage.turned_away("too_many_bodies").await.iter().map(times).sum();
    assert!(counted >= (SENT - OF_A_STRANGER) as u64, "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_somebody_was_known_has_room_for_all() {
    let stage = stage!(Options { webhooks: Some(webhook()), ..Options::default() }, |_| ());
    let mut requests = http2(&stage).await;
    let bearer = format!("Bearer {}", stage.token());
    let who = Request::get("https://localhost/v1/whoami").header("authorization", bearer);
    let (answer, _) = requests.send_request(who.body(()).unwrap(), true).unwrap();
    assert_eq!(within(answer).await.unwrap().status(), 200);
    let requests = within(requests.ready()).await.unwrap();
    let begun = begin(&requests).await;
    for (answer, mut body) in begun {
        body.send_data(Bytes::from_static(b"}"), true).unwrap();
        assert_eq!(within(answer).await.unwrap().status(), 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_over_its_bound_is_refused_before_it_is_read() {
    let stage = stage!(Options { webhooks: Some(webhook()), ..Options::default() }, |_| ());
    let mut requests = http2(&stage).await;
    for (said, sent) in [(Some(16 * 1024 + 1), 1), (None, 16 * 1024 + 1), (None, 16 * 1024)] {
        let mut request = Request::post(ANSWERS);
        if let Some(said) = said {
            request = request.header("content-length", said);
        }
        let (answer, mut body) = requests.send_request(request.body(()).unwrap(), false).unwrap();
        body.send_data(Bytes::from(vec![b' '; sent]), said.is_none()).unwrap();
        let status = within(answer).await.unwrap().status().as_u16();
        let fits = said.is_none() && sent == 16 * 1024;
        assert_eq!(status, if fits { 401 } else { 413 }, "{said:?} {sent}");
        requests = within(requests.ready()).await.unwrap();
    }
}
