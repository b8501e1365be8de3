//! Keycloak as the issuer of a whole gateway: people of a realm sign in, in the page and at a terminal, an agent's tokens are
//! bound to a key of its own, and the realm's keys are rotated while sessions run. One server for all of it, since it takes a
//! while to start.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod realm;
mod world;

use serde_json::json;
use tallyport_tests::{eventually, said, say_not_run};

use world::{Session, World, browser, read};

const TEST: &str = "a_realm_of_keycloak_is_the_issuer_of_a_gateway";

#[test]
fn a_realm_of_keycloak_is_the_issuer_of_a_gateway() {
    let Some(world) = World::start(TEST) else { return };
    an_agent_has_a_token_that_only_it_can_use(&world);
    keys_are_rotated_while_sessions_run(&world);
    let tried = browser(&["/dev/null"]);
    if tried.status.code() == Some(75) {
        return say_not_run("a_person_signs_in, of Keycloak", &said(&tried));
    }
    a_person_signs_in(&world);
}

/// Keycloak says that it knows DPoP (RFC 9449): `tallyport connect` asks for such a token by itself.
fn an_agent_has_a_token_that_only_it_can_use(world: &World) {
    let agent = world.connect("bound", &world.agent_access());
    assert_eq!(read(&agent, "SELECT 6 * 7"), "42");
    let (_, access) = world.token("bearer");
    let bearer = world.connect("bound", &access);
    let told = read(&bearer, "SELECT 6 * 7");
    assert!(told.contains("denied_by_policy"), "{told}");
    let came = "SELECT principal_subject FROM authentications WHERE outcome = 'success'";
    let found = world.eventually(came);
    let subject = found[0]["principal_subject"].as_str();
    assert_eq!(subject.map(str::len), Some(36), "the UUID of the account: {found:?}");
}

/// A session outlives the key that its token was signed with; nobody else comes in with such a token.
fn keys_are_rotated_while_sessions_run(world: &World) {
    let (old, access) = world.token("before");
    let before = world.connect("db", &access);
    let mut session = Session::open(&before);
    session.answers();

    world.realm.add_key("second", "200");
    let (new, access) = world.token("after");
    assert_ne!(world::key_id(&old), world::key_id(&new), "the new key signs");
    let after = world.connect("db", &access);
    assert!(eventually(|| read(&after, "SELECT 1") == "1"), "the new key is fetched");
    session.answers();

    world.realm.make_passive("first");
    std::thread::sleep(world::KEYS_MAX_AGE * 2);
    assert_eq!(read(&before, "SELECT 2"), "2", "the old key is still published");
    session.answers();

    world.realm.remove_key("first");
    let mut told = String::new();
    let refused = eventually(|| {
        told = read(&before, "SELECT 3");
        told.contains("not among its issuer's published keys")
    });
    assert!(refused, "who comes with the old key is refused: {told}");
    session.answers();
    assert_eq!(read(&after, "SELECT 4"), "4");
    let told = "SELECT failure FROM authentications WHERE failure = 'unknown_key'";
    let _on_record = world.eventually(told);
}

/// Ada, of the realm, by a code in the page (RFC 7636) and by a device's code (RFC 8628).
fn a_person_signs_in(world: &World) {
    let user = &world.realm.ready()["user"];
    world.walk("keycloakPage", &json!({ "user": user }));
    let ada = world.sign_in_at_the_terminal(|url| {
        world.walk("keycloakDevice", &json!({ "url": url, "user": user }));
    });
    assert_eq!(read(&ada, "SELECT 'ada was here'"), "ada was here");
    let ran = "SELECT principal_name AS who, principal_kind AS kind FROM commands \
               WHERE statement LIKE '%ada was here%'";
    let found = world.eventually(ran);
    assert_eq!(
        (&found[0]["who"], &found[0]["kind"]),
        (&json!("Ada Example"), &json!("human")),
        "{found:?}"
    );
}
