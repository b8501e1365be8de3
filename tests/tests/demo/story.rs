//! `tallyport demo` tells what it promises: masked rows, refusals, a failed authentication, three answers.

use std::process::Command;

use tallyport_tests::{binary, said};

/// A step of the story: from its number to the next.
fn step<'a>(story: &'a str, begins: &str, ends: &str) -> &'a str {
    let (_, rest) = story.split_once(begins).unwrap_or_else(|| panic!("no `{begins}`:\n{story}"));
    rest.split_once(ends).unwrap_or_else(|| panic!("no `{ends}` after `{begins}`:\n{story}")).0
}

fn says(part: &str, promised: &[&str]) {
    // The tables break lines between words.
    let words: Vec<&str> = part.split_whitespace().filter(|word| !"│┆".contains(*word)).collect();
    let flat = words.join(" ");
    for promise in promised {
        assert!(flat.contains(promise), "it should say `{promise}`:\n{part}");
    }
}

#[test]
fn the_demo_tells_the_whole_story() {
    let output = Command::new(binary())
        .arg("demo")
        .output()
        .expect("the binary runs; build it with make build");
    let story = said(&output);
    assert!(output.status.success(), "{story}");
    let masked = [
        "1 | Ada Example | [redacted] | ****001",
        "decision: allow by",
        "rows: 3",
        "masked: app.customers.email, app.customers.ssn",
    ];
    says(step(&story, "\n1. ", "\n2. "), &masked);
    let refusals = [
        ("\n2. ", "\n3. ", "because: column app.customers.ssn is masked for you"),
        ("\n3. ", "\n4. ", "because: no policy permits sql:update on app.orders"),
        ("\n4. ", "\n5. ", "because: no policy permits sql:select on hr.staff"),
    ];
    for (begins, ends, reason) in refusals {
        let part = step(&story, begins, ends);
        says(part, &["ERROR: tallyport: denied by policy", "decision: deny", reason]);
        assert!(!part.contains("deny by") && !part.contains("rows:"), "{part}");
    }
    let expired = step(&story, "\n5. ", "Three questions");
    says(expired, &["the token has expired", "authentication failed: expired"]);
    let who = step(&story, "Who read the column", "What was denied");
    says(
        who,
        &[
            "-p column=app.customers.ssn --as auditor)",
            "support-agent",
            "ada@example.com",
            "masked",
            "(1 row)",
        ],
    );
    let denied = step(&story, "What was denied", "Which authentications");
    says(
        denied,
        &[
            "(tallyport ask denied --as auditor)",
            "no policy permits sql:update on app.orders UPDATE app.orders",
            "no policy permits sql:select on hr.staff SELECT name, salary FROM hr.staff",
            "(3 rows)",
        ],
    );
    let failed = step(&story, "Which authentications", "Try next:");
    says(failed, &["expired", "quic", "(1 row)"]);
    for secret in ["900-11-1001", "ada@example.com |", "Zed Payroll", "123456"] {
        assert!(!story.contains(secret), "the demo shows `{secret}`, which policy hides:\n{story}");
    }
}

#[test]
fn what_to_try_next_can_be_copied_and_run() {
    let output = Command::new(binary()).arg("demo").output().expect("the binary runs");
    let story = said(&output);
    let (_, next) = story.split_once("Try next:").expect("it says what to try next");
    let program = binary();
    let commands: Vec<&str> =
        next.lines().map(str::trim).filter(|line| line.contains("tallyport ")).collect();
    assert!(commands.len() > 4, "{next}");
    for command in commands {
        assert!(command.starts_with(&program.display().to_string()), "not on the PATH: {command}");
    }
    // What stays up comes first, and the rest is for another terminal.
    let dev = next.find(" dev --ready-file").expect("dev");
    let second = next.find("second terminal").expect("a second terminal");
    let export = next.find("export TALLYPORT_READY_FILE").expect("export");
    assert!(dev < second && second < export, "{next}");
}
