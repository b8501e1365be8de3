//! Attacks on certificates of SPIFFE workloads. Each test names the section of the standard that it is about;
//! `X509` is X509-SVID, `ID` is SPIFFE-ID, `BUNDLE` is Trust Domain and Bundle.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use rcgen::{ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use rustls::pki_types::CertificateDer;
use support::svid::{
    Authority, BILLING, DOMAIN, Trusting, WORKLOADS, bundle, critical_extension, names_as_written,
    valid,
};
use tallyport_access::ClientCertificate;
use tallyport_schemas::{AuthMethod, PrincipalKind, TokenBinding};

fn domain() -> String {
    format!("spiffe://{DOMAIN}")
}

fn stage() -> (Authority, Trusting) {
    let authority = Authority::new(&domain());
    let trusting = Trusting::new(&bundle(&[&authority], &[]).to_string(), WORKLOADS);
    (authority, trusting)
}

#[test]
fn a_workload_is_known_by_its_certificate() {
    let (authority, trusting) = stage();
    let leaf = authority.workload(BILLING, |_| {});
    let certificate = ClientCertificate::of(std::slice::from_ref(&leaf)).unwrap();
    let identity = trusting.authenticator.verify_certificate(&certificate).unwrap();
    let principal = &identity.principal;
    assert_eq!(
        (principal.issuer.as_str(), principal.subject.as_str()),
        ("spiffe://prod.example.com", BILLING)
    );
    assert_eq!(principal.kind, PrincipalKind::Agent);
    assert_eq!(principal.groups, ["prod:agents", "prod:readers"]);
    assert_eq!(
        (principal.owner.as_deref(), identity.agent.model.as_deref()),
        (Some("team-a"), Some("m-1"))
    );
    assert_eq!(
        (identity.method, identity.binding),
        (AuthMethod::X509Svid, Some(TokenBinding::Mtls))
    );
    assert_eq!(identity.key_id.as_deref(), Some(certificate.thumbprint()));
}

/// With an authority between, which may have the domain's id or one of its own below it.
#[test]
fn a_path_over_an_intermediate_is_taken() {
    let (authority, trusting) = stage();
    let between = authority.below(&domain(), |_| {});
    let leaf = between.workload(BILLING, |_| {});
    assert_eq!(trusting.certificate(&[leaf.clone(), between.certificate.clone()]), "ok");
    assert_eq!(trusting.certificate(&[leaf]), "svid", "X509 5.1: without the intermediate");
}

#[test]
fn id_2_and_x509_2_the_leaf_has_one_id() {
    let (authority, trusting) = stage();
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let leaf = |uri: &str| authority.workload(uri, |_| {});
    let edited = |edit: &dyn Fn(&mut rcgen::CertificateParams)| authority.workload(BILLING, edit);
    let written = |names: &[&[u8]]| {
        edited(&|it| {
            it.subject_alt_names.clear();
            it.custom_extensions.push(names_as_written(&names.concat()));
        })
    };
    let length = [BILLING.len() as u8];
    let cases: Vec<(&str, CertificateDer<'static>, &str)> = vec![
        ("one URI, written by hand", written(&[&[0x86], &length, BILLING.as_bytes()]), "ok"),
        ("no name at all", edited(&|it| it.subject_alt_names.clear()), "svid"),
        (
            "two URIs",
            edited(&|it| it.subject_alt_names.push(uri("spiffe://prod.example.com/other"))),
            "svid",
        ),
        (
            "two URIs, one a web address",
            edited(&|it| it.subject_alt_names.push(uri("https://x.example"))),
            "svid",
        ),
        (
            "two URIs, one that is no text",
            written(&[&[0x86], &length, BILLING.as_bytes(), &[0x86, 1, 0xff]]),
            "svid",
        ),
        ("a URI of constructed form", written(&[&[0xa6], &length, BILLING.as_bytes()]), "svid"),
        (
            "a DNS name alone",
            edited(&|it| {
                it.subject_alt_names =
                    vec![SanType::DnsName("prod.example.com".try_into().unwrap())]
            }),
            "svid",
        ),
        ("the id of the domain itself", leaf("spiffe://prod.example.com"), "svid"),
        ("a web address", leaf("https://prod.example.com/ns/agents/sa/billing"), "svid"),
        (
            "ID 2.2: dots in the path",
            leaf("spiffe://prod.example.com/ns/agents/../ops/sa/backup"),
            "svid",
        ),
        (
            "ID 2.2: an escaped slash",
            leaf("spiffe://prod.example.com/ns%2fagents/sa/billing"),
            "svid",
        ),
        (
            "ID 2.1: an upper-case domain",
            leaf("spiffe://PROD.example.com/ns/agents/sa/billing"),
            "svid",
        ),
        ("ID 2.1: a port", leaf("spiffe://prod.example.com:443/ns/agents/sa/billing"), "svid"),
        ("ID 2: a query", leaf("spiffe://prod.example.com/ns/agents/sa/billing?x=/ns/ops"), "svid"),
    ];
    for (what, certificate, code) in cases {
        assert_eq!(trusting.certificate(&[certificate]), code, "{what}");
    }
}

#[test]
fn x509_4_the_leaf_is_a_workloads() {
    let (authority, trusting) = stage();
    let edited = |edit: &dyn Fn(&mut rcgen::CertificateParams)| authority.workload(BILLING, edit);
    let cases: Vec<(&str, CertificateDer<'static>, &str)> = vec![
        (
            "4.1: an authority's certificate",
            edited(&|it| it.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained)),
            "svid",
        ),
        (
            "4.3: may sign certificates",
            edited(&|it| it.key_usages.push(KeyUsagePurpose::KeyCertSign)),
            "svid",
        ),
        (
            "4.3: may sign lists of revocations",
            edited(&|it| it.key_usages.push(KeyUsagePurpose::CrlSign)),
            "svid",
        ),
        ("4.3: no use of the key", edited(&|it| it.key_usages.clear()), "svid"),
        (
            "4.3: another use of the key",
            edited(&|it| it.key_usages = vec![KeyUsagePurpose::KeyEncipherment]),
            "svid",
        ),
        (
            "4.4: for servers alone",
            edited(&|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            "svid",
        ),
        ("RFC 5280 4.2: an unknown critical extension", edited(&critical_extension), "svid"),
        ("RFC 5280 4.1.2.5: over", edited(&|it| valid(it, 2001, 2002)), "expired"),
        ("RFC 5280 4.1.2.5: not yet", edited(&|it| valid(it, 2100, 2101)), "not_yet_valid"),
    ];
    for (what, certificate, code) in cases {
        assert_eq!(trusting.certificate(&[certificate]), code, "{what}");
    }
    let mut more = edited(&|_| {}).to_vec();
    more.push(0);
    let why = trusting.why_not(CertificateDer::from(more));
    assert!(why.contains("more follows"), "bytes behind it: {why}");
    let why = trusting.why_not(edited(&|it| {
        it.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }));
    assert!(why.contains("an authority's"), "{why}");
    assert_eq!(
        trusting.certificate(&[CertificateDer::from(vec![0x30, 0])]),
        "svid",
        "no certificate"
    );
    assert_eq!(trusting.certificate(&[edited(&|_| {})]), "ok");
}

#[test]
fn x509_5_only_the_domains_own_authorities_count() {
    let (authority, trusting) = stage();
    let stranger = Authority::new(&domain());
    let elsewhere = Authority::new("spiffe://staging.example.com");
    let leaf = stranger.workload(BILLING, |_| {});
    assert_eq!(trusting.certificate(std::slice::from_ref(&leaf)), "svid", "of nobody");
    let with_ours = [leaf, authority.certificate.clone()];
    assert_eq!(
        trusting.certificate(&with_ours),
        "svid",
        "beside an authority that did not sign it"
    );
    let other = elsewhere.workload("spiffe://staging.example.com/ns/agents/sa/billing", |_| {});
    assert_eq!(trusting.certificate(&[other]), "unknown_trust_domain");
    // A workload that signs for another.
    let plain = authority.workload(BILLING, |_| {});
    let forged = stranger.workload("spiffe://prod.example.com/ns/ops/sa/backup", |_| {});
    assert_eq!(trusting.certificate(&[forged, plain]), "svid");
    // RFC 5280 4.2.1.9: an authority that may have none below it.
    let narrow = authority
        .below(&domain(), |it| it.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0)));
    let below = narrow.below(&domain(), |_| {});
    let leaf = below.workload(BILLING, |_| {});
    assert_eq!(
        trusting.certificate(&[leaf, below.certificate.clone(), narrow.certificate.clone()]),
        "svid"
    );
    // An intermediate whose time is over.
    let over = authority.below(&domain(), |it| valid(it, 2001, 2002));
    let leaf = over.workload(BILLING, |_| {});
    assert_ne!(trusting.certificate(&[leaf, over.certificate.clone()]), "ok");
}

/// BUNDLE 3: a domain's bundle is for that domain alone, however many are trusted.
#[test]
fn one_domain_cannot_speak_for_another() {
    let (ours, theirs) = (Authority::new(&domain()), Authority::new("spiffe://partner.example"));
    let folder = tempfile::tempdir().unwrap();
    let config = |name: &str, authority: &Authority| {
        let file = folder.path().join(name);
        std::fs::write(&file, bundle(&[authority], &[]).to_string()).unwrap();
        toml::from_str(&format!("name = '{name}'\nbundle_file = '{}'", file.display())).unwrap()
    };
    let configs = vec![config(DOMAIN, &ours), config("partner.example", &theirs)];
    let authenticator =
        tallyport_access::Authenticator::trusting(Vec::new(), configs, None).unwrap();
    let verify = |leaf: CertificateDer<'static>| {
        authenticator.verify_certificate(&ClientCertificate::of(&[leaf]).unwrap())
    };
    assert!(verify(theirs.workload("spiffe://partner.example/x", |_| {})).is_ok());
    assert_eq!(verify(theirs.workload(BILLING, |_| {})).unwrap_err().code(), "svid");
    assert!(verify(ours.workload(BILLING, |_| {})).is_ok());
}

#[test]
fn a_workload_that_no_rule_names_is_refused() {
    let (authority, trusting) = stage();
    for (uri, code) in [
        ("spiffe://prod.example.com/ns/ops/sa/backup", "ok"),
        ("spiffe://prod.example.com/ns/ops/sa/backup/x", "unknown_workload"),
        ("spiffe://prod.example.com/ns/ops/sa/backups", "unknown_workload"),
        ("spiffe://prod.example.com/ns/agents", "unknown_workload"),
        ("spiffe://prod.example.com/ns/agents-old/sa/billing", "unknown_workload"),
    ] {
        assert_eq!(trusting.certificate(&[authority.workload(uri, |_| {})]), code, "{uri}");
    }
}

#[test]
fn bundle_4_the_file_is_read_anew() {
    let (authority, trusting) = stage();
    let leaf = authority.workload(BILLING, |_| {});
    let next = Authority::new(&domain());
    let new_leaf = next.workload(BILLING, |_| {});
    let until = |leaf: &CertificateDer<'static>, code: &str| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while trusting.certificate(std::slice::from_ref(leaf)) != code {
            assert!(std::time::Instant::now() < deadline, "never {code}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    let write = |text: &str| std::fs::write(&trusting.file, text).unwrap();
    assert_eq!(trusting.certificate(std::slice::from_ref(&new_leaf)), "svid");
    write(&bundle(&[&authority, &next], &[]).to_string());
    until(&new_leaf, "ok");
    // What cannot be read changes nothing.
    write("{\"keys\": []}");
    std::thread::sleep(std::time::Duration::from_millis(1200));
    assert_eq!(trusting.certificate(std::slice::from_ref(&leaf)), "ok");
    write(&bundle(&[&next], &[]).to_string());
    until(&leaf, "svid");
    assert_eq!(trusting.certificate(&[new_leaf]), "ok");
}

#[test]
fn a_file_that_is_no_bundle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.json");
    let config = |extra: &str| {
        toml::from_str(&format!("name = '{DOMAIN}'\nbundle_file = '{}'\n{extra}", file.display()))
            .unwrap()
    };
    let trust = |configs| tallyport_access::Authenticator::trusting(Vec::new(), configs, None);
    let error = |extra: &str| trust(vec![config(extra)]).unwrap_err().to_string();
    assert!(error("").contains("trust_domains.prod.example.com.bundle_file"));
    for text in [
        "",
        "{}",
        "[]",
        "{\"keys\":[]}",
        "{\"keys\":[{\"use\":\"x509-svid\",\"x5c\":[]}]}",
        "{\"keys\":[{\"use\":\"x509-svid\",\"x5c\":[\"AAAA\"]}]}",
        "{\"keys\":[{\"use\":\"jwt-svid\",\"kty\":\"oct\"}]}",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ] {
        std::fs::write(&file, text).unwrap();
        assert!(error("").contains("SPIFFE bundle"), "{text}: {}", error(""));
    }
    std::fs::write(&file, " ".repeat(2 << 20)).unwrap();
    assert!(error("").contains("larger than"));
    let authority = Authority::new(&domain());
    std::fs::write(&file, bundle(&[&authority], &[]).to_string()).unwrap();
    assert!(error("audiences = ['tallyport']").contains("audiences"));
    assert!(trust(vec![config(""), config("")]).unwrap_err().to_string().contains("named twice"));
    assert!(trust(Vec::new()).unwrap_err().to_string().contains("trust_domains"));
}
