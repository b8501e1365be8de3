use super::*;

async fn values(log: &FaultLog, topic: Topic) -> Vec<bytes::Bytes> {
    let start = Position { partition: 0, offset: 0 };
    let entries = log.inner().read(topic, start, usize::MAX, Duration::ZERO).await.unwrap();
    entries.into_iter().map(|entry| entry.value).collect()
}

#[tokio::test]
async fn it_stands_on_both_topics_byte_for_byte_under_one_number() {
    let (log, appender) = start(options()).await;
    let _before = appender.commit(draft()).await.unwrap();
    let place = appender.commit_control(draft()).await.unwrap();
    assert_eq!(place, Position { partition: 0, offset: 0 });
    let (audit, control) = (values(&log, Topic::Audit).await, values(&log, Topic::Control).await);
    assert_eq!(control, audit[2..]);
    let _after = appender.commit(draft()).await.unwrap();
    assert_eq!(seqs(&on_log(&log).await), [0, 1, 2, 3]);
    // The audit topic first: nothing has an effect that is not on record.
    let order: Vec<Topic> = log.asked().iter().map(|asked| asked.records[0].topic).collect();
    assert_eq!(order, [Topic::Audit, Topic::Audit, Topic::Audit, Topic::Control, Topic::Audit]);
}

#[tokio::test]
async fn without_a_record_it_has_no_effect() {
    for (kind, persisted) in
        [(FaultKind::Refuse, false), (FaultKind::Unknown, false), (FaultKind::Unknown, true)]
    {
        let (log, appender) = start(options()).await;
        log.set(Fault::once(kind, persisted));
        assert!(appender.commit_control(draft()).await.is_err());
        assert!(values(&log, Topic::Control).await.is_empty(), "{kind:?} {persisted}");
    }
}

#[tokio::test]
async fn a_control_topic_that_fails_is_told_whether_it_persisted_or_not() {
    for persisted in [false, true] {
        let (log, appender) = start(options()).await;
        log.set(Fault::once(FaultKind::Delay(Duration::ZERO), true));
        log.set(Fault::once(FaultKind::Unknown, persisted));
        let outcome = appender.commit_control(draft()).await;
        let unknown = matches!(outcome, Err(CommitError::Append(AppendError::Unknown { .. })));
        assert!(unknown, "{outcome:?}");
        assert_eq!(values(&log, Topic::Control).await.len(), usize::from(persisted));
        assert_eq!(seqs(&on_log(&log).await), [0, 1], "it is on record, and no gap");
    }
}

#[tokio::test]
async fn a_control_topic_that_hangs_is_given_up() {
    let (log, appender) = start(options()).await;
    log.set(Fault::once(FaultKind::Delay(Duration::ZERO), true));
    log.set(Fault::once(FaultKind::Hang, false));
    let outcome = timeout(PATIENCE, appender.commit_control(draft())).await.unwrap();
    assert!(matches!(outcome, Err(CommitError::Append(AppendError::Unknown { .. }))));
    log.release_hung();
}
