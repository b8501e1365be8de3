//! A masking file that is changed while the service runs.

use dev_services::repo_root;
use tallyport_tests::eventually;

use crate::process::Process;

/// A slip of the pen in a column's name shows what it hid: whoever runs the gateway must not have to find that out.
#[test]
fn columns_that_lose_their_label_are_named_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("masking.toml");
    let text = std::fs::read_to_string(repo_root().join("deploy/examples/masking.toml")).unwrap();
    std::fs::write(&file, &text).unwrap();
    let (process, _) = Process::dev(folder.path(), &["--masking", file.to_str().unwrap()], &[]);
    std::fs::write(&file, text.replace("app.customers.ssn", "app.customers.ssnn")).unwrap();
    let warned = "columns have no label any more";
    assert!(eventually(|| process.log().contains(warned)), "{}", process.log());
    let log = process.stop();
    let line = log.lines().find(|line| line.contains(warned)).unwrap();
    assert!(line.contains("app.customers.ssn") && !line.contains("email"), "{line}");
}
