use proptest::prelude::*;

use super::*;
use crate::pg::write;

fn databases() -> Databases {
    Databases { default: "app".to_owned(), others: vec!["other".to_owned()] }
}

fn startup(parameters: &[(&str, &str)]) -> StartupMessage {
    let bytes = write::startup_message(parameters.iter().copied());
    match read_packet(&bytes).unwrap() {
        Some((Packet::Startup(message), used)) if used == bytes.len() => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn user_and_password_never_pass() {
    let message = startup(&[("user", "root"), ("password", "x"), ("application_name", "psql")]);
    let accepted = accept(&message, &databases()).unwrap();
    assert_eq!(accepted.settings.keys().collect::<Vec<_>>(), ["application_name"]);
    assert_eq!(accepted.database, "app");
}

#[test]
fn a_database_is_the_default_a_configured_one_or_refused() {
    let choose = |parameters: &[(&str, &str)]| {
        accept(&startup(parameters), &databases()).map(|accepted| accepted.database)
    };
    assert_eq!(choose(&[("user", "u")]).unwrap(), "app");
    assert_eq!(choose(&[("user", "u"), ("database", "u")]).unwrap(), "app");
    assert_eq!(choose(&[("user", "u"), ("database", "other")]).unwrap(), "other");
    assert!(matches!(
        choose(&[("user", "u"), ("database", "postgres")]),
        Err(Rejected::Database(_))
    ));
}

#[test]
fn replication_is_refused_in_every_spelling() {
    for value in ["true", "on", "1", "database", "yes"] {
        let refused = accept(&startup(&[("replication", value)]), &databases());
        assert_eq!(refused, Err(Rejected::Replication), "{value}");
    }
    assert!(accept(&startup(&[("replication", "false")]), &databases()).is_ok());
}

#[test]
fn settings_outside_the_allow_list_are_refused_also_inside_options() {
    for parameters in [
        [("session_preload_libraries", "x")],
        [("role", "postgres")],
        [("options", "-c role=postgres")],
        [("options", "--session-authorization=postgres")],
        [("options", "-csession_replication_role=replica")],
        [("Options", "-c role=postgres")],
    ] {
        let refused = accept(&startup(&parameters), &databases());
        assert!(matches!(refused, Err(Rejected::Parameter(_))), "{parameters:?}: {refused:?}");
    }
    assert_eq!(accept(&startup(&[("options", "-d 5")]), &databases()), Err(Rejected::Options));
}

#[test]
fn values_that_set_would_refuse_are_refused_in_every_spelling() {
    for (name, value) in [
        ("client_encoding", "SJIS"),
        ("Client_Encoding", "shift_jis_2004"),
        ("client_encoding", "Big-5"),
        ("options", "-c client_encoding=gb18030"),
        ("options", "--client-encoding='GBK'"),
        ("client_min_messages", "debug5"),
        ("client_min_messages", "LOG"),
        ("client_min_messages", " notice"),
        ("options", "-cclient_min_messages=debug"),
    ] {
        let refused = accept(&startup(&[(name, value)]), &databases());
        assert!(matches!(refused, Err(Rejected::Setting(_))), "{name}={value}: {refused:?}");
    }
    for (name, value) in [
        ("client_encoding", "LATIN1"),
        ("client_encoding", "UTF8"),
        ("client_encoding", "'utf-8'"),
        ("client_min_messages", "WARNING"),
        ("options", "-c client_min_messages=error"),
    ] {
        let accepted = accept(&startup(&[(name, value)]), &databases());
        assert!(accepted.is_ok(), "{name}={value}: {accepted:?}");
    }
    let refused = accept(&startup(&[("client_encoding", "SJIS")]), &databases()).unwrap_err();
    let set = crate::sql::settings::Change::at_startup("client_encoding", "SJIS").misleads();
    assert!(refused.to_string().starts_with(&set.unwrap()), "the words are those of SET");
}

#[test]
fn options_become_settings() {
    let options = r"-c search_path=app\ ,public --statement-timeout=5s -cgeqo=off";
    let accepted = accept(&startup(&[("options", options)]), &databases()).unwrap();
    assert_eq!(accepted.setting("search_path"), Some("app ,public"));
    assert_eq!(accepted.setting("Statement_Timeout"), Some("5s"));
    assert_eq!(accepted.setting("geqo"), Some("off"));
}

#[test]
fn newer_protocols_are_negotiated_and_older_refused() {
    let mut message = startup(&[("_pq_.new_thing", "1"), ("user", "u")]);
    message.minor = 2;
    let accepted = accept(&message, &databases()).unwrap();
    assert!(accepted.newer_minor);
    assert_eq!(accepted.unknown_options, ["_pq_.new_thing"]);
    message.major = 2;
    assert_eq!(accept(&message, &databases()), Err(Rejected::Version(2, 2)));
}

#[test]
fn requests_before_the_session_are_read() {
    assert_eq!(read_packet(&write::ssl_request()).unwrap(), Some((Packet::Ssl, 8)));
    let key = CancelKey { pid: 7, key: 9 };
    assert_eq!(read_packet(&write::cancel_request(7, 9)).unwrap(), Some((Packet::Cancel(key), 16)));
    assert!(!format!("{:?}", CancelKey { pid: 7, key: 987_654 }).contains("987654"));
}

#[test]
fn a_packet_beyond_the_bound_is_refused_by_its_length_alone() {
    let refused = read_packet(&(MAX_STARTUP_BYTES as i32 + 1).to_be_bytes());
    assert_eq!(refused, Err(StartupError::BadLength(MAX_STARTUP_BYTES as i32 + 1)));
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _outcome = read_packet(&bytes);
        let _outcome = crate::pg::frontend::Bind::read(&bytes);
        let _outcome = crate::pg::frontend::Parse::read(&bytes);
        let _outcome = crate::pg::frontend::Execute::read(&bytes);
        let _outcome = crate::pg::frontend::object(&bytes);
        let _outcome = crate::pg::backend::row_description(&bytes);
        let _outcome = crate::pg::backend::data_row(&bytes);
        let _outcome = crate::pg::backend::scrubbed(b'E', &bytes);
        let _outcome = crate::pg::backend::key_data(&bytes);
    }

    #[test]
    fn a_cut_packet_asks_for_more(cut in 0_usize..40) {
        let bytes = write::startup_message([("user", "somebody"), ("application_name", "some client")].into_iter());
        prop_assume!(cut < bytes.len());
        prop_assert_eq!(read_packet(&bytes[..cut]), Ok(None));
    }
}
