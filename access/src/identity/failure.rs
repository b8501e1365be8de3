//! Why a token was refused.

use std::fmt;

use tallyport_schemas::{AuthMethod, RevocationId};

use super::Identity;
use crate::saml::Refused;

/// A token was refused, or could not be checked. Its texts are for the client and carry no part of the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthFailure {
    reason: Reason,
    method: AuthMethod,
    claimed_issuer: Option<String>,
    /// Of what was signed by whom we trust, and was refused all the same. For the record alone.
    proven: Option<Box<ProvenFacts>>,
}

/// What was proven of whoever was refused. It is shown to nobody, in no log line either.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct ProvenFacts {
    pub(crate) token_id: Option<String>,
    pub(crate) key_id: Option<String>,
    pub(crate) subject: Option<String>,
}

impl fmt::Debug for ProvenFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvenFacts").finish_non_exhaustive()
    }
}

impl AuthFailure {
    /// Nothing was presented.
    #[must_use]
    pub const fn missing() -> Self {
        Self {
            reason: Reason::Missing,
            method: AuthMethod::None,
            claimed_issuer: None,
            proven: None,
        }
    }

    /// The token is good, and whoever it names is not welcome any more.
    #[must_use]
    pub fn revoked(revocation_id: RevocationId, identity: &Identity) -> Self {
        let issuer = Some(identity.principal.issuer.clone());
        Self::new(Reason::Revoked(revocation_id), issuer).by(identity.method)
    }

    /// The token was good, and is over by now.
    #[must_use]
    pub fn over(identity: &Identity) -> Self {
        let issuer = Some(identity.principal.issuer.clone());
        Self::new(Reason::Expired, issuer).by(identity.method)
    }

    /// Nobody was signed in: `code` and `what` are of our own words.
    #[must_use]
    pub fn sign_in(code: &'static str, what: &'static str, issuer: Option<String>) -> Self {
        Self::new(Reason::SignIn { code, what }, issuer)
    }

    /// An assertion was not exchanged; `idp` is the identity provider that it is of, where that is a configured one.
    pub(crate) const fn saml(why: Refused, idp: Option<String>) -> Self {
        Self {
            reason: Reason::Saml(why),
            claimed_issuer: idp,
            method: AuthMethod::Saml,
            proven: None,
        }
    }

    /// The same, of an exchange: the assertion was good and led to nothing.
    #[must_use]
    pub fn of_exchange(self, idp: &str) -> Self {
        Self { claimed_issuer: Some(idp.to_owned()), method: AuthMethod::Saml, ..self }
    }

    /// A stable code such as `expired` or `unknown_issuer`; the list is in docs/reference/identity.md.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.reason.code()
    }

    /// The issuer that the token claims, where that is a plain issuer URL. Not verified.
    #[must_use]
    pub fn claimed_issuer(&self) -> Option<&str> {
        self.claimed_issuer.as_deref()
    }

    /// Whether the same token may be good later: its issuer could not be asked.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self.reason,
            Reason::IssuerUnavailable
                | Reason::IntrospectionUnavailable
                | Reason::Saml(Refused::Full)
        )
    }

    /// Whether more proofs came than are remembered.
    #[must_use]
    pub const fn is_too_many_proofs(&self) -> bool {
        matches!(self.reason, Reason::ProofsFull)
    }

    /// Whether the proof of a bound token lacks a nonce: a step of the protocol, no attempt that failed (RFC 9449 section 9).
    #[must_use]
    pub const fn needs_nonce(&self) -> bool {
        matches!(self.reason, Reason::ProofNonce)
    }

    /// Whether a proof was refused.
    #[must_use]
    pub const fn is_about_proof(&self) -> bool {
        matches!(self.reason, Reason::Proof(_) | Reason::ProofNonce)
    }

    /// Whether nothing was presented.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self.reason, Reason::Missing)
    }

    /// How whoever came was to prove who they are.
    #[must_use]
    pub const fn method(&self) -> AuthMethod {
        self.method
    }

    pub(super) fn new(reason: Reason, claimed_issuer: Option<String>) -> Self {
        let proven = match &reason {
            Reason::UnknownWorkload(proven) => Some(proven.clone()),
            _ => None,
        };
        let subject = proven.as_ref().and_then(|it| it.subject.as_deref());
        let domain = |id: &str| id.split('/').take(3).collect::<Vec<_>>().join("/");
        let claimed_issuer = claimed_issuer.or_else(|| subject.map(domain));
        Self { reason, method: AuthMethod::Oidc, claimed_issuer, proven }
    }

    /// The same, with what was proven.
    pub(crate) fn of(self, proven: Option<ProvenFacts>) -> Self {
        Self { proven: proven.map(Box::new), ..self }
    }

    /// What was proven, for the record.
    pub(crate) fn proven(&self) -> Option<&ProvenFacts> {
        self.proven.as_deref()
    }

    pub(super) fn by(self, method: AuthMethod) -> Self {
        Self { method, ..self }
    }
}

impl fmt::Display for AuthFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for AuthFailure {}

/// Why. Claim names in it are those of the configuration, never text out of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Reason {
    #[error("no token was presented; send `Authorization: Bearer <token>`")]
    Missing,
    #[error("the token is larger than {max_bytes} bytes; ask the issuer for a smaller one")]
    TooLarge { max_bytes: usize },
    #[error("the token is not a signed JWT in compact form; send the access token as issued")]
    Malformed,
    #[error(
        "the token names its own key or an extension ({0}) that is not taken; use the issuer's published keys"
    )]
    ForbiddenHeader(&'static str),
    #[error("the token's algorithm is not one that its issuer is configured for")]
    Algorithm,
    #[error(
        "the token is not an access token for this service; ask the issuer for an access token"
    )]
    WrongType,
    #[error("the token's issuer is not one that this service trusts")]
    UnknownIssuer,
    #[error("the token's signing key is not among its issuer's published keys")]
    UnknownKey,
    #[error("the issuer's keys cannot be had now; try again later")]
    IssuerUnavailable,
    #[error("the token's signature is wrong")]
    BadSignature,
    #[error("the token is for another audience; ask the issuer for this service's audience")]
    WrongAudience,
    #[error("the token lacks the claim `{0}`")]
    MissingClaim(String),
    #[error("the token's claim `{0}` is not of the form or value that is taken")]
    InvalidClaim(String),
    #[error("the token has expired; get a new one")]
    Expired,
    #[error("the proof (DPoP, RFC 9449) is not taken: {0}")]
    Proof(&'static str),
    #[error(
        "the proof (DPoP) needs this gateway's nonce: make it again with the one in DPoP-Nonce"
    )]
    ProofNonce,
    #[error("more proofs (DPoP) came than can be remembered; try again in some minutes")]
    ProofsFull,
    #[error("the token is bound to no key: send it as `Authorization: Bearer <token>`")]
    NotBound,
    #[error("the token is not valid yet; check the clocks of the issuer and this service")]
    NotYetValid,
    #[error(
        "the token lives longer than the {max_seconds} s that are taken; ask for a shorter one"
    )]
    LivesTooLong { max_seconds: u64 },
    #[error("the token's chain of actors is deeper than {max_depth}")]
    DelegationTooDeep { max_depth: usize },
    #[error(
        "the token is bound to a key of its holder: send it with a proof of that key, as `Authorization: DPoP <token>` with \
         a DPoP field (RFC 9449), where that is taken"
    )]
    SenderConstrained,
    #[error(
        "the token is bound to a client certificate (RFC 8705): connect with that certificate, where the gateway asks for one"
    )]
    NoCertificate,
    #[error(
        "the token is bound to another client certificate than the one of this connection (RFC 8705)"
    )]
    OtherCertificate,
    #[error(
        "the token's subject is no SPIFFE ID (JWT-SVID section 3.1); correct the entry at whoever issues it"
    )]
    NoSpiffeId,
    #[error("the client certificate is no X.509-SVID that is taken: {0}")]
    Svid(&'static str),
    #[error("the workload is of a trust domain that this service does not take it from")]
    UnknownTrustDomain,
    #[error("no rule of the trust domain is for this workload; ask whoever runs this gateway")]
    UnknownWorkload(Box<ProvenFacts>),
    #[error("the issuer says that the token does not count any more; get a new one")]
    Inactive,
    #[error("the issuer does not say whether the token still counts; try again later")]
    IntrospectionUnavailable,
    #[error("access was revoked ({0}); ask whoever runs this gateway")]
    Revoked(RevocationId),
    #[error("{what}; sign in again at /console/")]
    SignIn { code: &'static str, what: &'static str },
    #[error(transparent)]
    Saml(#[from] Refused),
}

impl Reason {
    const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "no_token",
            Self::TooLarge { .. } => "too_large",
            Self::Malformed => "malformed",
            Self::ForbiddenHeader(_) => "forbidden_header",
            Self::Algorithm => "unsupported_algorithm",
            Self::WrongType => "wrong_token_type",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKey => "unknown_key",
            Self::IssuerUnavailable => "issuer_unavailable",
            Self::BadSignature => "bad_signature",
            Self::WrongAudience => "wrong_audience",
            Self::MissingClaim(_) => "missing_claim",
            Self::InvalidClaim(_) => "invalid_claim",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::LivesTooLong { .. } => "lives_too_long",
            Self::DelegationTooDeep { .. } => "delegation_too_deep",
            Self::Proof(_) => "dpop_proof",
            Self::ProofNonce => "dpop_nonce",
            Self::ProofsFull => "dpop_full",
            Self::NotBound => "not_bound",
            Self::SenderConstrained => "sender_constrained",
            Self::NoCertificate => "no_certificate",
            Self::OtherCertificate => "other_certificate",
            Self::NoSpiffeId | Self::Svid(_) => "svid",
            Self::UnknownTrustDomain => "unknown_trust_domain",
            Self::UnknownWorkload(_) => "unknown_workload",
            Self::Inactive => "inactive",
            Self::IntrospectionUnavailable => "introspection_unavailable",
            Self::Revoked(_) => "revoked",
            Self::SignIn { code, .. } => code,
            Self::Saml(why) => why.code(),
        }
    }
}
