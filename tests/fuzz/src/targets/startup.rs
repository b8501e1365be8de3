//! The first packet of a PostgreSQL connection, and what of it may pass.

use gateway_core::pg::startup::{Databases, MAX_STARTUP_BYTES, Packet, accept, read_packet};
use gateway_core::pg::write;

/// Names and codes.
pub const WORDS: &[&[u8]] = &[
    b"user\0",
    b"database\0",
    b"options\0",
    b"replication\0",
    b"-c role=postgres",
    b"--search_path=x\\ y",
    b"-csession_replication_role=replica",
    b"application_name\0",
    b"_pq_.x\0",
    b"\x04\xd2\x16\x2f",
    b"\x04\xd2\x16\x30",
    b"\x04\xd2\x16\x2e",
    b"\0\x03\0\0",
    b"\0\x03\0\x02",
    b"\\",
];

/// What may never be among the settings that go on.
const NEVER: [&str; 6] =
    ["user", "password", "database", "replication", "role", "session_authorization"];

/// Packets of every kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let startup =
        |parameters: &[(&str, &str)]| write::startup_message(parameters.iter().copied()).to_vec();
    vec![
        write::ssl_request().to_vec(),
        write::cancel_request(7, 9).to_vec(),
        startup(&[("user", "u"), ("database", "app"), ("application_name", "psql")]),
        startup(&[("options", r"-c search_path=app\ ,public --statement-timeout=5s -cgeqo=off")]),
        startup(&[("user", "u"), ("_pq_.new_thing", "1"), ("client_encoding", "UTF8")]),
        startup(&[("replication", "database")]),
    ]
}

/// A packet is cut where its length says; only listed settings pass, and what is written again reads the same.
pub fn run(data: &[u8]) {
    let read = read_packet(data);
    let Ok(Some((packet, used))) = &read else { return };
    assert!((8..=MAX_STARTUP_BYTES).contains(used) && *used <= data.len());
    assert_eq!(read_packet(&data[..*used]), read, "what follows a packet is no part of it");
    assert_eq!(read_packet(&data[..*used - 1]), Ok(None), "a packet cut short waits for the rest");
    let Packet::Startup(message) = packet else { return };
    if message.major == 3 && message.minor == 0 {
        let pairs = message.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let again = write::startup_message(pairs);
        let reread = read_packet(&again);
        assert_eq!(reread, Ok(Some((packet.clone(), again.len()))));
    }
    let databases = Databases { default: "app".to_owned(), others: vec!["other".to_owned()] };
    match accept(message, &databases) {
        Ok(accepted) => {
            assert_eq!(message.major, 3);
            assert!(["app", "other"].contains(&accepted.database.as_str()));
            for name in accepted.settings.keys() {
                assert!(!NEVER.contains(&name.to_ascii_lowercase().as_str()), "{name} passed");
                assert!(!name.contains('\0'));
            }
        }
        Err(rejected) => assert!(!rejected.reply().to_bytes().is_empty()),
    }
}
