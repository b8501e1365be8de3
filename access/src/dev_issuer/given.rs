//! What was given out and is to be brought back: codes, device codes, refresh tokens. All are for one use and short.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// How long a code of the authorization endpoint may take to come back (RFC 6749 section 4.1.2).
const CODE_LIFE: Duration = Duration::from_secs(60);
/// How long a person may take to type a device's code.
pub(super) const DEVICE_LIFE: Duration = Duration::from_secs(600);
/// How long somebody stays signed in.
const REFRESH_LIFE: Duration = Duration::from_secs(12 * 3600);
/// The most of each kind; the oldest goes first.
const MAX_KEPT: usize = 1_024;
/// Of a user code: no vowels, so that it is no word (RFC 8628 section 6.1).
const USER_CODE_LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";

/// A code, until it is changed into a token.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) person: String,
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    challenge: String,
}

/// A device that waits for its person.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) client_id: String,
    pub(super) user_code: String,
    /// Who answered, and what: no name is a no.
    pub(super) answer: Option<Option<String>>,
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub(super) struct Refresh {
    pub(super) person: String,
    pub(super) client_id: String,
}

#[derive(Debug, Default)]
pub(super) struct Given {
    codes: Kept<Code>,
    devices: Kept<Device>,
    refreshes: Kept<Refresh>,
}

impl Given {
    pub(super) fn code(
        &self,
        person: String,
        client_id: String,
        redirect_uri: String,
        challenge: String,
    ) -> String {
        self.codes.add(random(), Code { person, client_id, redirect_uri, challenge }, CODE_LIFE)
    }

    /// The code, where the verifier is that of its challenge (RFC 7636 section 4.6). It is gone either way.
    pub(super) fn take_code(&self, code: &str, verifier: &str) -> Option<Code> {
        let found = self.codes.take(code)?;
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        (hash == found.challenge).then_some(found)
    }

    /// The device code and the user code.
    pub(super) fn device(&self, client_id: String) -> (String, String) {
        let mut bytes = [0_u8; 8];
        rand::rng().fill_bytes(&mut bytes);
        let letters = bytes.iter().filter_map(|byte| {
            USER_CODE_LETTERS.get(usize::from(*byte) % USER_CODE_LETTERS.len()).copied()
        });
        let letters: String = letters.map(char::from).collect();
        let (head, tail) = letters.split_at(4);
        let user_code = format!("{head}-{tail}");
        let device = Device { client_id, user_code: user_code.clone(), answer: None };
        (self.devices.add(random(), device, DEVICE_LIFE), user_code)
    }

    /// Notes what a person answered to a user code; whether there is such a one.
    pub(super) fn answer(&self, user_code: &str, person: Option<String>) -> bool {
        let wanted = user_code.trim().to_ascii_uppercase();
        self.devices.change(|device| {
            let is_it = device.user_code == wanted && device.answer.is_none();
            if is_it {
                device.answer = Some(person.clone());
            }
            is_it
        })
    }

    /// The device; gone once it was answered.
    pub(super) fn take_device(&self, code: &str) -> Option<Device> {
        let device = self.devices.get(code)?;
        if device.answer.is_some() {
            self.devices.take(code);
        }
        Some(device)
    }

    pub(super) fn refresh(&self, person: String, client_id: String) -> String {
        self.refreshes.add(random(), Refresh { person, client_id }, REFRESH_LIFE)
    }

    /// Whose refresh token it is: one use, the next one comes with the token (RFC 9700 section 4.14).
    pub(super) fn take_refresh(&self, token: &str) -> Option<Refresh> {
        self.refreshes.take(token)
    }
}

/// Values by a name that cannot be guessed, until a time.
#[derive(Debug)]
struct Kept<T>(Mutex<HashMap<String, (Instant, T)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Kept<T> {
    fn add(&self, name: String, value: T, life: Duration) -> String {
        let (mut kept, now) = (self.0.lock(), Instant::now());
        kept.retain(|_, (until, _)| *until > now);
        if kept.len() >= MAX_KEPT
            && let Some(oldest) =
                kept.iter().min_by_key(|(_, (until, _))| *until).map(|(name, _)| name.clone())
        {
            kept.remove(&oldest);
        }
        kept.insert(name.clone(), (now + life, value));
        name
    }

    fn get(&self, name: &str) -> Option<T> {
        let kept = self.0.lock();
        kept.get(name).filter(|(until, _)| *until > Instant::now()).map(|(_, value)| value.clone())
    }

    fn take(&self, name: &str) -> Option<T> {
        let found = self.0.lock().remove(name);
        found.filter(|(until, _)| *until > Instant::now()).map(|(_, value)| value)
    }

    /// Stops at the first that says it was the one.
    fn change(&self, mut change: impl FnMut(&mut T) -> bool) -> bool {
        let (mut kept, now) = (self.0.lock(), Instant::now());
        kept.values_mut().any(|(until, value)| *until > now && change(value))
    }
}

fn random() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
