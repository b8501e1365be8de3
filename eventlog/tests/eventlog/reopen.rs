//! The appender on the embedded log: what it acknowledged is there, also after the log was opened anew.

use std::sync::Arc;
use std::time::Duration;

use tallyport_eventlog::{
    Appender, AppenderOptions, EmbeddedOptions, LogUrl, Position, Topic, open,
};
use tallyport_schemas::{Body, Context, Draft, Integrity, ProducerId, ocsf};

fn draft(number: u64) -> Draft {
    let body = Body::Integrity(Integrity::ProducerStopped { events: number });
    Draft::new(Context::default().into(), None, body)
}

#[tokio::test]
async fn what_was_acknowledged_is_read_back_in_order_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let url = LogUrl::Embedded(EmbeddedOptions::new(dir.path().join("a/b")));
    let log = open(&url).await.unwrap();
    let id = ProducerId::parse("p1").unwrap();
    let appender =
        Appender::start(Arc::clone(&log), id, "gateway", AppenderOptions::default()).await.unwrap();
    let commits = (0..200).map(|number| appender.commit(draft(number)));
    for durable in futures::future::join_all(commits).await {
        assert_eq!(durable.unwrap().positions().len(), 1);
    }
    let both = appender.commit_all(vec![draft(1), draft(2)]).await.unwrap();
    assert_eq!(both.len(), 2);
    appender.stop().await.unwrap();
    assert!(appender.commit(draft(0)).await.is_err());
    drop((appender, log));

    let log = open(&url).await.unwrap();
    let start = Position { partition: 0, offset: 0 };
    let entries = log.read(Topic::Audit, start, usize::MAX, Duration::ZERO).await.unwrap();
    let seqs: Vec<_> =
        entries.iter().map(|entry| ocsf::decode(&entry.value).unwrap().producer.seq).collect();
    assert_eq!(seqs, (0..204).collect::<Vec<_>>());
    let last = ocsf::decode(&entries.last().unwrap().value).unwrap();
    assert_eq!(last.body, Body::Integrity(Integrity::ProducerStopped { events: 204 }));
}
