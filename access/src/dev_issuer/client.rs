//! The clients of the development issuer, and what their tokens say.

use rand::RngCore as _;
use serde_json::{Map, Value, json};
use tallyport_schemas::{Actor, PrincipalKind};

use crate::SecretToken;

/// Bytes of a client's secret.
const SECRET_BYTES: usize = 24;

/// One client: its credentials and the claims of its tokens.
#[derive(Clone, Debug)]
pub struct DevClient {
    /// Its id, and the subject of its tokens.
    pub id: String,
    /// Its secret.
    pub secret: SecretToken,
    /// What people call it.
    pub display_name: String,
    /// Its address.
    pub email: Option<String>,
    /// What it is.
    pub kind: PrincipalKind,
    /// Its groups.
    pub groups: Vec<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The model that acts.
    pub model: Option<String>,
    /// The agent's name or version.
    pub agent: Option<String>,
    /// The task it works on.
    pub task: Option<String>,
    /// Who acts for it, outermost first (RFC 8693).
    pub act: Vec<Actor>,
    /// What its tokens are issued for: names with spaces between.
    pub scope: Option<String>,
}

impl DevClient {
    /// An agent without groups, with a random secret.
    #[must_use]
    pub fn new(id: &str) -> Self {
        let mut secret = [0_u8; SECRET_BYTES];
        rand::rng().fill_bytes(&mut secret);
        Self {
            id: id.to_owned(),
            secret: SecretToken::new(hex::encode(secret)),
            display_name: id.to_owned(),
            kind: PrincipalKind::Agent,
            groups: Vec::new(),
            email: None,
            owner: None,
            model: None,
            agent: None,
            task: None,
            act: Vec::new(),
            scope: None,
        }
    }

    /// The clients of the demo, with random secrets: `support-agent`, `analyst`, `ops-agent`, `auditor`, `approver`,
    /// `lead` (who approves and reads the audit), `on-call-agent` and `nobody`.
    /// Their rights are in deploy/examples/policy.cedar.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let groups = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let human = |id: &str, name: &str, of: &[&str]| Self {
            kind: PrincipalKind::Human,
            display_name: name.to_owned(),
            groups: groups(of),
            ..Self::new(id)
        };
        vec![
            Self {
                display_name: "Support agent".to_owned(),
                groups: groups(&["support-agents"]),
                owner: Some("ada@example.com".to_owned()),
                model: Some("example-model-1".to_owned()),
                agent: Some("support-agent/1.0".to_owned()),
                ..Self::new("support-agent")
            },
            human("analyst", "Analyst", &["analysts", "auditors"]),
            Self {
                display_name: "Operations agent".to_owned(),
                groups: groups(&["operators"]),
                owner: Some("grace@example.com".to_owned()),
                model: Some("example-model-1".to_owned()),
                agent: Some("ops-agent/1.0".to_owned()),
                ..Self::new("ops-agent")
            },
            human("auditor", "Auditor", &["auditors"]),
            human("approver", "Order approver", &["order-approvers", "responders"]),
            human("lead", "Team lead", &["order-approvers", "responders", "auditors"]),
            Self {
                display_name: "On-call agent".to_owned(),
                groups: groups(&["on-call"]),
                owner: Some("grace@example.com".to_owned()),
                model: Some("example-model-1".to_owned()),
                agent: Some("on-call-agent/1.0".to_owned()),
                ..Self::new("on-call-agent")
            },
            Self { display_name: "Nobody".to_owned(), ..Self::new("nobody") },
        ]
    }

    /// The claims that do not change from token to token.
    pub(super) fn claims(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| {
            claims.insert(name.to_owned(), value);
        };
        put("sub", json!(self.id));
        put("client_id", json!(self.id));
        put("name", json!(self.display_name));
        put("kind", json!(self.kind));
        if !self.groups.is_empty() {
            put("groups", json!(self.groups));
        }
        let texts = [
            ("email", &self.email),
            ("owner", &self.owner),
            ("model", &self.model),
            ("agent", &self.agent),
            ("task", &self.task),
            ("scope", &self.scope),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                put(name, json!(text));
            }
        }
        let chain = self.act.iter().rev().fold(None, |inner: Option<Value>, actor| {
            let mut act = Map::from_iter([("sub".to_owned(), json!(actor.subject))]);
            act.extend(actor.issuer.as_ref().map(|issuer| ("iss".to_owned(), json!(issuer))));
            act.extend(inner.map(|inner| ("act".to_owned(), inner)));
            Some(Value::Object(act))
        });
        if let Some(act) = chain {
            put("act", act);
        }
        claims
    }
}
