//! A proof about something else is no proof.
use gateway_core::passage::{self, Note};
use tallyport_eventlog::Durable;

fn send(note: Durable<Note>) {
    let _bytes = passage::to_target(note); //~ E0308: mismatched types
}

fn main() {}
