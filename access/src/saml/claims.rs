//! What an accepted assertion becomes in a token.

use serde_json::{Map, Value, json};

use super::assertion::Assertion;
use super::config::AttributeSource;
use super::failure::Refused;
use super::idp::Idp;

const TRANSIENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";
const EMAIL: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";
/// OpenID Connect Core section 2: `sub` is at most 255 characters.
const MAX_SUBJECT_BYTES: usize = 255;
const MAX_TEXT_BYTES: usize = 1024;
const MAX_GROUPS: usize = 256;

/// The claims that say who it is.
pub(super) fn claims(assertion: &Assertion, idp: &Idp) -> Result<Map<String, Value>, Refused> {
    let mapping = &idp.attributes;
    let id = subject(assertion, idp)?;
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), json!(format!("{}#{id}", idp.entity_id)));
    claims.insert("name".to_owned(), json!(id));
    if assertion.name_id.format.as_deref() == Some(EMAIL) && is_plain(&assertion.name_id.value) {
        claims.insert("email".to_owned(), json!(assertion.name_id.value));
    }
    let facts = [
        ("name", &mapping.display_name),
        ("email", &mapping.email),
        ("owner", &mapping.owner),
        ("model", &mapping.model),
        ("agent", &mapping.agent),
        ("task", &mapping.task),
    ];
    for (claim, source) in facts {
        if let Some(source) = source
            && let Some(text) = one(assertion, source)?
        {
            claims.insert(claim.to_owned(), json!(text));
        }
    }
    if let Some(source) = &mapping.groups {
        claims.insert("groups".to_owned(), json!(groups(assertion, source, &idp.group_prefix)?));
    }
    let mut other = Map::new();
    for (name, source) in &mapping.other {
        if let Some(text) = one(assertion, source)? {
            other.insert(name.clone(), json!(text));
        }
    }
    if !other.is_empty() {
        claims.insert("attributes".to_owned(), Value::Object(other));
    }
    claims.insert("kind".to_owned(), kind(assertion, idp)?);
    claims.insert("idp".to_owned(), json!(idp.entity_id));
    // RFC 9068 wants a client's name, and there is none: it came on this provider's word.
    claims.insert("client_id".to_owned(), json!(idp.entity_id));
    Ok(claims)
}

/// The stable id at its provider; in the token the provider is in front of it, so that two of them can never name one
/// principal: no entity id has a `#`.
fn subject(assertion: &Assertion, idp: &Idp) -> Result<String, Refused> {
    let (id, wrong) = match &idp.attributes.subject {
        Some(attribute) => {
            let source = AttributeSource { attribute: attribute.clone(), required: true };
            let id = one(assertion, &source)?.unwrap_or_default();
            (id, Refused::InvalidAttribute(attribute.clone()))
        }
        None if assertion.name_id.format.as_deref() == Some(TRANSIENT) => {
            return Err(Refused::NameId);
        }
        None => (assertion.name_id.value.clone(), Refused::NameId),
    };
    let fits = idp.entity_id.len() + 1 + id.len() <= MAX_SUBJECT_BYTES;
    if is_plain(&id) && fits { Ok(id) } else { Err(wrong) }
}

fn kind(assertion: &Assertion, idp: &Idp) -> Result<Value, Refused> {
    let mapping = &idp.attributes.kind;
    let Some(attribute) = &mapping.attribute else { return Ok(json!(mapping.default)) };
    let source = AttributeSource { attribute: attribute.clone(), required: false };
    match one(assertion, &source)? {
        None => Ok(json!(mapping.default)),
        Some(value) => mapping
            .values
            .get(&value)
            .map(|kind| json!(kind))
            .ok_or_else(|| Refused::InvalidAttribute(attribute.clone())),
    }
}

/// The one value of an attribute.
fn one(assertion: &Assertion, source: &AttributeSource) -> Result<Option<String>, Refused> {
    match values(assertion, source)? {
        [] => Ok(None),
        [Some(text)] if is_plain(text) => Ok(Some(text.clone())),
        _ => Err(Refused::InvalidAttribute(source.attribute.clone())),
    }
}

/// Sorted and without repeats. A value is one group: splitting it would make groups that nobody gave.
fn groups(
    assertion: &Assertion,
    source: &AttributeSource,
    prefix: &str,
) -> Result<Vec<String>, Refused> {
    let wrong = || Refused::InvalidAttribute(source.attribute.clone());
    let values = values(assertion, source)?;
    if values.len() > MAX_GROUPS {
        return Err(wrong());
    }
    let named = values.iter().map(|value| match value {
        Some(name) if is_plain(name) => Ok(format!("{prefix}{name}")),
        _ => Err(wrong()),
    });
    let mut groups = named.collect::<Result<Vec<_>, _>>()?;
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}

fn values<'a>(
    assertion: &'a Assertion,
    source: &AttributeSource,
) -> Result<&'a [Option<String>], Refused> {
    match assertion.attributes.get(&source.attribute) {
        Some(values) if !values.is_empty() => Ok(values),
        _ if source.required => Err(Refused::MissingAttribute(source.attribute.clone())),
        _ => Ok(&[]),
    }
}

/// Not empty, bounded, and without control characters that could forge lines where it is shown.
fn is_plain(text: &str) -> bool {
    (1..=MAX_TEXT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}
