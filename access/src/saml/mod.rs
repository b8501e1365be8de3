//! SAML 2.0 sign-in by exchange: a signed assertion of a configured identity provider for a short-lived token of our
//! own (RFC 7522). Sans-IO: bytes and the time come in, a token or the reason why not goes out.
//!
//! The way of an assertion: [`document`] refuses what no SAML message has and parses the rest within bounds;
//! [`signature`] checks the one signature that counts and gives the signed bytes; [`assertion`] reads facts from those
//! bytes and from nothing else; [`idp`] says whether they are for us and for now; [`claims`] and [`issue`] make the
//! token, with the key whose turn it is by [`rotation`]; [`replay`] lets each assertion through once. No session and no statement ever comes here.

mod assertion;
mod claims;
mod config;
mod document;
mod failure;
mod idp;
mod issue;
mod keys;
mod replay;
mod rotation;
mod signature;

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use url::Url;

use assertion::{Assertion, SAML};
pub use config::{AttributeMapping, AttributeSource, IdpConfig, KindAttribute, SamlConfig};
use document::{Node, Xml};
pub(crate) use failure::Refused;
use idp::Idp;
pub use idp::SamlConfigError;
use replay::Replays;
pub(crate) use rotation::TokenKeys;

use crate::followed::Followed;
use crate::identity::ProvenFacts;
use crate::{AuthFailure, ClaimSource, IssuerConfig, Profile, SecretToken, is_safe_url};

const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
/// The largest document, and 4 bytes of base64 for 3 of it.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
const MAX_ENCODED_BYTES: usize = MAX_DOCUMENT_BYTES.div_ceil(3) * 4;
const TOKEN_SECONDS: std::ops::RangeInclusive<u64> = 60..=3600;
const MAX_IDPS: usize = 16;
/// RFC 7522 section 2.1: padding should be left out, and is taken; bits that say nothing are zero.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Exchanges assertions for tokens.
#[derive(Debug)]
pub struct SamlExchange {
    issuer: String,
    keys: Arc<TokenKeys>,
    life: SignedDuration,
    idps: Vec<Idp>,
    replays: Replays,
}

/// A token that was issued for an assertion, and what goes on record of it. The token counts from when it is.
#[derive(Debug)]
pub struct Exchanged {
    /// The token.
    pub token: SecretToken,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Whose word it is on: the identity provider's entity id.
    pub idp: String,
    /// The certificate whose key signed the assertion: SHA-256 in hex.
    pub certificate: String,
    /// The token's `jti`. One assertion gives the same one at every gateway, so that a second use can be seen.
    pub token_id: String,
}

/// What is known of an assertion that is refused.
#[derive(Default)]
struct Known {
    /// The provider whose keys were asked.
    idp: Option<String>,
    /// Once all that it says was accepted.
    facts: Option<ProvenFacts>,
}

impl Exchanged {
    /// Somebody exchanged the same assertion before, maybe elsewhere.
    #[must_use]
    pub fn replayed(&self) -> AuthFailure {
        AuthFailure::saml(Refused::Replayed, Some(self.idp.clone())).of(Some(self.facts()))
    }

    /// It cannot be remembered that this was exchanged.
    #[must_use]
    pub fn not_remembered(&self) -> AuthFailure {
        AuthFailure::saml(Refused::Full, Some(self.idp.clone())).of(Some(self.facts()))
    }

    fn facts(&self) -> ProvenFacts {
        ProvenFacts {
            token_id: Some(self.token_id.clone()),
            key_id: Some(self.certificate.clone()),
            subject: None,
        }
    }
}

impl SamlExchange {
    /// Checks the configuration and reads the certificates.
    ///
    /// # Errors
    /// [`SamlConfigError`], naming the key and the fix.
    pub fn new(config: &SamlConfig) -> Result<Self, SamlConfigError> {
        let wrong = SamlConfigError::new;
        let url = Url::parse(&config.issuer).ok().filter(is_safe_url);
        // Its documents are found at fixed paths of this gateway.
        if !url.is_some_and(|url| url.path() == "/" && url.query().is_none())
            || config.issuer.ends_with('/')
        {
            let fix = "write the https URL of this gateway without a path, such as https://gateway.example.com";
            return Err(wrong("issuer", fix));
        }
        if !TOKEN_SECONDS.contains(&config.token_seconds) {
            let (least, most) = (TOKEN_SECONDS.start(), TOKEN_SECONDS.end());
            return Err(wrong("token_seconds", &format!("{least} to {most}")));
        }
        if config.idps.is_empty() || config.idps.len() > MAX_IDPS {
            return Err(wrong("idp", &format!("name 1 to {MAX_IDPS} identity providers")));
        }
        let idps = config.idps.iter().map(Idp::check).collect::<Result<Vec<_>, _>>()?;
        for (index, idp) in idps.iter().enumerate() {
            if idps.iter().skip(index + 1).any(|other| other.entity_id == idp.entity_id) {
                let key = format!("idp `{}`.entity_id", idp.entity_id);
                return Err(wrong(&key, "it stands twice; keep one entry, with all certificates"));
            }
        }
        let life = SignedDuration::from_secs(i64::try_from(config.token_seconds).unwrap_or(0));
        Ok(Self {
            issuer: config.issuer.clone(),
            keys: Arc::new(TokenKeys::new(&config.token_key, life)?),
            life,
            idps,
            replays: Replays::default(),
        })
    }

    /// Exchanges an assertion, once here; what was exchanged elsewhere is for the caller to know.
    ///
    /// # Errors
    /// [`AuthFailure`]; the caller puts it on record and gives nothing out.
    pub fn exchange(&self, encoded: &str, now: Timestamp) -> Result<Exchanged, AuthFailure> {
        let mut known = Known::default();
        self.exchange_known(encoded, now, &mut known)
            .map_err(|why| AuthFailure::saml(why, known.idp).of(known.facts))
    }

    fn exchange_known(
        &self,
        encoded: &str,
        now: Timestamp,
        known: &mut Known,
    ) -> Result<Exchanged, Refused> {
        let text = decode(encoded)?;
        let xml = Xml::parse(&text)?;
        let unverified = find(&xml)?;
        let issuer = assertion::issuer(unverified)?;
        let idp = self.idps.iter().find(|idp| idp.entity_id == issuer);
        let idp = idp.ok_or(Refused::UnknownIdp)?;
        known.idp = Some(idp.entity_id.clone());
        let keys: Vec<_> = idp.certificates.iter().map(Followed::current).collect();
        let keys = keys.iter().flat_map(|of_a_file| of_a_file.iter());
        let signed = signature::verify(&xml, unverified, keys)?;
        let assertion = Assertion::read(&signed)?;
        let accepted = idp.accept(&assertion, now)?;
        let mut claims = claims::claims(&assertion, idp)?;
        let name = replay::name_of(&idp.entity_id, &assertion.id);
        let token_id = format!("saml-{}", hex::encode(name.get(..16).unwrap_or_default()));
        for (claim, value) in [("iss", &self.issuer), ("aud", &self.issuer), ("jti", &token_id)] {
            claims.insert(claim.to_owned(), json!(value));
        }
        known.facts = Some(ProvenFacts {
            token_id: Some(token_id.clone()),
            key_id: Some(signed.fingerprint().to_owned()),
            subject: None,
        });
        let full = now.checked_add(self.life).map_err(|_| Refused::NotIssued)?;
        let expires_at = accepted.ends.map_or(full, |ends| ends.min(full));
        // No token outlives what the assertion vouches for, so that no skew is allowed for its end; a token tells whole
        // seconds.
        if expires_at.as_second() <= now.as_second() {
            return Err(Refused::Expired);
        }
        let token = self.keys.sign(claims, now, expires_at)?;
        self.replays.use_up(name, accepted.lapses, now)?;
        Ok(Exchanged {
            token,
            expires_at,
            idp: idp.entity_id.clone(),
            certificate: signed.fingerprint().to_owned(),
            token_id,
        })
    }

    /// The issuer of its tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether assertions of this provider are taken, by its entity id.
    #[must_use]
    pub fn knows_provider(&self, entity_id: &str) -> bool {
        self.idps.iter().any(|idp| idp.entity_id == entity_id)
    }

    /// The public keys of its tokens (RFC 7517 section 5).
    #[must_use]
    pub fn jwks(&self, now: Timestamp) -> Value {
        json!({ "keys": *self.keys.published(now) })
    }

    /// Takes a key (as [`SamlConfig::token_key`]) that signs tokens once it has been published for two minutes; the one before
    /// it is published for as long as its tokens live. Whether it is another than the last one.
    ///
    /// # Errors
    /// [`SamlConfigError`]; nothing changes then.
    pub fn renew_key(&self, pem: &SecretToken, now: Timestamp) -> Result<bool, SamlConfigError> {
        self.keys.renew(pem, now)
    }

    pub(crate) const fn keys(&self) -> &Arc<TokenKeys> {
        &self.keys
    }

    /// What an issuer says of itself (RFC 8414 section 2).
    #[must_use]
    pub fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        json!({
            "issuer": self.issuer,
            "jwks_uri": at("/saml/jwks.json"),
            "token_endpoint": at("/saml/token"),
            "grant_types_supported": ["urn:ietf:params:oauth:grant-type:saml2-bearer"],
            "token_endpoint_auth_methods_supported": ["none"],
            "response_types_supported": [],
        })
    }

    /// How its tokens are checked: as any other issuer's of RFC 9068.
    pub(crate) fn issuer_config(&self) -> IssuerConfig {
        let audiences = vec![self.issuer.clone()];
        let mut config = IssuerConfig::of_profile(Profile::Rfc9068, &self.issuer, audiences);
        config.algorithms = issue::ALGORITHMS.map(str::to_owned).to_vec();
        config.max_lifetime_seconds = *TOKEN_SECONDS.end();
        config.claims.other.insert("idp".to_owned(), ClaimSource::required("idp"));
        let names = self.idps.iter().flat_map(|idp| idp.attributes.other.keys());
        for name in names {
            // A JSON pointer (RFC 6901 section 3).
            let pointer = name.replace('~', "~0").replace('/', "~1");
            let source = ClaimSource::optional(&format!("/attributes/{pointer}"));
            config.claims.other.entry(name.clone()).or_insert(source);
        }
        config
    }
}

fn decode(encoded: &str) -> Result<String, Refused> {
    if encoded.len() > MAX_ENCODED_BYTES {
        return Err(Refused::TooLarge { max_bytes: MAX_DOCUMENT_BYTES });
    }
    let bytes = BASE64URL.decode(encoded).map_err(|_| Refused::Encoding)?;
    String::from_utf8(bytes).map_err(|_| Refused::Encoding)
}

/// The one assertion of a document: the document itself, or a child of the response that it is. Nothing else of a
/// response is believed: it may be signed or not.
fn find<'d>(xml: &'d Xml<'_>) -> Result<Node<'d>, Refused> {
    let root = xml.root()?;
    let count = |name: &str| root.all().filter(|node| node.local_name() == name).count();
    if count("EncryptedAssertion") + count("EncryptedID") > 0 {
        return Err(Refused::Encrypted);
    }
    // By local name alone: a look-alike of another namespace is as good a reason to stop.
    if count("Assertion") != 1 {
        return Err(Refused::NotOneAssertion);
    }
    if root.is(SAML, "Assertion") {
        return Ok(root);
    }
    if !root.is(PROTOCOL, "Response") {
        return Err(Refused::NotOneAssertion);
    }
    root.only(SAML, "Assertion", Refused::NotOneAssertion)?.ok_or(Refused::NotOneAssertion)
}
