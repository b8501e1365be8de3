//! The trust domains whose workloads are let in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use tallyport_schemas::{AgentAttributes, AuthMethod, Principal, PrincipalKind, TokenBinding};

use super::bundle::Bundle;
use super::config::{TrustDomainConfig, TrustDomainError, Workload};
use super::id::SpiffeId;
use super::x509::{Leaf, verify_path};
use crate::followed::Followed;
use crate::identity::Identity;
use crate::identity::certificate::thumbprint;
use crate::identity::failure::{ProvenFacts, Reason};
use crate::identity::issuer::{Issuer, MAX_SVID_BYTES};
use crate::identity::token::UnverifiedToken;
use crate::identity::verifier::{Candidate, Proven};

/// All of them, by name.
#[derive(Debug)]
pub(in crate::identity) struct Domains {
    domains: BTreeMap<String, Domain>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct Domain {
    bundle: Followed<Bundle>,
    /// Of its tokens; absent where none is taken.
    tokens: Option<Issuer>,
    group_prefix: String,
    workloads: Vec<Workload>,
}

/// Why it is refused, and the trust domain that it claims.
type Stranger = (Reason, Option<String>);

impl Domains {
    pub(in crate::identity) fn check(
        configs: Vec<TrustDomainConfig>,
    ) -> Result<Self, TrustDomainError> {
        Self::with_bundles(configs, |config| {
            let file = &config.bundle_file;
            Followed::load(file, Bundle::FILE)
                .map_err(|why| config.wrong("bundle_file", format!("`{}`: {why}", file.display())))
        })
    }

    /// One domain, whose bundle is these bytes.
    #[cfg(feature = "fuzz")]
    pub(in crate::identity) fn of_bundle(
        config: TrustDomainConfig,
        content: &[u8],
    ) -> Result<Self, TrustDomainError> {
        Self::with_bundles(vec![config], |config| {
            let bundle =
                Bundle::parse(content).map_err(|what| config.wrong("bundle_file", what))?;
            Ok(Followed::fixed(bundle, Bundle::FILE))
        })
    }

    fn with_bundles(
        configs: Vec<TrustDomainConfig>,
        bundle_of: impl Fn(&TrustDomainConfig) -> Result<Followed<Bundle>, TrustDomainError>,
    ) -> Result<Self, TrustDomainError> {
        let mut domains = BTreeMap::new();
        for config in configs {
            config.check()?;
            let bundle = bundle_of(&config)?;
            if !config.audiences.is_empty() && bundle.current().keys.is_none() {
                let fix = "the bundle has no jwt-svid keys: give one in the SPIFFE format, or leave audiences out";
                return Err(config.wrong("audiences", fix));
            }
            let seconds = |value| SignedDuration::from_secs(i64::try_from(value).unwrap_or(0));
            let tokens = (!config.audiences.is_empty()).then(|| {
                let (skew, life) =
                    (seconds(config.clock_skew_seconds), seconds(config.max_lifetime_seconds));
                Issuer::of_trust_domain(&config.name, config.audiences.clone(), skew, life)
            });
            let again = domains.contains_key(&config.name);
            if again {
                return Err(config.wrong("name", "it is named twice; keep one entry"));
            }
            let TrustDomainConfig { name, group_prefix, workloads, .. } = config;
            domains.insert(name, Domain { bundle, tokens, group_prefix, workloads });
        }
        Ok(Self { domains, provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()) })
    }

    pub(in crate::identity) fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    pub(in crate::identity) fn names(&self) -> impl Iterator<Item = &str> {
        self.domains.keys().map(String::as_str)
    }

    pub(in crate::identity) fn has(&self, name: &str) -> bool {
        self.domains.contains_key(name)
    }

    /// The largest token of any: of what is larger nobody says why it is not taken.
    pub(in crate::identity) fn max_token_bytes(&self) -> usize {
        if self.is_empty() { 0 } else { MAX_SVID_BYTES }
    }

    /// Why a token is refused that names no issuer, where it is one of a workload by its subject.
    pub(in crate::identity) fn stranger(token: &UnverifiedToken<'_>) -> Option<Stranger> {
        let subject = token.claims().get("sub").and_then(|sub| sub.as_str())?;
        if token.issuer().is_some() || !subject.starts_with("spiffe:") {
            return None;
        }
        Some(match SpiffeId::parse(subject) {
            Some(id) => {
                (Reason::UnknownTrustDomain, Some(format!("spiffe://{}", id.trust_domain())))
            }
            None => (Reason::NoSpiffeId, None),
        })
    }

    /// Whose token it is, where that is said by its subject alone: JWT-SVID section 3 knows no issuer.
    pub(in crate::identity) fn subject_of(&self, token: &UnverifiedToken<'_>) -> Option<SpiffeId> {
        let subject = token.claims().get("sub").and_then(|sub| sub.as_str())?;
        SpiffeId::parse(subject).filter(|id| self.domains.contains_key(id.trust_domain()))
    }

    /// JWT-SVID section 5. The header is checked as any token's.
    pub(in crate::identity) fn verify_token(
        &self,
        token: &UnverifiedToken<'_>,
        (id, token_bytes): (&SpiffeId, usize),
        now: Timestamp,
    ) -> Result<Identity, Reason> {
        let domain = self.domain(id)?;
        let tokens = domain.tokens.as_ref().ok_or(Reason::UnknownTrustDomain)?;
        let candidate = Candidate::new(token, token_bytes, tokens)?;
        // Nobody made it for a holder: it can be bound to none.
        if candidate.bound_to()?.is_some() {
            return Err(Reason::SenderConstrained);
        }
        let keys = domain.bundle.current().keys.clone().ok_or(Reason::UnknownKey)?;
        let Proven { expires_at, token_id, key_id } = candidate.verify_signed(&keys, now)?;
        let (principal, agent) = domain.principal(id)?;
        Ok(Identity {
            method: AuthMethod::JwtSvid,
            principal,
            email: None,
            delegation: Vec::new(),
            agent,
            scopes: BTreeSet::new(),
            expires_at,
            token_id,
            key_id,
            binding: None,
        })
    }

    /// X509-SVID section 5. That the peer has the leaf's key, the handshake showed.
    pub(in crate::identity) fn verify_chain(
        &self,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<Identity, Reason> {
        let first = chain.first().ok_or(Reason::Svid("there is no certificate"))?;
        let leaf = Leaf::parse(first)?;
        let domain = self.domain(&leaf.id)?;
        let authorities = domain.bundle.current().authorities.clone();
        let authorities = authorities.ok_or(Reason::UnknownTrustDomain)?;
        verify_path(chain, &authorities, &self.provider, now)?;
        let (principal, agent) = domain.principal(&leaf.id)?;
        Ok(Identity {
            method: AuthMethod::X509Svid,
            principal,
            email: None,
            delegation: Vec::new(),
            agent,
            scopes: BTreeSet::new(),
            expires_at: leaf.ends_at,
            token_id: None,
            key_id: Some(thumbprint(first)),
            binding: Some(TokenBinding::Mtls),
        })
    }

    fn domain(&self, id: &SpiffeId) -> Result<&Domain, Reason> {
        self.domains.get(id.trust_domain()).ok_or(Reason::UnknownTrustDomain)
    }
}

impl Domain {
    fn principal(&self, id: &SpiffeId) -> Result<(Principal, AgentAttributes), Reason> {
        let known = self.workloads.iter().find(|workload| workload.is_of(id));
        if known.is_none() && !self.workloads.is_empty() {
            let subject = Some(id.as_str().to_owned());
            let proven = ProvenFacts { subject, ..ProvenFacts::default() };
            return Err(Reason::UnknownWorkload(Box::new(proven)));
        }
        let prefixed = |group: &String| format!("{}{group}", self.group_prefix);
        let mut groups: Vec<String> =
            known.map(|it| it.groups.iter().map(prefixed).collect()).unwrap_or_default();
        groups.sort_unstable();
        groups.dedup();
        let principal = Principal {
            issuer: format!("spiffe://{}", id.trust_domain()),
            subject: id.as_str().to_owned(),
            display_name: format!("{}{}", id.trust_domain(), id.path()),
            kind: known.map_or(PrincipalKind::Service, |it| it.kind),
            groups,
            owner: known.and_then(|it| it.owner.clone()),
        };
        let model = known.and_then(|it| it.model.clone());
        Ok((principal, AgentAttributes { model, ..AgentAttributes::default() }))
    }
}
