//! Addresses and CA files that cannot be meant: what is said tells what to write instead.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by failing")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

/// Answers everybody with these bytes.
fn answers(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _heard = client.read(&mut [0; 4096]);
            let _told = client.write_all(bytes);
        }
    });
    address
}

fn said(arguments: &[&str]) -> (Option<i32>, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_tallyport"))
        .args(arguments)
        .args(["--token", "x"])
        .env_remove("TALLYPORT_READY_FILE")
        .output()
        .unwrap();
    (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
}

#[test]
fn what_cannot_be_meant_is_told_with_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    let key = key.to_str().unwrap();
    let sql =
        |url: &str, more: &[&str]| said(&[&["sql", "SELECT 1", "--query-url", url], more].concat());
    for ((code, told), expected, what) in [
        (sql("localhost:8444", &[]), 2, "it is no URL; write https://HOST:PORT"),
        (sql("https://localhost:1", &["--ca", key]), 2, "it holds no certificate"),
        (said(&["connect", "x", "--gateway", "https://g.example:8443/mcp"]), 2, "give HOST:PORT"),
        (said(&["connect", "x", "--gateway", "g.example"]), 2, "it names no port"),
        (said(&["connect", "x", "--listen", "localhost"]), 2, "or a port alone"),
    ] {
        assert_eq!(code, Some(expected), "{told}");
        assert!(told.contains(what), "{told}");
    }
}

/// With what the libraries say of it, which may change with them.
#[test]
fn another_protocol_is_told_as_what_it_is() {
    let plain = answers(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let alert = answers(b"\x15\x03\x03\x00\x02\x02\x46");
    let no_protocol = answers(b"\x15\x03\x03\x00\x02\x02\x78");
    for (url, what) in [
        (format!("https://{plain}"), "is its address one of http://?"),
        (format!("http://{alert}"), "is its address one of https://?"),
        (format!("https://{no_protocol}"), "is it the port of the PostgreSQL wire?"),
    ] {
        let (code, told) = said(&["sql", "SELECT 1", "--query-url", &url]);
        assert_eq!(code, Some(1), "{url}: {told}");
        assert!(told.contains(what), "{url}: {told}");
    }
}
