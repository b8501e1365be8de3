//! `tallyport sessions replay` shows what passed: rows with their columns, and the data of COPY both ways.

use std::io::Write as _;
use std::process::Stdio;

use dev_services::repo_root;
use tallyport_tests::{Forward, Stack, eventually, psql, said};
use tokio_postgres::NoTls;

const COPY: &str = r#"
@id("operators-copy-orders")
permit (
  principal in Tallyport::Group::"operators",
  action in [Tallyport::Action::"sql:copyIn", Tallyport::Action::"sql:copyOut"],
  resource in Tallyport::Target::"sample"
);
"#;

#[test]
fn a_replay_shows_copied_data_and_names_columns() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let policy = folder.path().join("policy.cedar");
    let example = std::fs::read_to_string(repo_root().join("deploy/examples/policy.cedar"));
    std::fs::write(&policy, example.expect("readable") + COPY).expect("writable");
    let stack = Stack::start(&["--policy", policy.to_str().expect("a name")]);
    let forward = stack.connect("ops-agent", "sample");
    copies(&forward);
    prepared(&forward);
    let closed = "SELECT session_id FROM sessions WHERE state = 'closed' ORDER BY opened_at";
    assert!(eventually(|| stack.sql("auditor", closed).len() == 2), "both sessions are on record");

    let shown: Vec<String> = stack
        .sql("auditor", closed)
        .iter()
        .map(|row| {
            let id = row["session_id"].as_str().expect("an id").to_owned();
            said(&stack.run(&["sessions", "replay", &id, "--as", "auditor"]))
        })
        .collect();
    for line in [
        "command   forwarded data of COPY\n    901\t1\tcopied-lamp\t1.50\n    902\t2\tcopied-desk\t2.50\n",
        "response  COPY 2 (2 rows)\n    901\tcopied-lamp\n    902\tcopied-desk\n",
    ] {
        assert!(shown[0].contains(line), "`{line}` is missing:\n{}", shown[0]);
    }
    assert!(shown[1].contains("\n    who\n    Ada Example\n    Bob Sample\n"), "{}", shown[1]);
}

fn copies(forward: &Forward) {
    let mut client = psql(forward.port(), "anyone", "sample")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql starts");
    let script = "COPY app.orders (id, customer_id, item, total) FROM STDIN;\n\
                  901\t1\tcopied-lamp\t1.50\n902\t2\tcopied-desk\t2.50\n\\.\n\
                  COPY (SELECT id, item FROM app.orders WHERE id > 900 ORDER BY id) TO STDOUT;\n";
    client.stdin.take().expect("piped").write_all(script.as_bytes()).expect("psql reads");
    let output = client.wait_with_output().expect("psql ends");
    assert!(said(&output).contains("902\tcopied-desk"), "{}", said(&output));
}

/// The extended protocol: the rows of an execution come without a description.
fn prepared(forward: &Forward) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let options = format!("host=127.0.0.1 port={} user=anyone dbname=sample", forward.port());
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&options, NoTls).await.expect("it connects");
        let driver = tokio::spawn(connection);
        let sql = "SELECT name AS who FROM app.customers WHERE id < $1 ORDER BY id";
        let rows = client.query(sql, &[&3_i32]).await.expect("rows");
        assert_eq!(rows.len(), 2);
        drop(client);
        let _ended = driver.await;
    });
}
