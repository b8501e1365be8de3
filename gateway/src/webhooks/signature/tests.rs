use super::*;

const NOW: i64 = 1_614_265_330;

fn keys(text: &str) -> Result<Keys, KeyError> {
    Keys::parse(&Secret::new(text.to_owned()))
}

fn now(shift: i64) -> Timestamp {
    Timestamp::from_second(NOW + shift).unwrap()
}

fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn message(signature: &str) -> HeaderMap {
    fields(&[(ID, "msg_1"), (TIMESTAMP, "1614265330"), (SIGNATURE, signature)])
}

/// The example of the Standard Webhooks specification's own libraries.
#[test]
fn the_known_example_is_signed_as_it_is_known() {
    let keys = keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let signature = keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", NOW, br#"{"test": 2432232314}"#);
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn only_what_was_signed_just_now_is_taken() {
    let keys = keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let body = b"{}";
    let good = keys.sign("msg_1", NOW, body);
    let verify = |headers: &HeaderMap, body: &[u8], shift| {
        keys.verify(headers, body, now(shift)).map(|signed| signed.id)
    };
    assert_eq!(verify(&message(&good), body, 0), Ok("msg_1".to_owned()));
    assert_eq!(verify(&message(&good), body, 300), Ok("msg_1".to_owned()));
    assert_eq!(verify(&message(&good), body, 301), Err(SignatureError::Stale));
    assert_eq!(verify(&message(&good), body, -301), Err(SignatureError::Stale));
    assert_eq!(verify(&message(&good), b"{ }", 0), Err(SignatureError::Wrong));
    // Among others, such as those of a version that is not known, a good one is found.
    let among = format!("v1a,AAAA v1,AAAA {good}");
    assert!(verify(&message(&among), body, 0).is_ok());
    // A good signature of another version counts for nothing.
    let other_version = good.replace("v1,", "v2,");
    assert_eq!(verify(&message(&other_version), body, 0), Err(SignatureError::Wrong));
    let many = format!("{}{good}", "v1,AAAA ".repeat(MAX_SIGNATURES));
    assert_eq!(verify(&message(&many), body, 0), Err(SignatureError::Wrong));
    assert_eq!(verify(&message("v1,"), body, 0), Err(SignatureError::Wrong));
    assert_eq!(verify(&message(""), body, 0), Err(SignatureError::Wrong));
}

#[test]
fn another_id_or_time_is_another_message() {
    let keys = keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let good = keys.sign("msg_1", NOW, b"{}");
    let other = |id, at| fields(&[(ID, id), (TIMESTAMP, at), (SIGNATURE, &good)]);
    for (id, at, why) in [
        ("msg_2", "1614265330", SignatureError::Wrong),
        ("msg_1", "1614265331", SignatureError::Wrong),
        ("msg_1.1614265330", "1614265330", SignatureError::Wrong),
        ("", "1614265330", SignatureError::Missing),
        ("msg 1", "1614265330", SignatureError::Missing),
        ("msg_1", "+1614265330", SignatureError::Missing),
        ("msg_1", "16142653300000000000000", SignatureError::Missing),
        ("msg_1", "now", SignatureError::Missing),
        ("msg_1", "", SignatureError::Missing),
    ] {
        let found = keys.verify(&other(id, at), b"{}", now(0)).map(|signed| signed.id);
        assert_eq!(found, Err(why), "{id} at {at}");
    }
    let twice = fields(&[
        (ID, "msg_1"),
        (ID, "msg_2"),
        (TIMESTAMP, "1614265330"),
        (SIGNATURE, good.as_str()),
    ]);
    assert_eq!(keys.verify(&twice, b"{}", now(0)).unwrap_err(), SignatureError::Missing);
    for name in [ID, TIMESTAMP, SIGNATURE] {
        let mut headers = message(&good);
        headers.remove(name);
        assert_eq!(keys.verify(&headers, b"{}", now(0)).unwrap_err(), SignatureError::Missing);
    }
}

#[test]
fn a_secret_is_changed_without_a_gap() {
    let (old, new) =
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0");
    let (old_keys, new_keys) = (keys(old).unwrap(), keys(new).unwrap());
    let both = keys(&format!("{new}\n{old}\n")).unwrap();
    for (signs, takes) in
        [(&both, &old_keys), (&both, &new_keys), (&old_keys, &both), (&new_keys, &both)]
    {
        let headers = message(&signs.sign("msg_1", NOW, b"{}"));
        assert!(takes.verify(&headers, b"{}", now(0)).is_ok());
    }
    let headers = message(&old_keys.sign("msg_1", NOW, b"{}"));
    assert_eq!(new_keys.verify(&headers, b"{}", now(0)).unwrap_err(), SignatureError::Wrong);
    assert!(both.share_a_key(&old_keys) && !old_keys.share_a_key(&new_keys));
}

#[test]
fn a_weak_or_unknown_secret_is_refused() {
    for (text, why) in [
        ("", "it has no key"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "write `whsec_`"),
        ("whsec_", "24 to 64 bytes"),
        ("whsec_c2hvcnQ=", "24 to 64 bytes"),
        ("whsec_not base64", "write `whsec_`"),
    ] {
        let error = keys(text).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
        assert!(!text.contains("short") || !error.contains(text));
    }
    let five = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n".repeat(5);
    assert!(keys(&five).unwrap_err().to_string().contains("more than 4"));
}
