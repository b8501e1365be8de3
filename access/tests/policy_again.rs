//! What policy said is given again only to whom, and for as long as, it holds.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use support::policy::{agent, identity, table};
use tallyport_access::Identity;
use tallyport_access::policy::{Action, AskContext, PolicySet};
use tallyport_schemas::{Actor, PrincipalKind, SessionId};

fn reading() -> AskContext {
    AskContext { read_only: true, ..AskContext::at(Timestamp::UNIX_EPOCH) }
}

#[test]
fn an_answer_is_given_again_only_for_the_same_facts_and_never_past_its_time() {
    let at = |text: &str| AskContext { now: text.parse().unwrap(), ..reading() };
    let (may, june) = (at("2026-05-31T23:59:59Z"), at("2026-06-01T00:00:00Z"));
    let orders = table("app", "orders", &[]);
    let ask = |text: &str| {
        let set = Arc::new(PolicySet::parse(text, "p.cedar").unwrap());
        let asker = set.asker(&agent("agent", &[]));
        let writing = AskContext { read_only: false, ..june.clone() };
        [&may, &june, &writing, &may]
            .map(|context| asker.ask(Action::Select, &orders, context).allowed)
    };
    let until_june = r#"permit (principal, action, resource) when { context["n\u{6f}w"] < datetime("2026-06-01") };"#;
    assert_eq!(ask(until_june), [true, false, false, true]);
    let reading_only = "permit (principal, action, resource) when { context.readOnly };";
    assert_eq!(ask(reading_only), [true, true, false, true]);
}

/// Sessions of one identity share what policy said, but for what it says of the session itself.
#[test]
fn an_answer_for_one_session_is_none_for_another() {
    let (one, other) = (SessionId::new(), SessionId::new());
    let orders = table("app", "orders", &[]);
    let text = format!(
        "permit (principal, action, resource) when {{ context has sessionId && context.sessionId == \"{one}\" }};"
    );
    let set = Arc::new(PolicySet::parse(&text, "p.cedar").unwrap());
    let ask = |session| {
        let context = AskContext { session_id: Some(session), ..reading() };
        set.asker(&agent("agent", &[])).ask(Action::Select, &orders, &context).allowed
    };
    assert_eq!([one, other, one].map(ask), [true, false, true]);
}

/// What one set knows of an identity is shared between sessions: never with one that differs in a fact policy can see.
#[test]
fn identities_that_differ_in_one_fact_are_told_apart_whoever_asks_first() {
    let actor = |subject: &str, issuer: Option<&str>| Actor {
        subject: subject.into(),
        issuer: issuer.map(Into::into),
    };
    let base = || {
        let mut one = identity(PrincipalKind::Agent, "a", &["g"]);
        one.principal.owner = Some("owner".into());
        one.delegation = vec![actor("actor", Some("https://actors")), actor("earlier", None)];
        one.agent.model = Some("m".into());
        one.agent.agent = Some("n".into());
        one.agent.task = Some("t".into());
        one.agent.other = BTreeMap::from([("repository".to_owned(), "r".to_owned())]);
        one
    };
    type Change = fn(&mut Identity);
    let facts: [(&str, Change); 13] = [
        ("principal is Tallyport::Agent", |one| one.principal.kind = PrincipalKind::Service),
        (r#"principal in Tallyport::Issuer::"https://id.example.com""#, |one| {
            one.principal.issuer = "https://other".into();
        }),
        (r#"principal.subject == "a""#, |one| one.principal.subject = "b".into()),
        (r#"principal.displayName == "a""#, |one| one.principal.display_name = "b".into()),
        (r#"principal in Tallyport::Group::"g""#, |one| one.principal.groups.clear()),
        (r#"principal has owner && principal.owner == "owner""#, |one| one.principal.owner = None),
        ("principal.delegated", |one| one.delegation.clear()),
        (r#"principal has actor && principal.actor == "actor""#, |one| {
            one.delegation.remove(0);
        }),
        (r#"principal has actorIssuer && principal.actorIssuer == "https://actors""#, |one| {
            one.delegation[0].issuer = None;
        }),
        (r#"principal has model && principal.model == "m""#, |one| one.agent.model = None),
        (r#"principal has agent && principal.agent == "n""#, |one| one.agent.agent = None),
        (r#"principal has task && principal.task == "t""#, |one| one.agent.task = Some("u".into())),
        (r#"principal.hasTag("repository") && principal.getTag("repository") == "r""#, |one| {
            one.agent.other.clear();
        }),
    ];
    let orders = table("app", "orders", &[]);
    for (condition, change) in facts {
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        let mut other = base();
        change(&mut other);
        for other_first in [true, false] {
            let set = Arc::new(PolicySet::parse(&text, "p.cedar").unwrap());
            let ask =
                |who: &Identity| set.asker(who).ask(Action::Select, &orders, &reading()).allowed;
            let answers = if other_first {
                [ask(&other), ask(&base()), ask(&other), ask(&base())]
            } else {
                [ask(&base()), ask(&other), ask(&base()), ask(&other)]
            };
            let want =
                if other_first { [false, true, false, true] } else { [true, false, true, false] };
            assert_eq!(answers, want, "{condition}");
        }
    }
}

#[test]
fn more_identities_than_are_kept_are_answered_each_its_own() {
    let text = r#"permit (principal, action, resource) when { principal.subject like "*7" };"#;
    let set = Arc::new(PolicySet::parse(text, "p.cedar").unwrap());
    let orders = table("app", "orders", &[]);
    for _ in 0..2 {
        for number in 0..150 {
            let asker = set.asker(&agent(&number.to_string(), &[]));
            let allowed = asker.ask(Action::Select, &orders, &reading()).allowed;
            assert_eq!(allowed, number % 10 == 7, "{number}");
        }
    }
}
