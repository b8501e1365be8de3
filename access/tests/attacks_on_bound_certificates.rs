//! Attacks on tokens that are bound to a client's certificate. Each test names the section of RFC 8705 that it is about.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use serde_json::{Value, json};
use support::jwt::{Key, trusting};
use support::svid::{Authority, BILLING};
use tallyport_access::{Asked, Authenticator, ClientCertificate, Presented, ProofVerifier};
use tallyport_schemas::TokenBinding;

struct Stage {
    issuer: Key,
    authenticator: Authenticator,
    verifier: ProofVerifier,
    ours: ClientCertificate,
    other: ClientCertificate,
}

impl Stage {
    fn new() -> Self {
        let issuer = Key::p256("issuer");
        // Whose certificate it is counts for nothing: section 6.2.
        let authority = Authority::new("spiffe://nobody.example");
        let certificate = || ClientCertificate::of(&[authority.workload(BILLING, |_| {})]).unwrap();
        Self {
            authenticator: trusting(&[&issuer], |_| {}),
            issuer,
            verifier: ProofVerifier::new(&["gateway.example".to_owned()]).unwrap(),
            ours: certificate(),
            other: certificate(),
        }
    }

    fn bound(&self, confirmation: Value) -> String {
        self.issuer.good_but(json!({ "cnf": confirmation }))
    }

    async fn outcome(
        &self,
        token: &str,
        certificate: Option<&ClientCertificate>,
        proof: Option<&str>,
    ) -> Result<Option<TokenBinding>, &'static str> {
        let asked = Asked { method: "CONNECT", path: "/sample" };
        let presented = Presented { token, proof, asked, verifier: &self.verifier, certificate };
        let verified = self.authenticator.verify_presented(&presented).await;
        verified.map(|identity| identity.binding).map_err(|failure| failure.code())
    }
}

/// The example of section 3.1: the value of the claim is 43 characters of base64url over SHA-256.
#[test]
fn a_thumbprint_is_of_the_whole_certificate() {
    let stage = Stage::new();
    assert_eq!(stage.ours.thumbprint().len(), 43);
    assert_ne!(stage.ours.thumbprint(), stage.other.thumbprint());
}

#[tokio::test]
async fn section_3_a_bound_token_needs_its_certificate() {
    let stage = Stage::new();
    let token = stage.bound(json!({ "x5t#S256": stage.ours.thumbprint() }));
    let ours = Some(&stage.ours);
    assert_eq!(stage.outcome(&token, ours, None).await, Ok(Some(TokenBinding::Mtls)));
    assert_eq!(stage.outcome(&token, None, None).await, Err("no_certificate"));
    assert_eq!(stage.outcome(&token, Some(&stage.other), None).await, Err("other_certificate"));
    // Where nobody can show one, it is no bearer token.
    let failure = stage.authenticator.verify(&token).await.unwrap_err();
    assert_eq!(failure.code(), "no_certificate");
}

#[tokio::test]
async fn section_3_1_a_confirmation_is_what_it_says() {
    let stage = Stage::new();
    let ours = Some(&stage.ours);
    let print = stage.ours.thumbprint();
    for (what, confirmation, code) in [
        ("cut short", json!({ "x5t#S256": &print[..42] }), "other_certificate"),
        ("empty", json!({ "x5t#S256": "" }), "other_certificate"),
        ("padded", json!({ "x5t#S256": format!("{print}=") }), "other_certificate"),
        ("in another case", json!({ "x5t#S256": print.to_ascii_uppercase() }), "other_certificate"),
        ("a list", json!({ "x5t#S256": [print] }), "sender_constrained"),
        ("null", json!({ "x5t#S256": null }), "sender_constrained"),
        ("under the name of SHA-1", json!({ "x5t": print }), "sender_constrained"),
        ("beside a key", json!({ "x5t#S256": print, "jkt": print }), "sender_constrained"),
        ("of a key, with a certificate alone", json!({ "jkt": print }), "sender_constrained"),
        ("no object", json!(print), "sender_constrained"),
        ("nothing", json!({}), "sender_constrained"),
    ] {
        let token = stage.bound(confirmation);
        assert_eq!(stage.outcome(&token, ours, None).await, Err(code), "{what}");
    }
}

/// A token that is bound to a certificate is none for the scheme DPoP, and one that is bound to nothing needs none.
#[tokio::test]
async fn a_token_is_used_as_what_it_is() {
    let stage = Stage::new();
    let ours = Some(&stage.ours);
    let token = stage.bound(json!({ "x5t#S256": stage.ours.thumbprint() }));
    assert_eq!(stage.outcome(&token, ours, Some("")).await, Err("not_bound"));
    let plain = stage.issuer.good_but(json!({}));
    assert_eq!(stage.outcome(&plain, ours, None).await, Ok(None));
}
