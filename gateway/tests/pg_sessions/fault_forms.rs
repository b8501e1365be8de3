//! I1 and I2 in every form that bytes take: the extended protocol, COPY both ways, later batches of a long answer, and
//! what the target says unasked. A world per case: the gap of one is explained in an append of its own, which must not
//! meet the fault of the next.

use tallyport_eventlog::faults::Fault;

use crate::fault::{KINDS, PASS, WAIT, session};
use crate::harness::world;
use crate::wire::{Message, bind, describe, execute, frame, parse, query, sync, tags};

/// Every way for the log to fail, with a word for it.
fn faults() -> impl Iterator<Item = (Fault, String)> {
    KINDS.into_iter().flat_map(|kind| {
        [true, false].map(|persisted| {
            let word = format!("{}-{persisted}", format!("{kind:?}").to_lowercase());
            (Fault::once(kind, persisted), word)
        })
    })
}

fn tells(messages: &[Message], words: &str) -> bool {
    let bytes: Vec<u8> = messages.iter().flat_map(|(_, body)| body.clone()).collect();
    String::from_utf8_lossy(&bytes).contains(words)
}

/// A series of the extended protocol with `text` in it.
fn series(text: &str) -> Vec<u8> {
    [parse("", text), bind("", "", &[], 0), describe(b'P', ""), execute("", 0), sync()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extended_series_waits_for_the_log() {
    for (fault, word) in faults() {
        let world = world!(max_wait: WAIT,);
        let mut wire = session(&world).await;
        world.faults.set(fault);
        wire.send(&series(&format!("SELECT 'series {word}'"))).await;
        let rest = wire.rest().await;
        assert!(tags(&rest).is_empty() || tags(&rest) == "E", "{word}: {}", tags(&rest));
        world.faults.release_hung();
        assert!(!world.statements().await.contains(&format!("series {word}")), "{word}");
    }
    for (fault, word) in faults() {
        let world = world!(max_wait: WAIT,);
        let mut wire = session(&world).await;
        world.faults.set(PASS);
        world.faults.set(fault);
        wire.send(&series(&format!("SELECT 'answer {word}'"))).await;
        let rest = wire.rest().await;
        assert!(!tells(&rest, &format!("answer {word}")), "{word}: the row overtook its event");
        world.faults.release_hung();
        assert!(world.statements().await.contains(&format!("answer {word}")), "{word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_copied_in_waits_for_the_log() {
    let world = world!(max_wait: WAIT,);
    let direct = world.direct().await;
    direct.batch_execute("CREATE TABLE public.taken (line text)").await.unwrap();
    for (fault, word) in faults() {
        let world = world!(max_wait: WAIT,);
        let mut wire = session(&world).await;
        wire.send(&query("COPY public.taken FROM STDIN")).await;
        assert_eq!(tags(&wire.until(b'G', 1).await), "G", "{word}");
        world.faults.set(fault);
        wire.send(&[frame(b'd', b"a line\n"), frame(b'c', &[])].concat()).await;
        wire.rest().await;
        world.faults.release_hung();
        let rows = direct.query_one("SELECT count(*) FROM public.taken", &[]).await.unwrap();
        assert_eq!(rows.get::<_, i64>(0), 0, "{word}: data reached the table before its event");
    }
    let mut wire = session(&world).await;
    wire.send(&query("COPY public.taken FROM STDIN")).await;
    wire.until(b'G', 1).await;
    wire.send(&[frame(b'd', b"a line\n"), frame(b'c', &[])].concat()).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "CZ", "without a fault it is taken");
    direct.batch_execute("DROP TABLE public.taken").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn data_copied_out_waits_for_the_log() {
    for (fault, word) in faults() {
        let world = world!(max_wait: WAIT,);
        let mut wire = session(&world).await;
        world.faults.set(PASS);
        world.faults.set(fault);
        wire.send(&query(&format!("COPY (SELECT 'line {word}') TO STDOUT"))).await;
        let rest = wire.rest().await;
        assert!(!tells(&rest, &format!("line {word}")), "{word}");
        world.faults.release_hung();
        assert!(world.statements().await.contains(&format!("line {word}")), "{word}");
    }
}

/// An answer of several batches, of which a later one is not durable.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_batch_waits_for_the_log() {
    for (fault, word) in faults() {
        let world = world!(max_wait: WAIT,);
        let mut wire = session(&world).await;
        world.faults.set(PASS);
        world.faults.set(PASS);
        world.faults.set(fault);
        wire.send(&query(LONG_ANSWER)).await;
        let rest = wire.rest().await;
        assert!(!tells(&rest, "last row"), "{word}: the last batch cannot have been durable");
        world.faults.release_hung();
    }
    let world = world!(max_wait: WAIT,);
    let mut wire = session(&world).await;
    wire.send(&query(LONG_ANSWER)).await;
    assert!(tells(&wire.until(b'Z', 1).await, "last row"), "without a fault all of it arrives");
}

/// Four megabytes: many batches, whatever the first of them holds.
const LONG_ANSWER: &str = "SELECT CASE g WHEN 40 THEN 'last' ELSE 'some' END || ' row', repeat('x', 100000) \
    FROM generate_series(1, 40) g";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_says_unasked_waits_for_the_log() {
    for (fault, word) in faults() {
        let world = world!(max_wait: WAIT,);
        let direct = world.direct().await;
        let mut wire = session(&world).await;
        wire.send(&query("LISTEN told")).await;
        assert_eq!(tags(&wire.until(b'Z', 1).await), "CZ", "{word}");
        world.faults.set(fault);
        direct.batch_execute(&format!("NOTIFY told, 'news {word}'")).await.unwrap();
        let rest = wire.rest().await;
        assert!(!tells(&rest, &format!("news {word}")), "{word}");
        world.faults.release_hung();
    }
}
