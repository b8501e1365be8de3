//! Whoever begins a sign-in ends it (RFC 7636).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::TokenError;

/// Bytes of randomness of a state and of a verifier (RFC 7636 section 7.1 asks for 32).
const RANDOM_BYTES: usize = 32;
/// How a challenge is made of a verifier, as issuers name it.
pub(super) const METHOD: &str = "S256";

/// What only who began a sign-in has.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Verifier(String);

impl Verifier {
    pub(super) fn new() -> Result<Self, TokenError> {
        Ok(Self(random_text()?))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// What the issuer is shown at the beginning.
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.0.as_bytes()))
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier(..)")
    }
}

pub(super) fn random_text() -> Result<String, TokenError> {
    let mut bytes = [0_u8; RANDOM_BYTES];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| TokenError::Settings("the system gives no random bytes".to_owned()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    #[test]
    fn a_challenge_is_made_as_the_standard_says() {
        let verifier = Verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned());
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
