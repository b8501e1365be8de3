//! What named questions count once, often, or not at all.

use serde_json::json;
use tallyport_schemas::{
    AuthMethod, Authentication, Body, Context, Disposition, Draft, Front, Outcome, Principal,
    PrincipalKind, Response, ResponseStatus, SessionId,
};

use crate::ask::{ask, picked};
use crate::story;
use crate::world::World;

fn of(principal: Principal, body: Body) -> Draft {
    let context = Context {
        session_id: Some(SessionId::new()),
        principal: Some(principal),
        ..Context::default()
    };
    Draft::new(context.into(), Some(0), body)
}

fn agent() -> Principal {
    story::principal("agent-7", "Agent", PrincipalKind::Agent, None)
}

fn refused_token(message: Option<&str>) -> Draft {
    let failure = Authentication {
        outcome: Outcome::Failure,
        method: AuthMethod::Oidc,
        front: Front::Quic,
        failure: Some("malformed".to_owned()),
        message: message.map(str::to_owned),
        issuer: None,
        token_id: None,
        key_id: None,
        binding: None,
        expires_at: None,
    };
    Draft::new(Context::default().into(), None, Body::Authentication(failure))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refused_tokens_counts_as_often_as_it_was() {
    let world = World::start().await;
    for message in [
        None,
        Some("the token is no JSON Web Token"),
        // As the gateway writes it, and as a token might say it.
        Some("counted 28 times in 3 s, in place of an event each; the address is that of the last"),
        Some("the token says: counted 500 times in 3 s, in place of"),
    ] {
        world.commit(refused_token(message)).await;
    }
    let answer = ask(&world, "failed-authentications", &json!({})).await;
    assert_eq!(picked(&answer, &["failure", "failures"]), [json!(["malformed", 31])]);
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_targets_are_those_of_statements_that_reached_them() {
    let world = World::start().await;
    for (number, disposition, statement) in [
        (1, Disposition::Forwarded, "SELECT 1 / 0"),
        (2, Disposition::Refused, "SELECT number FROM app.customers"),
        (3, Disposition::Forwarded, "TALLYPORT REFUSED THE STATEMENT BEFORE THIS ONE"),
    ] {
        world.commit(of(agent(), story::command(number, disposition, statement, &[], &[]))).await;
        let mut failed = story::response(number, 0, 0, 1, &[]);
        failed.status = ResponseStatus::Error;
        failed.sqlstate = Some("22012".to_owned());
        world.commit(of(agent(), Body::Response(Box::new(Response::Completed(failed))))).await;
    }
    let answer = ask(&world, "target-errors", &json!({})).await;
    assert_eq!(picked(&answer, &["errors", "example"]), [json!([1, "SELECT 1 / 0"])]);
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_looking_at_catalogs_is_nobody_at_night() {
    let world = World::start().await;
    let named_alike = story::principal("gateway", "tallyport-catalog", PrincipalKind::Agent, None);
    let catalog = Principal { issuer: "tallyport".to_owned(), ..named_alike.clone() };
    for (number, principal) in [(1, catalog), (2, named_alike)] {
        let body = story::command(number, Disposition::Forwarded, "SELECT 1", &[], &[]);
        world.commit(of(principal, body)).await;
    }
    // One hour alone is a working hour.
    let answer = ask(&world, "off-hours", &json!({"from_hour": 23, "to_hour": 24})).await;
    assert_eq!(picked(&answer, &["principal_kind", "commands"]), [json!(["agent", 1])]);
    world.running.stop().await;
}
