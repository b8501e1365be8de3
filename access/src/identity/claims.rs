//! Claims to facts, by the issuer's mapping.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tallyport_schemas::{Actor, AgentAttributes, Principal, PrincipalKind};

use super::failure::Reason;
use super::issuer::Issuer;
use super::mapping::{ClaimSource, GroupSource, KindMapping};
use super::profile::K8S_NAMESPACE;

/// The deepest `act` chain.
pub(super) const MAX_DELEGATION_DEPTH: usize = 8;
/// OpenID Connect Core section 2: `sub` is at most 255 characters.
const MAX_SUBJECT_BYTES: usize = 255;
const MAX_TEXT_BYTES: usize = 1024;
const MAX_GROUPS: usize = 256;
const MAX_SCOPES: usize = 256;

type Claims = Map<String, Value>;

/// Finds a claim by name, or by JSON pointer when it begins with `/`.
fn find<'c>(claims: &'c Claims, path: &str) -> Option<&'c Value> {
    let Some(pointer) = path.strip_prefix('/') else {
        return claims.get(path).filter(|value| !value.is_null());
    };
    let mut tokens = pointer.split('/').map(|token| token.replace("~1", "/").replace("~0", "~"));
    let first = tokens.next()?;
    let mut here = claims.get(&first)?;
    for token in tokens {
        here = match here {
            Value::Object(map) => map.get(&token)?,
            Value::Array(items) => items.get(token.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(here).filter(|value| !value.is_null())
}

pub(super) fn principal(claims: &Claims, issuer: &Issuer) -> Result<Principal, Reason> {
    let subject = subject(claims, &issuer.claims.subject)?;
    let display_name = fact(claims, issuer.claims.display_name.as_ref())?;
    Ok(Principal {
        issuer: issuer.name.clone(),
        display_name: display_name.unwrap_or_else(|| subject.clone()),
        subject,
        kind: kind(claims, &issuer.claims.kind)?,
        groups: groups(claims, &issuer.claims.groups, &issuer.group_prefix)?,
        owner: fact(claims, issuer.claims.owner.as_ref())?,
    })
}

/// The stable id. `sub` is a valid text wherever it stands, also when another claim is the id. A number or a truth value
/// is no id: how it is written down would be ours to choose.
fn subject(claims: &Claims, path: &str) -> Result<String, Reason> {
    let is_id = |value: &Value, max_bytes| value.as_str().is_some_and(|id| is_plain(id, max_bytes));
    if claims.get("sub").is_some_and(|sub| !is_id(sub, MAX_TEXT_BYTES)) {
        return Err(Reason::InvalidClaim("sub".to_owned()));
    }
    match find(claims, path) {
        None => Err(Reason::MissingClaim(path.to_owned())),
        Some(Value::String(id)) if is_plain(id, MAX_SUBJECT_BYTES) => Ok(id.clone()),
        Some(_) => Err(Reason::InvalidClaim(path.to_owned())),
    }
}

/// By which it may be named as the owner of others.
pub(super) fn email(claims: &Claims, issuer: &Issuer) -> Result<Option<String>, Reason> {
    let Some(source) = &issuer.claims.email else { return Ok(None) };
    // Some providers write an empty one for whoever has none.
    if !source.required && find(claims, &source.claim) == Some(&Value::String(String::new())) {
        return Ok(None);
    }
    text(claims, source)
}

pub(super) fn agent(claims: &Claims, issuer: &Issuer) -> Result<AgentAttributes, Reason> {
    let mut other = BTreeMap::new();
    for (name, source) in &issuer.claims.other {
        if let Some(value) = text(claims, source)? {
            other.insert(name.clone(), value);
        }
    }
    Ok(AgentAttributes {
        model: fact(claims, issuer.claims.model.as_ref())?,
        agent: fact(claims, issuer.claims.agent.as_ref())?,
        task: fact(claims, issuer.claims.task.as_ref())?,
        other,
    })
}

/// RFC 8693 section 4.1: the outermost `act` is the current actor, nested ones acted before it.
pub(super) fn delegation(claims: &Claims) -> Result<Vec<Actor>, Reason> {
    let wrong = || Reason::InvalidClaim("act".to_owned());
    let mut chain = Vec::new();
    let mut next = claims.get("act");
    while let Some(act) = next {
        if chain.len() == MAX_DELEGATION_DEPTH {
            return Err(Reason::DelegationTooDeep { max_depth: MAX_DELEGATION_DEPTH });
        }
        let act = act.as_object().ok_or_else(wrong)?;
        let subject = match act.get("sub") {
            Some(Value::String(sub)) if is_plain(sub, MAX_SUBJECT_BYTES) => sub.clone(),
            _ => return Err(wrong()),
        };
        let issuer = match act.get("iss") {
            None => None,
            Some(Value::String(iss)) if is_plain(iss, MAX_TEXT_BYTES) => Some(iss.clone()),
            Some(_) => return Err(wrong()),
        };
        chain.push(Actor { subject, issuer });
        next = act.get("act");
    }
    Ok(chain)
}

/// What the token was issued for: a text of names with spaces between (RFC 8693 section 4.2), or a list of them, as some
/// issuers write it.
pub(super) fn scopes(claims: &Claims) -> Result<BTreeSet<String>, Reason> {
    let mut scopes = BTreeSet::new();
    for claim in ["scope", "scp"] {
        let wrong = || Reason::InvalidClaim(claim.to_owned());
        let names: Vec<&str> = match claims.get(claim) {
            None | Some(Value::Null) => continue,
            Some(Value::String(names)) => {
                names.split(' ').filter(|name| !name.is_empty()).collect()
            }
            Some(Value::Array(names)) => names
                .iter()
                .map(|name| name.as_str().ok_or_else(wrong))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(wrong()),
        };
        if names.len() > MAX_SCOPES || !names.iter().all(|name| is_plain(name, MAX_TEXT_BYTES)) {
            return Err(wrong());
        }
        scopes.extend(names.into_iter().map(str::to_owned));
    }
    Ok(scopes)
}

/// Claims that must be there because of the profile, and claims that must have certain values.
pub(super) fn check_required(claims: &Claims, issuer: &Issuer) -> Result<(), Reason> {
    for path in issuer.profile.required() {
        text(claims, &ClaimSource::required(path))?;
    }
    for (path, values) in &issuer.required_claims {
        let holds = match find(claims, path) {
            None => return Err(Reason::MissingClaim(path.clone())),
            Some(Value::Array(items)) => items.iter().any(|item| values.contains(item)),
            Some(value) => values.contains(value),
        };
        if !holds {
            return Err(Reason::InvalidClaim(path.clone()));
        }
    }
    Ok(())
}

/// A text claim that is optional by nature, such as `jti`.
pub(super) fn optional_text(claims: &Claims, name: &str) -> Result<Option<String>, Reason> {
    text(claims, &ClaimSource::optional(name))
}

fn fact(claims: &Claims, source: Option<&ClaimSource>) -> Result<Option<String>, Reason> {
    source.map_or(Ok(None), |source| text(claims, source))
}

fn text(claims: &Claims, source: &ClaimSource) -> Result<Option<String>, Reason> {
    match find(claims, &source.claim) {
        Some(Value::String(value)) if is_plain(value, MAX_TEXT_BYTES) => Ok(Some(value.clone())),
        Some(Value::Number(value)) => Ok(Some(value.to_string())),
        Some(Value::Bool(value)) => Ok(Some(value.to_string())),
        Some(_) => Err(Reason::InvalidClaim(source.claim.clone())),
        None if source.required => Err(Reason::MissingClaim(source.claim.clone())),
        None => Ok(None),
    }
}

fn kind(claims: &Claims, mapping: &KindMapping) -> Result<PrincipalKind, Reason> {
    match find(claims, &mapping.claim) {
        Some(Value::String(value)) => mapping
            .values
            .get(value)
            .copied()
            .ok_or_else(|| Reason::InvalidClaim(mapping.claim.clone())),
        Some(_) => Err(Reason::InvalidClaim(mapping.claim.clone())),
        None => mapping.default.ok_or_else(|| Reason::MissingClaim(mapping.claim.clone())),
    }
}

/// Sorted and without repeats.
fn groups(claims: &Claims, source: &GroupSource, prefix: &str) -> Result<Vec<String>, Reason> {
    let found = match source {
        GroupSource::Nowhere => Vec::new(),
        GroupSource::Claim(source) => named_groups(claims, source)?,
        GroupSource::ServiceAccount => service_account_groups(claims)?,
    };
    let groups: BTreeSet<String> =
        found.into_iter().map(|group| format!("{prefix}{group}")).collect();
    Ok(groups.into_iter().collect())
}

/// A text is one group: splitting it at spaces would make groups nobody gave.
fn named_groups(claims: &Claims, source: &ClaimSource) -> Result<Vec<String>, Reason> {
    let wrong = || Reason::InvalidClaim(source.claim.clone());
    let found = match find(claims, &source.claim) {
        None if source.required => return Err(Reason::MissingClaim(source.claim.clone())),
        None => return Ok(Vec::new()),
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        Some(Value::Array(items)) if items.len() <= MAX_GROUPS => items.as_slice(),
        Some(_) => return Err(wrong()),
    };
    found
        .iter()
        .map(|group| match group {
            Value::String(name) if is_plain(name, MAX_TEXT_BYTES) => Ok(name.clone()),
            _ => Err(wrong()),
        })
        .collect()
}

/// All service accounts, and those of the namespace.
fn service_account_groups(claims: &Claims) -> Result<Vec<String>, Reason> {
    let all = "system:serviceaccounts";
    let namespace = text(claims, &ClaimSource::required(K8S_NAMESPACE))?;
    Ok(std::iter::once(all.to_owned())
        .chain(namespace.map(|namespace| format!("{all}:{namespace}")))
        .collect())
}

/// Not empty, bounded, and without control characters that could forge lines where it is shown.
fn is_plain(text: &str, max_bytes: usize) -> bool {
    (1..=max_bytes).contains(&text.len()) && !text.chars().any(char::is_control)
}
