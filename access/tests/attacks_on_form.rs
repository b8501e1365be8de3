//! Attacks on header, key, signature and encoding. Each test names the specification or the flaw it is about.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use serde_json::{Value, json};
use support::jwt::{AUDIENCE, ISSUER, Key, b64, claims_but, hs256, outcome, trusting};
use tallyport_access::{Authenticator, IssuerConfig};

fn plain(keys: &[&Key]) -> Authenticator {
    trusting(keys, |_| {})
}

fn header_but(key: &Key, changes: Value) -> Value {
    let mut header = key.header();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            header.as_object_mut().unwrap().remove(name);
        } else {
            header[name] = value.clone();
        }
    }
    header
}

#[tokio::test]
async fn good_tokens_of_every_default_algorithm_are_taken() {
    let keys = [Key::rsa("r"), Key::p256("e"), Key::ed("d")];
    let authenticator = plain(&keys.each_ref());
    for key in &keys {
        assert_eq!(outcome(&authenticator, &key.good_but(json!({}))).await, "ok", "{}", key.alg());
    }
    let pss = keys[0].token(&header_but(&keys[0], json!({"alg": "PS256"})), &claims_but(json!({})));
    assert_eq!(outcome(&authenticator, &pss).await, "ok");
}

/// RFC 7519 section 6, RFC 8725 section 2.1; CVE-2015-9235.
#[tokio::test]
async fn alg_none_is_refused_in_every_spelling() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({ "alg": alg, "typ": "at+jwt", "kid": "k" });
        let signed =
            format!("{}.{}", b64(header.to_string()), b64(claims_but(json!({})).to_string()));
        for token in [format!("{signed}."), key.token(&header, &claims_but(json!({})))] {
            assert_eq!(outcome(&authenticator, &token).await, "unsupported_algorithm", "{alg}");
        }
    }
    let header = header_but(&key, json!({"alg": null}));
    let token = key.token(&header, &claims_but(json!({})));
    assert_eq!(outcome(&authenticator, &token).await, "unsupported_algorithm");
}

/// RFC 8725 section 2.1; CVE-2016-5431, CVE-2016-10555: the public key as an HMAC secret.
#[tokio::test]
async fn hmac_with_the_public_key_is_refused() {
    let key = Key::rsa("k");
    let authenticator = plain(&[&key]);
    let header = json!({ "alg": "HS256", "typ": "at+jwt", "kid": "k" });
    let claims = claims_but(json!({}));
    for secret in [key.public_bytes(), key.jwk().to_string().into_bytes(), vec![]] {
        let token = hs256(&secret, &header, &claims);
        assert_eq!(outcome(&authenticator, &token).await, "unsupported_algorithm");
        // The same under an allowed name: the signature is no RSA signature.
        let renamed = hs256(&secret, &key.header(), &claims);
        assert_eq!(outcome(&authenticator, &renamed).await, "bad_signature");
    }
}

/// A symmetric key in the key set never becomes a verification key.
#[tokio::test]
async fn a_published_symmetric_key_verifies_nothing() {
    let key = Key::p256("k");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let jwks = json!({ "keys": [key.jwk(), { "kty": "oct", "k": b64("secret"), "kid": "s" }] });
    std::fs::write(&path, jwks.to_string()).unwrap();
    let mut config = IssuerConfig::new(ISSUER, vec![AUDIENCE.to_owned()]);
    config.jwks_file = Some(path);
    let authenticator = Authenticator::new(vec![config]).unwrap();
    for alg in ["HS256", "ES256"] {
        let header = json!({ "alg": alg, "typ": "at+jwt", "kid": "s" });
        let token = hs256(b"secret", &header, &claims_but(json!({})));
        assert_ne!(outcome(&authenticator, &token).await, "ok");
    }
}

/// RFC 8725 section 3.2: only what is configured.
#[tokio::test]
async fn an_algorithm_that_is_not_configured_is_refused() {
    let p384 = Key::p384("k");
    assert_eq!(outcome(&plain(&[&p384]), &p384.good_but(json!({}))).await, "unsupported_algorithm");
    let allowed = trusting(&[&p384], |config| config.algorithms = vec!["ES384".into()]);
    assert_eq!(outcome(&allowed, &p384.good_but(json!({}))).await, "ok");
}

/// RFC 8725 section 3.1: a key is used with its own kind of algorithm only.
#[tokio::test]
async fn a_signature_by_a_key_of_another_kind_is_refused() {
    let rsa = Key::rsa("k");
    let p256 = Key::p256("k");
    let claims = claims_but(json!({}));
    let as_es256 = rsa.token(&header_but(&rsa, json!({"alg": "ES256"})), &claims);
    assert_eq!(outcome(&plain(&[&rsa]), &as_es256).await, "unknown_key");
    assert_eq!(outcome(&plain(&[&p256]), &as_es256).await, "bad_signature");
    let as_rs256 = p256.token(&header_but(&p256, json!({"alg": "RS256"})), &claims);
    assert_eq!(outcome(&plain(&[&rsa]), &as_rs256).await, "bad_signature");
}

/// A key that its issuer publishes for one algorithm is not used with another of the same kind.
#[tokio::test]
async fn a_keys_own_alg_binds() {
    let key = Key::rsa("k");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let mut jwk = key.jwk();
    jwk["alg"] = json!("PS256");
    std::fs::write(&path, json!({ "keys": [jwk] }).to_string()).unwrap();
    let mut config = IssuerConfig::new(ISSUER, vec![AUDIENCE.to_owned()]);
    config.jwks_file = Some(path);
    let authenticator = Authenticator::new(vec![config]).unwrap();
    assert_eq!(outcome(&authenticator, &key.good_but(json!({}))).await, "unknown_key");
}

/// RFC 7515 section 4.1.2 to 4.1.6, RFC 8725 section 3.10; CVE-2018-0114: keys that the token brings along.
#[tokio::test]
async fn tokens_that_bring_or_name_their_own_key_are_refused() {
    let key = Key::p256("k");
    let attacker = Key::p256("k");
    let authenticator = plain(&[&key]);
    let cases = [
        json!({ "jku": "https://id.example.com/jwks" }),
        json!({ "x5u": "https://id.example.com/cert" }),
        json!({ "jwk": attacker.jwk() }),
        json!({ "x5c": ["MIIB"] }),
    ];
    for changes in cases {
        for signer in [&attacker, &key] {
            let token = signer.token(&header_but(signer, changes.clone()), &claims_but(json!({})));
            assert_eq!(outcome(&authenticator, &token).await, "forbidden_header", "{changes}");
        }
    }
}

/// RFC 7515 section 4.1.11, RFC 7797: extensions that must be understood are not.
#[tokio::test]
async fn critical_extensions_are_refused() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    for changes in [
        json!({ "crit": ["b64"], "b64": false }),
        json!({ "b64": false }),
        json!({ "crit": ["exp"] }),
        json!({ "crit": [] }),
        json!({ "zip": "DEF" }),
    ] {
        let token = key.token(&header_but(&key, changes.clone()), &claims_but(json!({})));
        assert_eq!(outcome(&authenticator, &token).await, "forbidden_header", "{changes}");
    }
}

/// CVE-2022-21449, "psychic signatures": r and s of zero. And other signatures that are none.
#[tokio::test]
async fn wrong_signatures_are_refused() {
    let keys = [Key::rsa("k"), Key::p256("k"), Key::ed("k")];
    for key in &keys {
        let authenticator = plain(&[key]);
        let good = key.good_but(json!({}));
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let length = signature.len() * 3 / 4;
        let other = keys.iter().find(|other| other.alg() != key.alg()).unwrap();
        let forged = [
            b64(vec![0; length]),
            b64(vec![0xff; length]),
            b64([0; 64]),
            b64(""),
            b64("x"),
            b64(other.sign_bytes(signed.as_bytes(), false)),
            b64([1; 65]),
        ];
        for forgery in forged {
            let token = format!("{signed}.{forgery}");
            assert_eq!(outcome(&authenticator, &token).await, "bad_signature", "{}", key.alg());
        }
        let tampered = format!(
            "{}.{}.{signature}",
            b64(key.header().to_string()),
            b64(claims_but(json!({ "sub": "admin" })).to_string())
        );
        assert_eq!(outcome(&authenticator, &tampered).await, "bad_signature");
    }
}

/// RFC 8725 section 2.7 and 3.10; injection through `kid`.
#[tokio::test]
async fn key_ids_are_only_compared() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    let long = "k".repeat(257);
    let cases = [
        ("../../dev/null", "unknown_key"),
        ("/dev/null", "unknown_key"),
        ("k'--", "unknown_key"),
        ("k'||'1'=='1", "unknown_key"),
        ("http://evil.example/jwks#k", "unknown_key"),
        ("K", "unknown_key"),
        ("", "malformed"),
        ("k\n", "malformed"),
        ("k\u{0}", "malformed"),
        ("k k", "malformed"),
        ("\u{212a}", "malformed"),
        (long.as_str(), "malformed"),
    ];
    for (kid, expected) in cases {
        let token = key.token(&header_but(&key, json!({ "kid": kid })), &claims_but(json!({})));
        assert_eq!(outcome(&authenticator, &token).await, expected, "{kid:?}");
    }
    for kid in [json!(1), json!(["k"]), json!({ "k": 1 })] {
        let token = key.token(&header_but(&key, json!({ "kid": kid })), &claims_but(json!({})));
        assert_eq!(outcome(&authenticator, &token).await, "malformed");
    }
}

/// Without `kid` only an unambiguous key is used.
#[tokio::test]
async fn a_token_without_key_id_needs_an_only_key() {
    let (one, two) = (Key::p256("1"), Key::p256("2"));
    let token = one.token(&header_but(&one, json!({ "kid": null })), &claims_but(json!({})));
    assert_eq!(outcome(&plain(&[&one]), &token).await, "ok");
    assert_eq!(outcome(&plain(&[&one, &two]), &token).await, "unknown_key");
}

/// RFC 7515 sections 3.1 and 7.1, RFC 7516: what is not three parts of canonical base64url.
#[tokio::test]
async fn malformed_tokens_are_refused() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    let good = key.good_but(json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("three parts") };
    let cases = [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        header.into(),
        format!("{header}.{claims}"),
        format!("{header}..{signature}"),
        format!(".{claims}.{signature}"),
        format!("{good}."),
        format!("{good}.{signature}"),
        format!("{header}.{claims}.{signature}.{signature}.{signature}"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{header}=.{claims}.{signature}"),
        format!("{header}.{claims}.{signature}="),
        format!("{header}.{claims}+.{signature}"),
        good.replace('.', "\u{3002}"),
        json!({ "payload": claims, "protected": header, "signature": signature }).to_string(),
    ];
    for token in cases {
        assert_eq!(outcome(&authenticator, &token).await, "malformed", "{token:.60}");
    }
    for cut in [1, 5, 20] {
        let token = &good[..good.len() - cut];
        let code = outcome(&authenticator, token).await;
        assert!(matches!(code, "malformed" | "bad_signature"), "{code}");
    }
}

/// RFC 4648 section 3.5: a second spelling of the same signature is not taken.
#[tokio::test]
async fn signatures_have_one_spelling() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    let good = key.good_but(json!({}));
    // 64 bytes leave four unused bits in the last character.
    let last = good.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.find(last).unwrap();
    let other = alphabet.chars().nth(place + 1).unwrap();
    let respelt = format!("{}{other}", &good[..good.len() - 1]);
    assert_eq!(outcome(&authenticator, &respelt).await, "malformed");
}

/// RFC 7515 section 4, RFC 7519 section 4: repeated names, which parsers read differently.
#[tokio::test]
async fn repeated_names_are_refused() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    let header = key.header().to_string();
    let claims = claims_but(json!({})).to_string();
    let twice = |json: &str, name: &str, value: &str| {
        format!("{{\"{name}\":{value},{}", json.strip_prefix('{').unwrap())
    };
    let cases = [
        (header.clone(), twice(&claims, "sub", "\"admin\"")),
        (header.clone(), twice(&claims, "aud", "\"tallyport\"")),
        (header.clone(), twice(&claims, "\\u0073ub", "\"admin\"")),
        (header.clone(), twice(&claims, "act", "{\"sub\":\"a\",\"sub\":\"b\"}")),
        (twice(&header, "alg", "\"none\""), claims.clone()),
        (twice(&header, "kid", "\"other\""), claims.clone()),
    ];
    for (header, claims) in cases {
        let token = key.token_of_bytes(header.as_bytes(), claims.as_bytes());
        assert_eq!(outcome(&authenticator, &token).await, "malformed", "{header} {claims}");
    }
}

/// RFC 8259 section 8.1: JSON is UTF-8.
#[tokio::test]
async fn what_is_not_json_in_utf8_is_refused() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    let header = key.header().to_string();
    let claims = claims_but(json!({})).to_string();
    let mut latin1 = claims.replace("support-agent", "caf\u{e9}").into_bytes();
    latin1.retain(|byte| *byte != 0xc3);
    let cases: [&[u8]; 6] =
        [&latin1, b"", b"null", b"[]", b"\xef\xbb\xbf{}", b"{\"iss\":\"\xed\xa0\x80\"}"];
    for claims in cases {
        let token = key.token_of_bytes(header.as_bytes(), claims);
        assert_eq!(outcome(&authenticator, &token).await, "malformed");
    }
    let token = key.token_of_bytes(b"\xff\xfe", claims.as_bytes());
    assert_eq!(outcome(&authenticator, &token).await, "malformed");
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(4000), "]".repeat(4000));
    let token = key.token_of_bytes(header.as_bytes(), deep.as_bytes());
    assert_eq!(outcome(&authenticator, &token).await, "malformed");
}

/// RFC 8725 section 3.5 names bounds; ours is before any decoding.
#[tokio::test]
async fn oversized_tokens_are_refused() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    let token = key.good_but(json!({ "padding": "x".repeat(20_000) }));
    assert_eq!(outcome(&authenticator, &token).await, "too_large");
    assert_eq!(outcome(&authenticator, &"a".repeat(10_000_000)).await, "too_large");
    let wide = trusting(&[&key], |config| config.max_token_bytes = 64 * 1024);
    assert_eq!(outcome(&wide, &token).await, "ok");
}

/// A private key in a key set has leaked: what it signs is worth nothing.
#[tokio::test]
async fn published_private_and_encryption_keys_are_not_used() {
    let key = Key::p256("k");
    for (member, value) in
        [("d", json!("AA")), ("use", json!("enc")), ("key_ops", json!(["encrypt"]))]
    {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jwks.json");
        let mut jwk = key.jwk();
        jwk[member] = value;
        let other = Key::p256("other");
        std::fs::write(&path, json!({ "keys": [jwk, other.jwk()] }).to_string()).unwrap();
        let mut config = IssuerConfig::new(ISSUER, vec![AUDIENCE.to_owned()]);
        config.jwks_file = Some(path);
        let authenticator = Authenticator::new(vec![config]).unwrap();
        assert_eq!(
            outcome(&authenticator, &key.good_but(json!({}))).await,
            "unknown_key",
            "{member}"
        );
    }
}

/// Every single change of a good token, at every place, makes it worthless.
#[tokio::test]
async fn no_changed_character_passes() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    let good = key.good_but(json!({}));
    assert_eq!(outcome(&authenticator, &good).await, "ok");
    for place in 0..good.len() {
        for other in ["A", "_", ".", "="] {
            if &good[place..=place] == other {
                continue;
            }
            let changed = format!("{}{other}{}", &good[..place], &good[place + 1..]);
            assert_ne!(outcome(&authenticator, &changed).await, "ok", "{other} at {place}");
        }
    }
}
