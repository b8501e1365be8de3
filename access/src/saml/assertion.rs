//! What a signed assertion says (SAML core section 2), read from the signed bytes alone.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::document::{Node, Xml};
use super::failure::Refused;
use super::signature::Signed;

pub(super) const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const ENTITY: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity";

/// The facts of an assertion.
#[derive(Debug)]
pub(super) struct Assertion {
    pub(super) id: String,
    pub(super) issuer: String,
    pub(super) issued_at: Timestamp,
    pub(super) name_id: NameId,
    /// Those by a bearer; others are passed over.
    pub(super) bearers: Vec<Bearer>,
    pub(super) not_before: Option<Timestamp>,
    pub(super) not_on_or_after: Option<Timestamp>,
    /// Each restriction holds by itself; one of its audiences must be ours.
    pub(super) audiences: Vec<Vec<String>>,
    pub(super) session_ends: Option<Timestamp>,
    /// A value that is no plain text is `None`.
    pub(super) attributes: BTreeMap<String, Vec<Option<String>>>,
}

#[derive(Debug)]
pub(super) struct NameId {
    pub(super) format: Option<String>,
    pub(super) value: String,
}

#[derive(Debug)]
pub(super) struct Bearer {
    pub(super) recipient: Option<String>,
    pub(super) not_on_or_after: Option<Timestamp>,
    /// It is confirmed in another way beside (a time to wait for, a key, another name): it is not taken.
    pub(super) is_odd: bool,
}

impl Assertion {
    pub(super) fn read(signed: &Signed) -> Result<Self, Refused> {
        let xml = Xml::parse(signed.xml())?;
        let root = xml.root()?;
        if !root.is(SAML, "Assertion") || root.attribute("Version") != Some("2.0") {
            return Err(Refused::Form("it is no assertion of SAML 2.0"));
        }
        // Whatever has an assertion or a signature in it would say two things.
        if root.all().skip(1).any(|node| ["Assertion", "Signature"].contains(&node.local_name())) {
            return Err(Refused::Form("there is an assertion or a signature within"));
        }
        let known = ["Issuer", "Subject", "Conditions", "AuthnStatement", "AttributeStatement"];
        only_known(root, &known)?;
        let conditions = required(root, "Conditions", "it has no Conditions")?;
        let subject = required(root, "Subject", "it has no Subject")?;
        let (not_before, not_on_or_after, audiences) = read_conditions(conditions)?;
        Ok(Self {
            id: root.attribute("ID").unwrap_or_default().to_owned(),
            issuer: issuer(root)?,
            issued_at: time(root, "IssueInstant")?
                .ok_or(Refused::Form("it has no IssueInstant"))?,
            name_id: name_id(subject)?,
            bearers: bearers(subject)?,
            not_before,
            not_on_or_after,
            audiences,
            session_ends: session_ends(root)?,
            attributes: attributes(root)?,
        })
    }
}

/// The text of the one `Issuer` that names an entity (SAML core section 2.2.5). Also used to find the keys, before the
/// signature is checked: what it says then is asked of the signed bytes once more.
pub(super) fn issuer(assertion: Node<'_>) -> Result<String, Refused> {
    let issuer = required(assertion, "Issuer", "it has not exactly one Issuer")?;
    if issuer.attribute("Format").is_some_and(|format| format != ENTITY) {
        return Err(Refused::Form("its Issuer is no entity"));
    }
    issuer.text().ok_or(Refused::Form("its Issuer is no text"))
}

fn name_id(subject: Node<'_>) -> Result<NameId, Refused> {
    only_known(subject, &["NameID", "SubjectConfirmation"])?;
    let name = required(subject, "NameID", "its Subject has not exactly one NameID")?;
    Ok(NameId {
        format: name.attribute("Format").map(str::to_owned),
        value: name.text().ok_or(Refused::NameId)?,
    })
}

fn bearers(subject: Node<'_>) -> Result<Vec<Bearer>, Refused> {
    let confirmations = subject.named(SAML, "SubjectConfirmation");
    let mut bearers = Vec::new();
    for one in confirmations.filter(|one| one.attribute("Method") == Some(BEARER)) {
        let data = required(one, "SubjectConfirmationData", "a confirmation has no data")?;
        bearers.push(Bearer {
            recipient: data.attribute("Recipient").map(str::to_owned),
            not_on_or_after: time(data, "NotOnOrAfter")?,
            // SAML profiles section 4.1.4.2: a bearer's has no NotBefore.
            is_odd: data.attribute("NotBefore").is_some()
                || data.children().next().is_some()
                || one.children().count() != 1,
        });
    }
    Ok(bearers)
}

type Conditions = (Option<Timestamp>, Option<Timestamp>, Vec<Vec<String>>);

/// SAML core section 2.5.1: a condition that is not understood makes the assertion invalid.
fn read_conditions(conditions: Node<'_>) -> Result<Conditions, Refused> {
    let mut audiences = Vec::new();
    for condition in conditions.children() {
        if condition.is(SAML, "AudienceRestriction") {
            only_known(condition, &["Audience"])?;
            let of_it = condition.named(SAML, "Audience").map(Node::text);
            let of_it: Option<Vec<String>> = of_it.collect();
            audiences.push(of_it.ok_or(Refused::Audience)?);
        } else if !condition.is(SAML, "OneTimeUse") {
            // Also ProxyRestriction: on its word a token is issued here, and that is what it restricts.
            return Err(Refused::Condition);
        }
    }
    Ok((time(conditions, "NotBefore")?, time(conditions, "NotOnOrAfter")?, audiences))
}

/// The earliest end of a session that any statement tells of.
fn session_ends(root: Node<'_>) -> Result<Option<Timestamp>, Refused> {
    let mut earliest: Option<Timestamp> = None;
    for statement in root.named(SAML, "AuthnStatement") {
        if let Some(end) = time(statement, "SessionNotOnOrAfter")? {
            earliest = Some(earliest.map_or(end, |known| known.min(end)));
        }
    }
    Ok(earliest)
}

/// Values of one name are joined: providers write one element for each value, or one with all of them.
fn attributes(root: Node<'_>) -> Result<BTreeMap<String, Vec<Option<String>>>, Refused> {
    let mut attributes: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    for statement in root.named(SAML, "AttributeStatement") {
        if statement.named(SAML, "EncryptedAttribute").next().is_some() {
            return Err(Refused::Encrypted);
        }
        only_known(statement, &["Attribute"])?;
        for attribute in statement.named(SAML, "Attribute") {
            let name = attribute.attribute("Name");
            let name = name.ok_or(Refused::Form("an attribute has no Name"))?;
            let values = attribute.named(SAML, "AttributeValue").map(Node::text);
            attributes.entry(name.to_owned()).or_default().extend(values);
        }
    }
    Ok(attributes)
}

fn required<'d>(node: Node<'d>, name: &str, otherwise: &'static str) -> Result<Node<'d>, Refused> {
    node.only(SAML, name, Refused::Form(otherwise))?.ok_or(Refused::Form(otherwise))
}

fn only_known(node: Node<'_>, names: &[&str]) -> Result<(), Refused> {
    let is_known = |child: Node<'_>| names.iter().any(|name| child.is(SAML, name));
    if node.has_stray_text() || !node.children().all(is_known) {
        return Err(Refused::Form("it has parts that are not known"));
    }
    Ok(())
}

/// SAML core section 1.3.3: in UTC, and no other way to write it.
fn time(node: Node<'_>, name: &str) -> Result<Option<Timestamp>, Refused> {
    let wrong = Refused::Form("a time is not written in UTC, such as 2026-01-31T12:00:00Z");
    let Some(text) = node.attribute(name) else { return Ok(None) };
    let is_plain = text.ends_with('Z')
        && text.chars().all(|c| c.is_ascii_digit() || ['-', ':', '.', 'T', 'Z'].contains(&c));
    if !is_plain {
        return Err(wrong);
    }
    text.parse().map(Some).map_err(|_| wrong)
}
