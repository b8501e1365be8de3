//! What is on record is what passed: spans, digests, order.

use sha2::{Digest as _, Sha256};
use tallyport_schemas::{Body, Disposition, Phase, Recording, Response, ResponseStatus, Session};

use crate::harness::{commands, responses, world};
use crate::wire::{Wire, bind, describe, execute, flush, parse, query, sync, tags};

#[tokio::test(flavor = "multi_thread")]
async fn spans_partition_the_bytes_and_digests_match() {
    let world = world!();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    let unit: Vec<u8> = [
        parse("s", "SELECT name FROM app.customers WHERE id = $1"),
        describe(b'S', "s"),
        bind("", "s", &[Some("1")], 0),
        describe(b'P', ""),
        execute("", 0),
        bind("", "s", &[Some("2")], 0),
        execute("", 0),
        sync(),
    ]
    .concat();
    wire.send(&unit).await;
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(tags(&answer), "1tT2TDC2DCZ");

    let events = world.events().await;
    let forwarded = commands(&events);
    let phases: Vec<Phase> = forwarded.iter().map(|command| command.phase).collect();
    assert_eq!(phases, [Phase::Parse, Phase::Execute, Phase::Execute]);
    let mut from = 0;
    for command in &forwarded {
        let to = from + command.wire_bytes as usize;
        assert_eq!(command.wire_sha256, hex::encode(Sha256::digest(&unit[from..to])));
        from = to;
    }
    assert_eq!(from, unit.len(), "the spans are the unit, whole");
    assert_eq!(forwarded[2].parameters.len(), 1);
    assert_eq!(
        forwarded[2].statement.as_deref(),
        Some("SELECT name FROM app.customers WHERE id = $1")
    );

    // Every command has its decision right before it, and its response after it.
    let bytes: Vec<u8> =
        answer.iter().flat_map(|(tag, body)| crate::wire::frame(*tag, body)).collect();
    let mut from = 0;
    for command in &forwarded {
        let at =
            |wanted: &dyn Fn(&Body) -> bool| events.iter().position(|event| wanted(&event.body));
        let id = Some(command.command_id);
        let decided =
            at(&|body| matches!(body, Body::Decision(decision) if decision.command_id == id));
        let meant =
            at(&|body| matches!(body, Body::Command(other) if Some(other.command_id) == id));
        assert_eq!(decided.map(|place| place + 1), meant);
        let summary = responses(&events)
            .into_iter()
            .find_map(|response| match response {
                Response::Completed(summary) if Some(summary.command_id) == id => Some(summary),
                _ => None,
            })
            .expect("a response");
        let to = from + summary.bytes as usize;
        assert_eq!(summary.sha256, hex::encode(Sha256::digest(&bytes[from..to])));
        let content = summary.content.as_ref().expect("recorded in full");
        assert_eq!(content.replay().unwrap(), &bytes[from..to]);
        assert_eq!(summary.status, ResponseStatus::Ok);
        from = to;
    }
    assert_eq!(from, bytes.len(), "the responses are what the agent got, whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn session_events_are_dense_and_tell_the_whole_story() {
    let world = world!();
    let client = world.connect().await;
    let rows = client.query("SELECT id, name FROM app.customers ORDER BY id", &[]).await.unwrap();
    assert_eq!(rows.len(), 3);
    drop(client);
    let events = world
        .wait_for("an end", |events| {
            events.iter().any(|event| matches!(event.body, Body::Session(Session::Closed { .. })))
        })
        .await;
    let session = events
        .iter()
        .find(|event| matches!(event.body, Body::Session(Session::Opened { .. })))
        .and_then(|event| event.context.session_id);
    let story: Vec<_> = events.iter().filter(|event| event.context.session_id == session).collect();
    let mut places: Vec<u64> = story.iter().filter_map(|event| event.session_seq).collect();
    places.sort_unstable();
    assert_eq!(places, (0..story.len() as u64).collect::<Vec<_>>());
    let principal = story[0].context.principal.as_ref().expect("known");
    assert_eq!(principal.subject, "agent");
    assert!(story.iter().all(|event| event.context.trace_id.is_some()));
    let Body::Session(Session::Closed { stats, .. }) = &story.last().unwrap().body else {
        panic!("the end comes last: {:?}", story.last());
    };
    assert_eq!(stats.rows, 3);
    let columns = responses(&events).into_iter().find_map(|response| match response {
        Response::Completed(summary) if summary.rows == 3 => Some(summary.columns.clone()),
        _ => None,
    });
    let columns = columns.expect("a summary");
    assert_eq!(columns[1].origin.as_ref().map(|origin| origin.column.as_str()), Some("name"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_is_chunks_that_add_up() {
    let world = world!();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("SELECT repeat('x', 3000000)")).await;
    let small = "SELECT repeat('y', 100) FROM generate_series(1, 30000)";
    let first = wire.until(b'Z', 1).await;
    drop(first);
    wire.send(&query(small)).await;
    let answer = wire.until(b'Z', 1).await;
    let bytes: Vec<u8> =
        answer.iter().flat_map(|(tag, body)| crate::wire::frame(*tag, body)).collect();

    let events = world.events().await;
    let id = commands(&events)
        .iter()
        .find(|command| command.statement.as_deref() == Some(small))
        .map(|command| command.command_id)
        .expect("on record");
    let (mut replayed, mut rows, mut summary) = (Vec::new(), 0, None);
    for response in responses(&events) {
        match response {
            Response::Chunk { command_id, rows: begun, content, wire_bytes, .. }
                if *command_id == Some(id) =>
            {
                assert!(*wire_bytes <= 256 * 1024);
                rows += begun;
                replayed.extend(content.as_ref().expect("in full").replay().unwrap());
            }
            Response::Completed(done) if done.command_id == id => {
                replayed.extend(
                    done.content
                        .as_ref()
                        .map(|content| content.replay().unwrap())
                        .unwrap_or_default(),
                );
                summary = Some(done);
            }
            _ => {}
        }
    }
    let summary = summary.expect("completed");
    assert_eq!(replayed, bytes, "the record replays what the agent got");
    assert_eq!((summary.rows, summary.bytes), (30_000, bytes.len() as u64));
    assert_eq!(summary.sha256, hex::encode(Sha256::digest(&bytes)));
    assert!(rows <= 30_000 && summary.chunks > 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_and_digest_record_less_but_count_all() {
    for (recording, kept) in [("head:2", 2), ("digest", 0)] {
        let option: &'static str = match recording {
            "head:2" => "user = 'postgres'\nsslmode = 'disable'\nrecording = 'head:2'\n",
            _ => "user = 'postgres'\nsslmode = 'disable'\nrecording = 'digest'\n",
        };
        let world = world!(target: option,);
        let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
        wire.send(&query("SELECT 'row ' || g FROM generate_series(1, 5) g")).await;
        assert_eq!(tags(&wire.until(b'Z', 1).await), "TDDDDDCZ");
        let events = world.events().await;
        let summary = responses(&events)
            .into_iter()
            .find_map(|response| match response {
                Response::Completed(summary) if summary.rows == 5 => Some(summary),
                _ => None,
            })
            .expect("a summary");
        let content =
            summary.content.as_ref().map(|content| content.replay().unwrap()).unwrap_or_default();
        let text = String::from_utf8_lossy(&content).into_owned();
        assert_eq!(text.matches("row ").count(), kept, "{recording}");
        assert_ne!(summary.recording, Recording::Full);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_data_is_on_record_before_it_passes() {
    let world = world!();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("COPY app.things FROM STDIN")).await;
    assert_eq!(tags(&wire.until(b'G', 1).await), "G");
    let mut data = Vec::new();
    for id in 0..40_000 {
        data.extend(crate::wire::frame(b'd', format!("{id}\tthing number {id}\n").as_bytes()));
    }
    data.extend(crate::wire::frame(b'c', &[]));
    wire.send(&data).await;
    let done = wire.until(b'Z', 1).await;
    assert_eq!(tags(&done), "CZ");

    let events = world.events().await;
    let copied: Vec<_> =
        commands(&events).into_iter().filter(|command| command.phase == Phase::CopyData).collect();
    let recorded: Vec<u8> = copied
        .iter()
        .flat_map(|command| command.content.as_ref().unwrap().replay().unwrap())
        .collect();
    assert_eq!(recorded, data);
    let chunks: Vec<u64> = copied.iter().filter_map(|command| command.chunk).collect();
    assert_eq!(chunks, (0..copied.len() as u64).collect::<Vec<_>>());
    assert!(copied.iter().all(|command| command.disposition == Disposition::Forwarded));
    let statement =
        commands(&events).into_iter().find(|command| command.phase == Phase::Query).unwrap();
    assert!(copied.iter().all(|command| command.command_id == statement.command_id));
    wire.send(&query("TRUNCATE app.things")).await;
    wire.until(b'Z', 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_brings_answers_without_a_sync() {
    let world = world!();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&[parse("", "SELECT 1"), flush()].concat()).await;
    assert_eq!(tags(&wire.until(b'1', 1).await), "1");
    wire.send(&[bind("", "", &[], 0), execute("", 0), sync()].concat()).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "2DCZ");
}
