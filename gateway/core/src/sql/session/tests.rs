use super::*;

#[test]
fn what_is_followed_is_bounded() {
    let mut state = SessionState::new(Vec::new());
    for n in 0..50 {
        state.note_prepared("p", &Parsed::parse(&format!("SELECT {n}")).unwrap());
    }
    assert_eq!(state.prepared.bodies.get("p").map(Vec::len), Some(MAX_BODIES + 1));
    assert!(state.prepared("p").is_none());
    let one = Parsed::parse("SELECT 1").unwrap();
    for n in 0..MAX_NAMES + 9 {
        state.note_portal(&format!("c{n}"), &one);
    }
    assert_eq!(state.cursors.bodies.len(), MAX_NAMES);
    assert!(state.cursor("c1").is_none(), "a name that was not followed may be another's");
}

#[test]
fn every_change_is_another_revision_and_nothing_else_is() {
    let parse = |text: &str| Parsed::parse(text).unwrap();
    let mut state = SessionState::new(vec!["public".to_owned()]);
    let mut last = state.revision();
    let mut is_new =
        |state: &SessionState| std::mem::replace(&mut last, state.revision()) != state.revision();
    let changes = [
        "SET search_path = app",
        "PREPARE p AS SELECT 1",
        "DECLARE c CURSOR FOR SELECT 1",
        "SELECT set_config('search_path', 'other', false)",
        "SET client_encoding = latin1",
        "DO 'BEGIN END'",
    ];
    for text in changes {
        state.after(&parse(text));
        assert!(is_new(&state), "{text}");
        state.after(&parse(text));
        assert!(!is_new(&state), "{text}, again");
    }
    state.note_prepared("q", &parse("SELECT 2"));
    assert!(is_new(&state));
    state.note_portal("r", &parse("SELECT 2"));
    assert!(is_new(&state));
    state.note_client_encoding("UTF8");
    assert!(is_new(&state));
    state.settled(&parse("SET search_path = app"));
    assert!(is_new(&state));
    state.forget_search_path();
    assert!(is_new(&state));
    for text in ["SELECT 1", "UPDATE t SET a = 1", "BEGIN", "SELECT upper('a')"] {
        state.after(&parse(text));
        assert!(!is_new(&state), "{text}");
    }
}

/// A name may hide what a text would show.
#[test]
fn what_a_name_runs_is_followed() {
    let parse = |text: &str| Parsed::parse(text).unwrap();
    let app = || vec!["app".to_owned()];
    let mut state = SessionState::new(app());
    state.note_prepared("s", &parse("SET search_path = hr"));
    state.note_prepared("plain", &parse("SELECT 1"));
    state.note_prepared("d", &parse("DEALLOCATE plain"));
    state.after(&parse("PREPARE x AS SELECT set_config('search_path', 'hr', false)"));
    state.after(&parse("DECLARE c CURSOR FOR SELECT set_config('search_path', 'hr', false)"));
    // Certain again, by what was confirmed.
    state.settled(&parse("SET search_path = app"));
    let after = |text: &str| {
        let mut state = state.clone();
        state.after(&parse(text));
        state.paths().clone()
    };
    for text in [
        "EXECUTE s",
        "EXECUTE x",
        "EXPLAIN ANALYZE EXECUTE s",
        "CREATE TABLE t AS EXECUTE x",
        "FETCH c",
        "EXPLAIN ANALYZE CREATE TABLE t AS EXECUTE x",
    ] {
        assert_ne!(after(text), Paths::exactly(app()), "{text}");
    }
    assert_eq!(after("EXECUTE nobody_knows"), Paths::Unknown);
    assert_eq!(after("EXECUTE plain"), Paths::exactly(app()));
    for (text, forgets) in [
        ("EXECUTE d", true),
        ("EXECUTE nobody_knows", true),
        ("EXECUTE plain", false),
        ("SELECT 1", false),
    ] {
        assert_eq!(state.may_forget_names(&parse(text)), forgets, "{text}");
    }
}

#[test]
fn a_session_starts_as_its_start_up_message_says() {
    let default = ["$user".to_owned(), "public".to_owned()];
    let started = |settings: &[(&str, &'static str)]| {
        let settings = settings.to_vec();
        SessionState::at_startup(&default, |name| {
            settings.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
        })
    };
    let exactly =
        |path: &[&str]| Paths::exactly(path.iter().map(|&name| name.to_owned()).collect());
    assert_eq!(*started(&[]).paths(), exactly(&["$user", "public"]));
    assert!(started(&[]).is_utf8());
    for (wanted, path) in [
        ("App, public", &["app", "public"][..]),
        (r#""$user",public"#, &["$user", "public"]),
        (r#""My, ""Own""",x"#, &["My, \"Own\"", "x"]),
        ("", &[]),
    ] {
        assert_eq!(*started(&[("search_path", wanted)]).paths(), exactly(path), "{wanted}");
    }
    for unclear in ["app\u{a0}, public", "\u{e4}pp", "app,\tpublic", LONG] {
        assert_eq!(*started(&[("search_path", unclear)]).paths(), Paths::Unknown, "{unclear}");
    }
    assert!(!started(&[("client_encoding", "LATIN1")]).is_utf8());
    assert!(started(&[("client_encoding", "utf-8")]).is_utf8());
}

/// A name of 64 bytes: the server knows it by the first 63.
const LONG: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn the_same_body_again_is_no_other() {
    let mut state = SessionState::new(Vec::new());
    for _ in 0..50 {
        state.note_prepared("p", &Parsed::parse("SELECT 1").unwrap());
    }
    assert_eq!(state.prepared("p").map(<[Body]>::len), Some(1));
}
