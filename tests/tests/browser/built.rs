//! What is committed of the page is what its source makes.

use std::path::Path;
use std::process::Command;

use dev_services::repo_root;
use tallyport_tests::{said, say_not_run};

#[test]
fn the_committed_page_is_built_of_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(repo_root().join("deploy/dev/console-build"))
        .arg(folder.path())
        .output()
        .expect("the script runs");
    if output.status.code() == Some(75) {
        say_not_run("the_committed_page_is_built_of_its_source", &said(&output));
        return;
    }
    assert!(output.status.success(), "{}", said(&output));
    for name in ["index.html", "assets/app.js", "assets/app.css", "assets/icon.svg"] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap_or_default();
        let (built, committed) = (read(folder.path()), read(&repo_root().join("console/dist")));
        assert!(!built.is_empty(), "{name} was not built: {}", said(&output));
        assert_eq!(
            built, committed,
            "console/dist/{name} is not what console/web makes: run `make console` and commit it"
        );
    }
}
