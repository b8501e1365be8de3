//! Roots for an issuer that are none are told before anything is asked.
#![allow(clippy::expect_used, reason = "a test says by failing what does not hold")]

use std::process::Command;

#[test]
fn roots_of_an_issuer_that_are_none_are_told_before_anything_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("ca.pem"), "no certificate").expect("writable");
    std::fs::write(path("secret"), "s").expect("writable");
    for (roots, saying) in [("ca.pem", "no PEM certificate"), ("nope.pem", "--issuer-ca")] {
        let output = Command::new(env!("CARGO_BIN_EXE_tallyport"))
            .args(["whoami", "--gateway", "localhost:1", "--issuer", "https://localhost:1"])
            .args(["--client-id", "x", "--client-secret-file"])
            .arg(path("secret"))
            .arg("--issuer-ca")
            .arg(path(roots))
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(saying), "{said}");
    }
}
