//! A row that passes in pieces, of which the last ones are not durable when the session ends.

use std::time::Duration;

use tallyport_eventlog::faults::{Fault, FaultKind};
use tokio::time::{sleep, timeout};

use crate::fault::session;
use crate::harness::world;
use crate::wire::{Wire, query};

const ROW_BYTES: usize = 1_500_000;
/// What is missing then fits into the batches that wait for their record.
const NEARLY: usize = ROW_BYTES - 400_000;
const QUIET: Duration = Duration::from_millis(200);

async fn read_what_came(wire: &mut Wire<tokio::io::DuplexStream>, got: &mut Vec<u8>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = timeout(QUIET, wire.read_some(&mut buffer)).await {
        got.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
}

/// The target has sent all of the row and waits, but the agent has a part of it: an error now would be read as the rest.
#[tokio::test(flavor = "multi_thread")]
async fn no_farewell_is_sent_into_the_middle_of_a_row() {
    let world = world!();
    let mut wire = session(&world).await;
    world.faults.set(Fault::always(FaultKind::Hang, true));
    wire.send(&query(&format!("SELECT repeat('x', {ROW_BYTES})"))).await;
    let mut got = Vec::new();
    while got.len() < NEARLY {
        world.faults.wait_hanging(1).await;
        world.faults.release_hung();
        read_what_came(&mut wire, &mut got).await;
    }
    world.faults.wait_hanging(1).await;
    assert!(got.len() < ROW_BYTES, "a part of the row waits");
    world.faults.clear();
    let end = world.gateway.shutdown(Duration::from_millis(50));
    let log_comes_back = async {
        sleep(QUIET).await;
        world.faults.release_hung();
    };
    tokio::join!(end, log_comes_back);
    read_what_came(&mut wire, &mut got).await;
    let text = String::from_utf8_lossy(&got);
    assert!(
        text.ends_with('x'),
        "the stream ends inside the row: {:?}",
        text.get(text.len() - 80..)
    );
    assert!(!text.contains("57P01"), "an error in the middle of a row");
}
