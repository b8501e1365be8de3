//! `tallyport demo` tells what it promises: masked rows, refusals, a failed authentication, three answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::process::Command;

use tallyport_tests::{binary, said};

#[test]
fn the_demo_tells_the_whole_story() {
    let output = Command::new(binary())
        .arg("demo")
        .output()
        .expect("the binary runs; build it with make build");
    let story = said(&output);
    assert!(output.status.success(), "{story}");
    for promised in [
        "Ada Example",
        "decision: allow",
        "app.customers.ssn",
        "decision: deny",
        "authentication failed: expired",
        "Who read the column app.customers.ssn?",
        "What was denied in the last day?",
        "Which authentications failed, by issuer?",
        "Try next:",
    ] {
        assert!(story.contains(promised), "the demo should say `{promised}`:\n{story}");
    }
    for secret in ["900-11-1001", "ada@example.com |"] {
        assert!(!story.contains(secret), "the demo shows `{secret}`, which policy masks:\n{story}");
    }
}
