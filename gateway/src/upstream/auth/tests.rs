//! Against a server without IO (RFC 5802, 7677): no real PostgreSQL can be made to lie, to hide what it offers, or to
//! let in without its own proof. What a real one does is in `tests/pg_sessions/upstream.rs` and `between.rs`.

use std::num::NonZeroU32;
use std::path::Path;

use aws_lc_rs::{hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::config::RawTarget;

const PASSWORD: &str = "of-the-target";
const SALT: &[u8] = b"salt of the test";
const ITERATIONS: u32 = 4096;
const BINDING: &[u8] = b"hash of the certificate";
const BOTH: &[&str] = &[SCRAM_SHA_256_PLUS, SCRAM_SHA_256];

fn target(password: &str) -> Target {
    let text =
        format!("name = 'db'\naddress = '127.0.0.1'\ndatabase = 'd'\nuser = 'u'\n{password}");
    let raw: RawTarget = toml::from_str(&text).unwrap();
    raw.check(Path::new("/")).unwrap()
}

fn with_password() -> Target {
    target(&format!("password = {{ value = '{PASSWORD}' }}\n"))
}

fn plain() -> Way {
    Way { encrypted: false, channel_binding: None }
}

fn tls() -> Way {
    Way { encrypted: true, channel_binding: Some(BINDING.to_vec()) }
}

fn message(method: i32, rest: &[u8]) -> Vec<u8> {
    [&method.to_be_bytes()[..], rest].concat()
}

fn offer(mechanisms: &[&str]) -> Vec<u8> {
    let names: Vec<u8> =
        mechanisms.iter().flat_map(|name| [name.as_bytes(), &[0]].concat()).collect();
    message(10, &[names, vec![0]].concat())
}

const OK: i32 = 0;
const CLEAR: i32 = 3;
const MD5: i32 = 5;

fn sent(answer: Result<Answer, DialError>) -> Vec<u8> {
    match answer {
        Ok(Answer::Send(bytes)) => bytes[5..].to_vec(),
        other => panic!("{other:?}"),
    }
}

/// The target's side of one exchange.
struct Server {
    mechanism: String,
    gs2_header: String,
    bare: String,
    first: String,
    auth_message: String,
}

impl Server {
    /// Offers `mechanisms` and reads what the gateway chose.
    fn begin(login: &mut Login<'_>, mechanisms: &[&str]) -> Self {
        let initial = sent(login.answer(&offer(mechanisms)));
        let end = initial.iter().position(|byte| *byte == 0).unwrap();
        let mechanism = String::from_utf8(initial[..end].to_vec()).unwrap();
        let first = String::from_utf8(initial[end + 5..].to_vec()).unwrap();
        let bare_from = first.find("n=").unwrap();
        Self {
            mechanism,
            gs2_header: first[..bare_from].to_owned(),
            bare: first[bare_from..].to_owned(),
            first: String::new(),
            auth_message: String::new(),
        }
    }

    /// Sends its first message, and checks the gateway's proof and binding as PostgreSQL does.
    fn challenge(&mut self, login: &mut Login<'_>, binding: &[u8]) {
        // A nonce has no comma (RFC 5802, section 5.1), but may well have an `r=` in it.
        let (_, nonce) = self.bare.split_once(",r=").unwrap();
        self.first = format!("r={nonce}server,s={},i={ITERATIONS}", STANDARD.encode(SALT));
        let last = sent(login.answer(&message(11, self.first.as_bytes())));
        let last = String::from_utf8(last).unwrap();
        let (unproven, proof) = last.rsplit_once(",p=").unwrap();
        let bound = STANDARD.encode([self.gs2_header.as_bytes(), binding].concat());
        assert_eq!(unproven, format!("c={bound},r={nonce}server"));
        self.auth_message = format!("{},{},{unproven}", self.bare, self.first);
        let client_key = sign(&salted(), b"Client Key");
        let signature = sign(&Sha256::digest(&client_key), self.auth_message.as_bytes());
        let expected: Vec<u8> =
            client_key.iter().zip(signature).map(|(key, mask)| key ^ mask).collect();
        assert_eq!(STANDARD.decode(proof).unwrap(), expected);
    }

    /// Its proof that it knows the password.
    fn signature(&self) -> Vec<u8> {
        sign(&sign(&salted(), b"Server Key"), self.auth_message.as_bytes())
    }
}

fn salted() -> Vec<u8> {
    let mut key = vec![0; 32];
    let iterations = NonZeroU32::new(ITERATIONS).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, SALT, PASSWORD.as_bytes(), &mut key);
    key
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

fn proof(signature: &[u8]) -> Vec<u8> {
    message(12, format!("v={}", STANDARD.encode(signature)).as_bytes())
}

#[test]
fn over_tls_the_login_is_bound_to_the_channel() {
    let target = with_password();
    let mut login = Login::new(&target, tls());
    let mut server = Server::begin(&mut login, BOTH);
    assert_eq!(server.mechanism, SCRAM_SHA_256_PLUS);
    assert_eq!(server.gs2_header, "p=tls-server-end-point,,");
    server.challenge(&mut login, BINDING);
    assert_eq!(login.answer(&proof(&server.signature())).unwrap(), Answer::Nothing);
    assert_eq!(login.answer(&message(OK, b"")).unwrap(), Answer::Done);
}

#[test]
fn where_the_offer_is_hidden_the_target_is_told_that_it_was_missed() {
    let target = with_password();
    for (way, header) in [(tls(), "y,,"), (plain(), "n,,")] {
        let mut login = Login::new(&target, way);
        let mut server = Server::begin(&mut login, &[SCRAM_SHA_256]);
        assert_eq!((server.mechanism.as_str(), &*server.gs2_header), (SCRAM_SHA_256, header));
        server.challenge(&mut login, b"");
        assert_eq!(login.answer(&proof(&server.signature())).unwrap(), Answer::Nothing);
    }
    // Without TLS there is nothing to bind to, whatever is offered.
    let mut login = Login::new(&target, plain());
    assert_eq!(Server::begin(&mut login, BOTH).mechanism, SCRAM_SHA_256);
    let refused = Login::new(&target, plain()).answer(&offer(&[SCRAM_SHA_256_PLUS]));
    assert!(matches!(refused, Err(DialError::Method(10))), "{refused:?}");
}

#[test]
fn a_target_that_cannot_prove_itself_is_refused() {
    let target = with_password();
    let forgeries: [fn(Vec<u8>) -> Vec<u8>; 3] = [
        |mut right| {
            right[0] ^= 1;
            right
        },
        |_| vec![0; 32],
        |_| Vec::new(),
    ];
    for forge in forgeries {
        let mut login = Login::new(&target, tls());
        let mut server = Server::begin(&mut login, BOTH);
        server.challenge(&mut login, BINDING);
        let refused = login.answer(&proof(&forge(server.signature())));
        assert!(matches!(refused, Err(DialError::Scram)), "{refused:?}");
    }
    // Nor does the proof of another exchange do.
    let mut login = Login::new(&target, tls());
    let mut other = Login::new(&target, tls());
    let (mut server, mut replayed) =
        (Server::begin(&mut login, BOTH), Server::begin(&mut other, BOTH));
    server.challenge(&mut login, BINDING);
    replayed.challenge(&mut other, BINDING);
    assert!(matches!(login.answer(&proof(&replayed.signature())), Err(DialError::Scram)));
}

#[test]
fn a_target_that_skips_its_proof_is_refused() {
    let target = with_password();
    let mut login = Login::new(&target, tls());
    let mut server = Server::begin(&mut login, BOTH);
    let early = login.answer(&message(OK, b""));
    assert!(matches!(early, Err(DialError::Scram)), "right after the choice: {early:?}");
    server.challenge(&mut login, BINDING);
    let early = login.answer(&message(OK, b""));
    assert!(matches!(early, Err(DialError::Scram)), "in the place of its proof: {early:?}");
    for out_of_place in [11, 12] {
        let refused = Login::new(&target, tls()).answer(&message(out_of_place, b"v=AAAA"));
        assert!(matches!(refused, Err(DialError::Scram)), "{refused:?}");
    }
}

#[test]
fn a_second_question_is_refused() {
    let target = with_password();
    // Behind an offer with channel binding: one without, or for the password itself.
    for second in [offer(&[SCRAM_SHA_256]), message(CLEAR, b""), message(MD5, b"salt")] {
        let mut login = Login::new(&target, tls());
        Server::begin(&mut login, BOTH);
        let refused = login.answer(&second);
        assert!(matches!(refused, Err(DialError::Protocol(_))), "{refused:?}");
    }
    let mut login = Login::new(&target, tls());
    sent(login.answer(&message(MD5, b"salt")));
    let refused = login.answer(&message(CLEAR, b""));
    assert!(matches!(refused, Err(DialError::Protocol(_))), "{refused:?}");
}

#[test]
fn a_password_in_clear_is_given_only_inside_tls() {
    let target = with_password();
    let refused = Login::new(&target, plain()).answer(&message(CLEAR, b""));
    assert!(matches!(refused, Err(DialError::ClearPassword)), "{refused:?}");
    let given = sent(Login::new(&target, tls()).answer(&message(CLEAR, b"")));
    assert_eq!(given, [PASSWORD.as_bytes(), &[0]].concat());
}

#[test]
fn a_target_that_asks_for_nothing_lets_in_and_one_that_asks_needs_a_password() {
    let (with, without) = (with_password(), target(""));
    for target in [&with, &without] {
        let answer = Login::new(target, plain()).answer(&message(OK, b""));
        assert_eq!(answer.unwrap(), Answer::Done);
    }
    for question in [message(MD5, b"salt"), offer(&[SCRAM_SHA_256])] {
        let refused = Login::new(&without, plain()).answer(&question);
        assert!(matches!(refused, Err(DialError::NoPassword)), "{refused:?}");
    }
    let refused = Login::new(&with, tls()).answer(&message(7, b""));
    assert!(matches!(refused, Err(DialError::Method(7))), "{refused:?}");
}
