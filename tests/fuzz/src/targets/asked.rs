//! Requests to services and clusters, as any client of HTTP may write them: `method LF target LF body`.

use bytes::Bytes;
use gateway_core::http::Asked;
use gateway_core::kubernetes::Cluster;
use gateway_core::target::{Manner, Protocol as _, Reading};

/// What requests are made of.
pub const WORDS: &[&[u8]] = &[
    b"GET\n",
    b"POST\n",
    b"PATCH\n",
    b"DELETE\n",
    b"/api/v1/namespaces/shop/",
    b"/apis/apps/v1/",
    b"pods/web-0",
    b"secrets/key",
    b"/exec",
    b"/attach",
    b"/portforward",
    b"/log",
    b"/proxy/",
    b"/status",
    b"?watch=true",
    b"&command=id",
    b"&container=app",
    b"&stdin=true",
    b"%2e%2e",
    b"%252e",
    b"%2F",
    b"%00",
    b"..",
    b"//",
    b";",
    b"\\",
    b"{\"kind\":\"Secret\",\"data\":{\"a\":\"Yg==\"}}",
    b"[{\"op\":\"copy\",\"from\":\"/data/a\",\"path\":\"/metadata/name\"}]",
];

/// One of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "GET\n/api/v1/namespaces/shop/pods?limit=500&labelSelector=app%3Dweb\n",
        "GET\n/api/v1/namespaces/shop/pods/web-0/exec?container=app&command=sh&command=-c&stdout=true\n",
        "POST\n/api/v1/namespaces/shop/secrets\n{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"dg==\"}}",
        "PATCH\n/apis/apps/v1/namespaces/shop/deployments/web/scale\n{\"spec\":{\"replicas\":2}}",
        "GET\n/apis/apps/v1/deployments?watch=1&resourceVersion=7\n",
        "GET\n/api/v1/namespaces/shop/pods/web-0/log?follow=true\n",
        "GET\n/openapi/v3\n",
        "GET\n/api/v1/namespaces/shop/%2e%2e/secrets\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// What is read is written anew as one thing, and means the same again; what passes asks policy for something.
pub fn run(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let [method, target, body] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let (Ok(method), Ok(target)) = (std::str::from_utf8(method), std::str::from_utf8(target))
    else {
        return;
    };
    let body = Bytes::copy_from_slice(body);
    let read = |target: &str| Asked::read(method, target, Vec::new(), body.clone());
    let Ok(asked) = read(target) else { return };
    for segment in &asked.segments {
        let is_odd = |c: char| matches!(c, '/' | '\\' | '%' | ';') || c.is_control();
        assert!(!matches!(segment.as_str(), "." | ".."), "{segment:?} leads elsewhere");
        assert!(!segment.contains(is_odd), "{segment:?} is read in two ways");
    }
    let again = read(&asked.target());
    assert_eq!(again.as_ref(), Ok(&asked), "written anew it is another");
    let cluster = Cluster::new("prod".to_owned(), None, Vec::new(), false);
    let (first, second) = (cluster.read(asked.clone()), cluster.read(asked));
    assert_eq!(meaning(&first), meaning(&second), "the same request means the same");
    let streams = ["k8s:exec", "k8s:attach", "k8s:portForward"];
    if first.wanted.is_ok() {
        assert!(!first.question.asks.is_empty(), "nothing is asked about what passes");
        let asks_for =
            first.question.asks.iter().any(|(action, _)| streams.contains(&&*action.to_string()));
        assert_eq!(
            matches!(first.manner, Manner::Streams(_)),
            asks_for,
            "{:?}",
            first.question.asks
        );
        assert!(!first.question.statement.is_empty(), "a reviewer has nothing to read");
    }
}

fn meaning(reading: &Reading) -> (String, Vec<String>, bool) {
    let asks = reading.question.asks.iter().map(|(action, on)| format!("{action} {on}"));
    (reading.question.statement.clone(), asks.collect(), reading.wanted.is_ok())
}
