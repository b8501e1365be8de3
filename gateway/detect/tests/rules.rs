//! Rules as they stand in configuration, and what is counted.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;

use tallyport_detect::{
    Action, Cards, Detectors, Findings, Group, Kind, Kinds, Rules, RulesError, Screen,
};

#[derive(Debug, serde::Deserialize)]
struct Config {
    detectors: Rules,
}

fn parse(text: &str) -> Result<Rules, String> {
    let text = format!("[detectors]\n{text}");
    toml::from_str::<Config>(&text)
        .map(|config| config.detectors)
        .map_err(|error| error.message().to_owned())
}

#[test]
fn the_narrower_rule_wins_in_whatever_order() {
    for text in [
        "all = 'alert'\nsecrets = 'deny'\njwt = 'mask'\nphone = 'off'",
        "jwt = 'mask'\nphone = 'off'\nsecrets = 'deny'\nall = 'alert'",
    ] {
        let rules = parse(text).unwrap();
        assert_eq!(rules.action(Kind::Jwt), Some(Action::Mask));
        assert_eq!(rules.action(Kind::GithubToken), Some(Action::Deny));
        assert_eq!(rules.action(Kind::Email), Some(Action::Alert));
        assert_eq!(rules.action(Kind::Phone), None);
        assert!(!rules.kinds().contains(Kind::Phone));
    }
}

#[test]
fn what_is_unknown_is_refused_with_the_fix() {
    let error = parse("payment_cards = 'mask'").unwrap_err();
    assert!(
        error.contains("unknown kind or group `payment_cards`: did you mean `payment_card`?"),
        "{error}"
    );
    assert!(
        error.contains("all, secrets, financial, national_ids, contact, gcp_service_account_key"),
        "{error}"
    );
    let error = parse("xyzzyxyzzy = 'mask'").unwrap_err();
    assert!(!error.contains("did you mean"), "{error}");
    let error = parse("jwt = 'block'").unwrap_err();
    assert_eq!(error, "`jwt` cannot be `block`: say alert, mask, deny or off");
    let error = parse("all = 'off'").unwrap_err();
    assert!(error.starts_with("no detector is on"), "{error}");
    assert_eq!(Rules::parse([]), Err(RulesError::Nothing));
    let long = "x".repeat(10_000);
    assert!(long.parse::<Kind>().unwrap_err().to_string().len() < 2_000);
}

#[test]
fn names_are_stable_and_apart() {
    let names: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
    for kind in Kind::ALL {
        assert_eq!(kind.name().parse(), Ok(*kind));
        assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{kind}\""));
        assert_eq!(serde_json::from_str::<Kind>(&format!("\"{kind}\"")).unwrap(), *kind);
        assert!(
            kind.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{kind}"
        );
    }
    let groups: Kinds =
        Group::ALL.iter().fold(Kinds::NONE, |all, group| all.union(Kinds::of(*group)));
    assert_eq!(groups, Kinds::all());
}

#[test]
fn deny_is_stricter_than_mask_is_stricter_than_alert() {
    assert!(Action::Deny > Action::Mask && Action::Mask > Action::Alert);
    let mut findings = Findings::default();
    assert_eq!(findings.action(), None);
    for (action, strictest) in [
        (Action::Mask, Action::Mask),
        (Action::Alert, Action::Mask),
        (Action::Deny, Action::Deny),
        (Action::Alert, Action::Deny),
    ] {
        findings.add(Kind::Email, action);
        assert_eq!(findings.action(), Some(strictest));
    }
    let mut other = Findings::default();
    other.add(Kind::PaymentCard, Action::Alert);
    other.merge(&findings);
    assert_eq!(serde_json::to_string(&other).unwrap(), r#"{"payment_card":1,"email":4}"#);
    assert_eq!((other.total(), other.action()), (5, Some(Action::Deny)));
    let read: Findings = serde_json::from_str(r#"{"payment_card":18446744073709551615}"#).unwrap();
    other.merge(&read);
    assert_eq!(other.count(Kind::PaymentCard), u64::MAX, "counts saturate");
    assert_eq!(other.total(), u64::MAX);
}

#[test]
fn nothing_shows_what_was_found() {
    let secret = "4111111111111111";
    let screen = Screen::new(Rules::uniform(Kinds::all(), Action::Mask), Cards::Hidden).unwrap();
    let mut stream = screen.stream(Kinds::NONE);
    let mut out = Vec::new();
    stream.push(secret.as_bytes(), &mut out);
    let hits = screen.detectors().scan(secret.as_bytes());
    let findings = screen.mask(secret.as_bytes(), Kinds::NONE, &mut out);
    let shown = format!("{screen:?} {stream:?} {hits:?} {findings:?}");
    assert!(!shown.contains("4111"), "{shown}");
    assert!(shown.contains("PaymentCard"));
}

#[test]
fn only_what_is_asked_for_is_found() {
    let text = b"ann@example.org 4111111111111111";
    for (kinds, found) in [
        (Kinds::NONE, 0),
        (Kind::Email.into(), 1),
        (Kinds::of(Group::Financial), 1),
        (Kinds::of(Group::Secrets), 0),
        (Kinds::all(), 2),
    ] {
        assert_eq!(Detectors::new(kinds).unwrap().scan(text).len(), found, "{kinds:?}");
    }
}

#[test]
fn detectors_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Detectors>();
    shared::<Screen>();
    shared::<tallyport_detect::Stream>();
}
