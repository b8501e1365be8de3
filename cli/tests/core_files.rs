//! No core file of the binary is written, whatever its starter allows, and nothing of its user may look into it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const TALLYPORT: &str = env!("CARGO_BIN_EXE_tallyport");
const ABORT: &str = "-ABRT";
const PATIENCE: Duration = Duration::from_secs(20);

/// `program`, by a starter that allows core files of any size, in a directory where they may be written.
fn start(folder: &Path, program: &str) -> Child {
    Command::new("sh")
        .args(["-c", &format!("ulimit -c unlimited && exec {program}")])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn dumps_core(mut child: Child) -> bool {
    let killed = Command::new("kill").args([ABORT, &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let status = child.wait().unwrap();
    assert!(status.signal().is_some(), "{status}");
    status.core_dumped()
}

fn appears(file: &Path) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !file.exists() && Instant::now() < deadline {
        sleep(Duration::from_millis(20));
    }
    file.exists()
}

#[test]
fn a_crash_writes_no_core_file_although_its_starter_allows_one() {
    let folder = tempfile::tempdir().unwrap();
    let ordinary = start(folder.path(), "sh -c 'touch ready; read line'");
    assert!(appears(&folder.path().join("ready")));
    if !dumps_core(ordinary) {
        // Not by `eprintln!`, which the harness keeps from a test that passes.
        let line = b"NOT RUN: core files: this machine writes none for any program, so a missing one says nothing\n";
        std::io::stderr().write_all(line).unwrap();
        return;
    }
    // Nobody answers there, and nobody is asked before a client comes.
    let connect = format!(
        "{TALLYPORT} connect sample --gateway 127.0.0.1:1 --token planted --listen-file listens"
    );
    let connect = start(folder.path(), &connect);
    assert!(appears(&folder.path().join("listens")), "it listens");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", connect.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    assert!(!dumps_core(connect), "a core file with the token in it");
}

/// What lets a command run as somebody who is not root, whom nothing is kept from: that one, or whoever runs the tests.
fn user() -> &'static str {
    let output = Command::new("id").arg("-u").output().unwrap();
    let is_root = output.stdout == b"0\n";
    if is_root { "setpriv --reuid=65534 --regid=65534 --clear-groups" } else { "" }
}

fn others_of_its_user_may_look_into(child: &Child) -> bool {
    let look = format!("exec {} cat /proc/{}/environ >/dev/null 2>&1", user(), child.id());
    Command::new("sh").args(["-c", &look]).status().unwrap().success()
}

#[test]
fn no_other_process_of_its_user_may_look_into_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    // Where the user can reach it, wherever the build is.
    let binary = folder.path().join("tallyport");
    std::fs::copy(TALLYPORT, &binary).unwrap();
    let user = user();
    let mut ordinary = start(folder.path(), &format!("{user} sh -c 'touch ready; read line'"));
    assert!(appears(&folder.path().join("ready")));
    let connect = format!(
        "{user} ./tallyport connect sample --gateway 127.0.0.1:1 --token planted --listen-file listens"
    );
    let mut connect = start(folder.path(), &connect);
    assert!(appears(&folder.path().join("listens")), "it listens");
    assert!(others_of_its_user_may_look_into(&ordinary), "else this test says nothing");
    assert!(!others_of_its_user_may_look_into(&connect), "its memory, too, would be open");
    for child in [&mut ordinary, &mut connect] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
