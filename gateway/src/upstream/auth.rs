//! The gateway proves who it is: SCRAM-SHA-256 (with channel binding where offered), md5, clear text over TLS.

use gateway_core::pg::read::Reader;
use gateway_core::pg::write;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};

use super::DialError;
use crate::config::Target;

/// The target chooses how often the password is hashed, and the gateway computes it on a thread that others need:
/// PostgreSQL's default is 4096, and its `scram_iterations` has no bound of its own.
const MAX_SCRAM_ITERATIONS: u32 = 1_000_000;

/// What is known of the way to the target.
#[derive(Debug)]
pub(super) struct Way {
    pub encrypted: bool,
    pub channel_binding: Option<Vec<u8>>,
}

/// One login.
pub(super) struct Login<'a> {
    target: &'a Target,
    way: Way,
    stage: Stage,
}

/// How far a login has come. A target asks in one way, once: a second question could be a weaker one, put in behind the
/// first by somebody who sits on the way.
enum Stage {
    /// Nothing was asked yet.
    Begun,
    /// The target has yet to prove that it knows the password.
    Scram(ScramSha256),
    /// All that was asked is answered.
    Answered,
}

/// What an authentication message asks of the gateway.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// These bytes.
    Send(bytes::Bytes),
    /// Nothing; the target goes on.
    Nothing,
    /// It is done.
    Done,
}

impl<'a> Login<'a> {
    pub(super) const fn new(target: &'a Target, way: Way) -> Self {
        Self { target, way, stage: Stage::Begun }
    }

    /// Answers the body of an Authentication message.
    ///
    /// A target that asks for nothing is taken at its word, password or not, as libpq does: who answers is what
    /// `sslmode` settles, not the password.
    pub(super) fn answer(&mut self, body: &[u8]) -> Result<Answer, DialError> {
        let malformed =
            |error: gateway_core::pg::read::Malformed| DialError::Protocol(error.to_string());
        let mut reader = Reader::new(body, "Authentication");
        match (reader.i32().map_err(malformed)?, &mut self.stage) {
            (0, Stage::Begun | Stage::Answered) => Ok(Answer::Done),
            (3, Stage::Begun) if !self.way.encrypted => Err(DialError::ClearPassword),
            (3, Stage::Begun) => {
                let password = self.password()?;
                self.stage = Stage::Answered;
                Ok(Answer::Send(terminated(password.expose())))
            }
            (5, Stage::Begun) => {
                let mut salt = [0_u8; 4];
                salt.copy_from_slice(reader.bytes(4).map_err(malformed)?);
                let password = self.password()?;
                let hash =
                    md5_hash(self.target.user.as_bytes(), password.expose().as_bytes(), salt);
                self.stage = Stage::Answered;
                Ok(Answer::Send(terminated(&hash)))
            }
            (10, Stage::Begun) => self.begin_scram(reader.rest()),
            (11, Stage::Scram(scram)) => {
                if iterations(reader.rest()).is_none_or(|asked| asked > MAX_SCRAM_ITERATIONS) {
                    return Err(DialError::Scram);
                }
                scram.update(reader.rest()).map_err(|_| DialError::Scram)?;
                Ok(Answer::Send(write::password(scram.message())))
            }
            (12, Stage::Scram(scram)) => {
                scram.finish(reader.rest()).map_err(|_| DialError::Scram)?;
                self.stage = Stage::Answered;
                Ok(Answer::Nothing)
            }
            (0 | 11 | 12, _) => Err(DialError::Scram),
            (3 | 5 | 10, _) => {
                Err(DialError::Protocol("it asks for authentication a second time".to_owned()))
            }
            (other, _) => Err(DialError::Method(other)),
        }
    }

    fn begin_scram(&mut self, mechanisms: &[u8]) -> Result<Answer, DialError> {
        let offered: Vec<&[u8]> = mechanisms.split(|byte| *byte == 0).collect();
        let offers = |name: &str| offered.contains(&name.as_bytes());
        let (name, binding) = match self.way.channel_binding.take() {
            Some(binding) if offers(SCRAM_SHA_256_PLUS) => {
                (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(binding))
            }
            // "We could have, you did not offer": a man in the middle who hid the offer is found out by the target.
            Some(_) if offers(SCRAM_SHA_256) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
            None if offers(SCRAM_SHA_256) => (SCRAM_SHA_256, ChannelBinding::unsupported()),
            _ => return Err(DialError::Method(10)),
        };
        let password = self.password()?;
        let scram = ScramSha256::new(password.expose().as_bytes(), binding);
        let first = scram.message();
        let mut body = Vec::with_capacity(name.len() + first.len() + 5);
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(&i32::try_from(first.len()).unwrap_or(i32::MAX).to_be_bytes());
        body.extend_from_slice(first);
        self.stage = Stage::Scram(scram);
        Ok(Answer::Send(write::password(&body)))
    }

    fn password(&self) -> Result<crate::config::Secret, DialError> {
        let credential = self.target.password.as_ref().ok_or(DialError::NoPassword)?;
        Ok(credential.read()?)
    }
}

/// `i` of a server-first-message (RFC 5802 section 7).
fn iterations(message: &[u8]) -> Option<u32> {
    let attribute =
        message.split(|byte| *byte == b',').find_map(|part| part.strip_prefix(b"i="))?;
    std::str::from_utf8(attribute).ok()?.parse().ok()
}

fn terminated(text: &str) -> bytes::Bytes {
    let mut body = zeroize::Zeroizing::new(text.as_bytes().to_vec());
    body.push(0);
    write::password(&body)
}

#[cfg(test)]
mod tests;
