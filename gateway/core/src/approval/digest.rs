//! What an approval is bound to.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use tallyport_schemas::{AskedAccess, Context, SessionId};

use tallyport_access::policy::ApprovalDemand;

use crate::sql::Trace;
use crate::verdict::Facts;

/// Names the form: another form is another first line.
const FORM: &str = "tallyport approval 2";
const ACCESS_FORM: &str = "tallyport access 1";
const CALL_FORM: &str = "tallyport call 1";
/// The client's name for itself changes nothing of what a statement means.
const WITHOUT_MEANING: &str = "application_name";

/// All that an approval is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Bond<'a> {
    /// Principal, delegation chain, what the token says of the agent, and target.
    pub who: &'a Context,
    /// SHA-256 of the policy set.
    pub policy_version: &'a str,
    /// Who must agree, until when and for how often: what was asked under easier terms is something else.
    pub demand: &'a ApprovalDemand,
    /// The statement's whole text.
    pub statement: &'a str,
    /// What the statement reaches, as the catalog says now.
    pub facts: &'a Facts,
    /// [`bound_values`] of its parameters.
    pub parameters: Option<[u8; 32]>,
    /// The session's part in what it means.
    pub standing: Standing<'a>,
}

/// The session's part in what a statement means.
#[derive(Clone, Copy, Debug)]
pub enum Standing<'a> {
    /// The session's own state is part of it: what ran before may have changed a setting, made a temporary table, opened
    /// a transaction. Only this session, in this state, can mean the same again.
    Session {
        /// The session.
        session: Option<SessionId>,
        /// All that may have changed what statements mean.
        meaning: Trace,
        /// All that names stand for, where the statement may speak of one.
        named: Option<Trace>,
        /// What the target reported last.
        reported: &'a BTreeMap<String, String>,
    },
    /// Nothing ran before but what changes nothing: every session with the same settings means the same.
    Fresh {
        /// What the client asked for at its start.
        startup: &'a BTreeMap<String, String>,
        /// What the target reported.
        reported: &'a BTreeMap<String, String>,
    },
}

impl Standing<'_> {
    /// Whether only the session itself can mean the same again.
    #[must_use]
    pub const fn is_session(&self) -> bool {
        matches!(self, Self::Session { .. })
    }
}

/// SHA-256 over everything in `bond`, lower-case hexadecimal. Every part is written with its length, so that no two bonds
/// share their bytes.
#[must_use]
pub fn digest(bond: &Bond<'_>) -> String {
    let mut hash = Fields(Sha256::new());
    hash.text(FORM);
    hash.text(bond.statement);
    hash.optional(bond.parameters.as_ref().map(<[u8; 32]>::as_slice));
    hash.text(bond.policy_version);
    hash.text(&bond.demand.to_string());
    hash.text(bond.demand.scope().as_str());
    hash.count(usize::try_from(bond.demand.within().as_secs()).unwrap_or(usize::MAX));
    hash.who(bond.who);
    hash.all(bond.facts.tables.iter().map(ToString::to_string));
    hash.all(bond.facts.columns.iter().map(ToString::to_string));
    hash.all(bond.facts.functions.iter().cloned());
    hash.text(&format!("{} {}", bond.facts.opaque, bond.facts.by_key));
    match bond.standing {
        Standing::Session { session, meaning, named, reported } => {
            hash.text("session");
            let session = session.map(|id| id.to_string());
            hash.optional(session.as_ref().map(String::as_bytes));
            hash.bytes(meaning.as_bytes());
            hash.optional(named.as_ref().map(Trace::as_bytes));
            hash.settings(reported);
        }
        Standing::Fresh { startup, reported } => {
            hash.text("fresh");
            hash.settings(startup);
            hash.settings(reported);
        }
    }
    hex::encode(hash.0.finalize())
}

/// All that the approval of a command that is asked by itself is bound to: a call of a tool, a request.
#[derive(Clone, Copy, Debug)]
pub struct CallBond<'a> {
    /// Principal, delegation chain, what the token says of the agent, and server.
    pub who: &'a Context,
    /// SHA-256 of the policy set.
    pub policy_version: &'a str,
    /// Who must agree, until when and for how often.
    pub demand: &'a ApprovalDemand,
    /// The tool with its server, the route or the verb.
    pub functions: &'a [String],
    /// SHA-256 of what else its meaning depends on, as it is now.
    pub definition_sha256: Option<&'a str>,
    /// SHA-256 of what it says and no reviewer may see.
    pub unseen_sha256: Option<&'a str>,
    /// All else that it says, in one form.
    pub statement: &'a str,
}

/// SHA-256 over everything in `bond`, lower-case hexadecimal.
#[must_use]
pub fn call_digest(bond: &CallBond<'_>) -> String {
    let mut hash = Fields(Sha256::new());
    hash.text(CALL_FORM);
    hash.text(bond.statement);
    hash.all(bond.functions.iter().cloned());
    hash.optional(bond.definition_sha256.map(str::as_bytes));
    hash.optional(bond.unseen_sha256.map(str::as_bytes));
    hash.text(bond.policy_version);
    hash.text(&bond.demand.to_string());
    hash.text(bond.demand.scope().as_str());
    hash.count(usize::try_from(bond.demand.within().as_secs()).unwrap_or(usize::MAX));
    hash.who(bond.who);
    hex::encode(hash.0.finalize())
}

/// SHA-256 over a wish for access: who, to where, for how long, what for, under which terms; lower-case hexadecimal.
#[must_use]
pub fn access_digest(
    who: &Context,
    access: &AskedAccess,
    terms: &str,
    policy_version: &str,
) -> String {
    let mut hash = Fields(Sha256::new());
    hash.text(ACCESS_FORM);
    hash.who(who);
    hash.text(&access.seconds.to_string());
    hash.text(&access.reason);
    hash.text(terms);
    hash.text(policy_version);
    hex::encode(hash.0.finalize())
}

/// SHA-256 over bound values: for each its format, and its bytes or that it is NULL. `types` is what the Parse message
/// said of them.
#[must_use]
pub fn bound_values<'a>(
    types: &[u8],
    values: impl ExactSizeIterator<Item = (i16, Option<&'a [u8]>)>,
) -> [u8; 32] {
    let mut hash = Fields(Sha256::new());
    hash.bytes(types);
    hash.count(values.len());
    for (format, value) in values {
        hash.bytes(&format.to_be_bytes());
        hash.optional(value);
    }
    hash.0.finalize().into()
}

/// Parts with their lengths.
struct Fields(Sha256);

impl Fields {
    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn optional(&mut self, bytes: Option<&[u8]>) {
        self.0.update([u8::from(bytes.is_some())]);
        if let Some(bytes) = bytes {
            self.bytes(bytes);
        }
    }

    /// Principal, delegation chain, what the token says of the agent, and target.
    fn who(&mut self, who: &Context) {
        self.optional(who.principal.as_ref().map(|it| it.issuer.as_bytes()));
        self.optional(who.principal.as_ref().map(|it| it.subject.as_bytes()));
        self.count(who.delegation.len());
        for actor in &who.delegation {
            self.optional(actor.issuer.as_ref().map(String::as_bytes));
            self.text(&actor.subject);
        }
        let agent = &who.agent;
        for said in [&agent.model, &agent.agent, &agent.task] {
            self.optional(said.as_ref().map(String::as_bytes));
        }
        self.settings(&agent.other);
        self.optional(who.target.as_ref().map(|it| it.kind.as_str().as_bytes()));
        self.optional(who.target.as_ref().map(|it| it.name.as_bytes()));
        let database = who.target.as_ref().and_then(|it| it.database.as_ref());
        self.optional(database.map(String::as_bytes));
    }

    fn all(&mut self, texts: impl ExactSizeIterator<Item = String>) {
        self.count(texts.len());
        for text in texts {
            self.text(&text);
        }
    }

    fn settings(&mut self, settings: &BTreeMap<String, String>) {
        let meant: BTreeMap<String, &String> = settings
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .filter(|(name, _)| name != WITHOUT_MEANING)
            .collect();
        self.count(meant.len());
        for (name, value) in meant {
            self.text(&name);
            self.text(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallyport_schemas::{Actor, ObjectRef, Principal, PrincipalKind, TargetKind, TargetRef};

    fn who() -> Context {
        Context {
            principal: Some(Principal {
                issuer: "https://idp".into(),
                subject: "agent".into(),
                display_name: "Agent".into(),
                kind: PrincipalKind::Agent,
                groups: Vec::new(),
                owner: None,
            }),
            delegation: vec![Actor { subject: "bot".into(), issuer: None }],
            target: Some(TargetRef {
                name: "db".into(),
                kind: TargetKind::Postgresql,
                database: Some("shop".into()),
            }),
            ..Context::default()
        }
    }

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// Whoever differs in one thing.
    fn others(who: &Context) -> Vec<Context> {
        let change = |edit: fn(&mut Context)| {
            let mut other = who.clone();
            edit(&mut other);
            other
        };
        vec![
            change(|it| it.principal.as_mut().unwrap().subject.push('2')),
            change(|it| it.principal.as_mut().unwrap().issuer.push('2')),
            change(|it| it.delegation.clear()),
            change(|it| it.delegation[0].issuer = Some(String::new())),
            change(|it| it.delegation.push(Actor { subject: "bot".into(), issuer: None })),
            change(|it| it.agent.task = Some("another".into())),
            change(|it| it.target.as_mut().unwrap().name.push('2')),
            change(|it| it.target.as_mut().unwrap().database = None),
        ]
    }

    fn demand(text: &str) -> ApprovalDemand {
        ApprovalDemand::parse(text).unwrap()
    }

    /// Whatever differs in meaning differs in the digest: each row changes one thing.
    #[test]
    fn every_part_binds() {
        let (who, facts, none) = (who(), Facts::default(), BTreeMap::new());
        let demanded = demand("1 of dba");
        let bond = Bond {
            who: &who,
            policy_version: "v1",
            demand: &demanded,
            statement: "DELETE FROM orders",
            facts: &facts,
            parameters: None,
            standing: Standing::Fresh { startup: &none, reported: &none },
        };
        let others = others(&who);
        let reaching = Facts {
            tables: vec![ObjectRef { schema: Some("app".into()), name: "orders".into() }],
            ..Facts::default()
        };
        let path = settings(&[("search_path", "other")]);
        let (a, b) = (
            bound_values(&[], [(0, Some(&b"1"[..]))].into_iter()),
            bound_values(&[], [(0, None)].into_iter()),
        );
        let meaning = Trace::default();
        let mut state = crate::sql::SessionState::new(Vec::new());
        state.shift_meaning("SET x = 1", None);
        let later = state.meaning();
        let id = Some(SessionId::new());
        let named = None;
        let in_session = |session, meaning, reported| Bond {
            standing: Standing::Session { session, meaning, named, reported },
            ..bond
        };
        let by_name =
            Standing::Session { session: id, meaning, named: Some(meaning), reported: &none };
        let seen = |opaque, by_key| Facts { opaque, by_key, ..Facts::default() };
        let (opaque, by_key) = (seen(true, false), seen(false, true));
        let [more, longer, again] =
            ["2 of dba", "1 of dba; within 1h", "1 of dba; for session"].map(demand);
        let mut bonds = vec![
            bond,
            Bond { policy_version: "v2", ..bond },
            Bond { statement: "DELETE FROM orders ", ..bond },
            Bond { facts: &reaching, ..bond },
            Bond { parameters: Some(a), ..bond },
            Bond { parameters: Some(b), ..bond },
            Bond { standing: Standing::Fresh { startup: &path, reported: &none }, ..bond },
            Bond { standing: Standing::Fresh { startup: &none, reported: &path }, ..bond },
            Bond { demand: &more, ..bond },
            Bond { demand: &longer, ..bond },
            Bond { demand: &again, ..bond },
            Bond { facts: &opaque, ..bond },
            Bond { facts: &by_key, ..bond },
            Bond { standing: by_name, ..bond },
            in_session(None, meaning, &none),
            in_session(id, meaning, &none),
            in_session(id, later, &none),
            in_session(id, later, &path),
        ];
        bonds.extend(others.iter().map(|who| Bond { who, ..bond }));
        let digests: std::collections::BTreeSet<String> = bonds.iter().map(digest).collect();
        assert_eq!(digests.len(), bonds.len());
        assert_eq!(digest(&bond), digest(&Bond { ..bond }), "the same is the same");
    }

    #[test]
    fn the_clients_name_for_itself_binds_nothing() {
        let (who, facts, none) = (who(), Facts::default(), BTreeMap::new());
        let named = settings(&[("Application_Name", "psql")]);
        let of = |startup| {
            digest(&Bond {
                who: &who,
                policy_version: "v1",
                demand: &demand("1 of dba"),
                statement: "SELECT 1",
                facts: &facts,
                parameters: None,
                standing: Standing::Fresh { startup, reported: &none },
            })
        };
        assert_eq!(of(&none), of(&named));
    }

    #[test]
    fn bound_values_differ_by_format_type_and_cut() {
        let of = |types: &[u8], values: &[(i16, Option<&[u8]>)]| {
            bound_values(types, values.iter().copied())
        };
        let all = [
            of(&[], &[]),
            of(&[], &[(0, Some(b""))]),
            of(&[], &[(0, None)]),
            of(&[], &[(1, Some(b""))]),
            of(&[0, 1], &[(0, Some(b""))]),
            of(&[], &[(0, Some(b"ab")), (0, Some(b"c"))]),
            of(&[], &[(0, Some(b"a")), (0, Some(b"bc"))]),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
