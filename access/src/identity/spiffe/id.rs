//! SPIFFE-ID section 2: `spiffe://trust-domain/path`.

use std::fmt;

/// The longest that every implementation takes (section 2.3).
const MAX_BYTES: usize = 2048;
const MAX_TRUST_DOMAIN_BYTES: usize = 255;
const SCHEME: &str = "spiffe://";

/// A workload's id: a trust domain and a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::identity) struct SpiffeId {
    text: String,
    /// Where the path begins, at its first `/`.
    path_at: usize,
}

impl SpiffeId {
    /// `None` where it is none, or is that of a trust domain itself: no workload has that.
    pub(in crate::identity) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let rest = text.strip_prefix(SCHEME)?;
        let (domain, path) = rest.split_once('/')?;
        let is_segment = |segment: &str| {
            !segment.is_empty()
                && segment != "."
                && segment != ".."
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        };
        let fits = is_trust_domain(domain) && path.split('/').all(is_segment);
        fits.then(|| Self { text: text.to_owned(), path_at: SCHEME.len() + domain.len() })
    }

    pub(in crate::identity) fn as_str(&self) -> &str {
        &self.text
    }

    pub(in crate::identity) fn trust_domain(&self) -> &str {
        self.text.get(SCHEME.len()..self.path_at).unwrap_or_default()
    }

    /// With its first `/`.
    pub(in crate::identity) fn path(&self) -> &str {
        self.text.get(self.path_at..).unwrap_or_default()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Section 2.1: lower case letters, digits, dots, dashes and underscores; no port, no user.
pub(super) fn is_trust_domain(text: &str) -> bool {
    let is_char =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    (1..=MAX_TRUST_DOMAIN_BYTES).contains(&text.len()) && text.bytes().all(is_char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_as_the_standard_has_them() {
        let id = SpiffeId::parse("spiffe://prod.example.com/ns/agents/sa/Billing_bot-1.x").unwrap();
        assert_eq!(id.trust_domain(), "prod.example.com");
        assert_eq!(id.path(), "/ns/agents/sa/Billing_bot-1.x");
        assert_eq!(id.to_string(), "spiffe://prod.example.com/ns/agents/sa/Billing_bot-1.x");
        for bad in [
            "spiffe://prod.example.com",
            "spiffe://prod.example.com/",
            "spiffe:///path",
            "spiffe://Prod.example.com/a",
            "SPIFFE://prod.example.com/a",
            "https://prod.example.com/a",
            "spiffe://prod.example.com:8443/a",
            "spiffe://user@prod.example.com/a",
            "spiffe://prod.example.com/a/",
            "spiffe://prod.example.com//a",
            "spiffe://prod.example.com/a/./b",
            "spiffe://prod.example.com/a/../b",
            "spiffe://prod.example.com/a%2fb",
            "spiffe://prod.example.com/a?b",
            "spiffe://prod.example.com/a#b",
            "spiffe://prod.example.com/ä",
            "spiffe://prod.example.com/a b",
            "spiffe://prod.example.com/a\0",
            "",
        ] {
            assert_eq!(SpiffeId::parse(bad), None, "{bad}");
        }
        let long = format!("spiffe://a/{}", "b".repeat(MAX_BYTES - 11));
        assert!(SpiffeId::parse(&long).is_some());
        assert_eq!(SpiffeId::parse(&format!("{long}b")), None);
    }
}
