//! Cedar text, as an operator or a repository gives it.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tallyport_access::policy::{Action, PolicyError, PolicySet, Resource};

use super::court::{context, identity};

/// Keywords, annotations and entities.
pub const WORDS: &[&[u8]] = &[
    b"permit (principal, action, resource);",
    b"forbid (principal, action, resource)",
    b" when { ",
    b" unless { ",
    b"@id(\"a\") ",
    b"@mask(\"redact\") ",
    b"@mask(\"partial:last4\") ",
    b"@row_limit(\"10\") ",
    b"@record(\"head:5\") ",
    b"@advice(\"x\") ",
    b"@ttl(\"1h\") ",
    b"Tallyport::Action::\"sql:select\"",
    b"Tallyport::Action::\"col:readMasked\"",
    b"Tallyport::Group::\"agents\"",
    b"Tallyport::Label::\"secret\"",
    b"context.readOnly",
    b"resource is Tallyport::Table",
    b"principal in ",
    b"?principal",
    b"ip(\"10.0.0.0/8\")",
    b" like \"*\"",
    b"if ",
    b" then ",
    b" else ",
    b"((((((((",
    b"[[[[[[[[",
    b"!!!!!!!!",
    b"decimal(\"1.0\")",
    b"datetime(\"2026-01-01\")",
    b" && ",
    b"// ",
];

/// The example, and small policies.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    [
        include_str!("../../../../deploy/examples/policy.cedar"),
        include_str!("../../../fixtures/masking/hostile.cedar"),
        include_str!("../../../fixtures/allow-all.cedar"),
        r#"@id("a") @row_limit("10") permit (principal, action == Tallyport::Action::"sql:select", resource);"#,
        r#"forbid (principal, action, resource) unless { context.readOnly && !context.opaque };"#,
        r#"permit (principal in Tallyport::Group::"agents", action, resource) when { context has sourceIp && context.sourceIp.isInRange(ip("10.0.0.0/8")) };"#,
        r#"@mask("partial:last4") permit (principal, action == Tallyport::Action::"col:readMasked", resource in Tallyport::Label::"pii");"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// The same text is the same set; what is not taken is said with lines of the text; without a permit nothing is allowed.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let set = match PolicySet::parse(text, "fuzz.cedar") {
        Ok(set) => Arc::new(set),
        Err(PolicyError::Invalid(problems)) => {
            let lines = text.matches('\n').count() + 1;
            assert!((1..=20).contains(&problems.len()));
            assert!(problems.iter().all(|problem| (1..=lines).contains(&problem.line)));
            return;
        }
        Err(other) => panic!("a text alone cannot fail like this: {other}"),
    };
    assert_eq!(set.version(), hex::encode(Sha256::digest(text)));
    let again = PolicySet::parse(text, "fuzz.cedar").expect("it was taken before");
    assert_eq!(again.policy_ids(), set.policy_ids());
    let table = Resource::Table {
        target: "sample".to_owned(),
        database: "app".to_owned(),
        schema: "app".to_owned(),
        table: "customers".to_owned(),
        labels: vec!["secret".to_owned()],
    };
    let answer = set.asker(&identity()).ask(Action::Select, &table, &context());
    if !text.contains("permit") {
        assert!(!answer.allowed, "nothing permits it");
    }
}
