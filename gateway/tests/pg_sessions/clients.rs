//! Who may get tokens in these tests.

use tallyport_access::dev_issuer::{DevClient, DevIssuer};
use tallyport_access::{Credential, IntrospectionConfig, Secret};
use tallyport_schemas::{Actor, PrincipalKind};

/// Agents and people, each of one group.
pub fn all() -> Vec<DevClient> {
    let agent = |id: &str, group: &str| DevClient {
        groups: vec![group.to_owned()],
        kind: PrincipalKind::Agent,
        ..DevClient::new(id)
    };
    let human =
        |id: &str, group: &str| DevClient { kind: PrincipalKind::Human, ..agent(id, group) };
    vec![
        agent("agent", "agents"),
        agent("other", "others"),
        agent("robot", "dba"),
        DevClient { owner: Some("dana".to_owned()), ..agent("owned", "dba") },
        human("dana", "dba"),
        DevClient { owner: Some("Eli@Example.com".to_owned()), ..agent("mailed", "dba") },
        DevClient { email: Some("eli@example.com".to_owned()), ..human("eli", "dba") },
        human("sam", "security"),
        // Through an agent, which an orchestrator of another issuer acts through.
        DevClient { act: chain(), ..human("ada-by-agent", "analysts") },
        DevClient { act: chain(), ..human("bob-by-agent", "others") },
    ]
}

/// The actors of a delegated token, outermost first.
pub fn chain() -> Vec<Actor> {
    let elsewhere = Some("https://agents.example".to_owned());
    vec![
        Actor { subject: "agent".to_owned(), issuer: None },
        Actor { subject: "orchestrator".to_owned(), issuer: elsewhere },
    ]
}

/// How the issuer is asked whether a token still counts; an answer counts for a second.
pub fn introspection(issuer: &DevIssuer) -> IntrospectionConfig {
    let client = &issuer.clients()[0];
    let client_secret = Credential::Value(Secret::new(client.secret.expose().to_owned()));
    let (url, client_id) = (issuer.introspection_url(), client.id.clone());
    IntrospectionConfig { url, client_id, client_secret, cache_seconds: 1 }
}
