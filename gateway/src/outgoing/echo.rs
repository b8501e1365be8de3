//! What a target was shown, taken out of the bytes that it answers: one that repeats what it was asked, such as a page of
//! diagnostics, must not hand its credential to whoever asked.

use bytes::Bytes;
use memchr::memmem;
use zeroize::Zeroizing;

use super::secrets::{REDACTED, Secrets};

/// The secrets that one answer must not have, wherever its pieces are cut.
#[derive(Default)]
pub(crate) struct Echo {
    secrets: Vec<Zeroizing<Vec<u8>>>,
    longest: usize,
    /// What may be the beginning of one.
    held: Zeroizing<Vec<u8>>,
    found: u64,
}

impl Echo {
    pub(crate) fn of(secrets: &Secrets) -> Self {
        let secrets = secrets.spellings();
        let longest = secrets.iter().map(|it| it.len()).max().unwrap_or_default();
        Self { secrets, longest, ..Self::default() }
    }

    /// How many were taken out.
    pub(crate) const fn found(&self) -> u64 {
        self.found
    }

    /// A text of its own without them.
    pub(crate) fn text(&mut self, text: &str) -> String {
        let mut out = Vec::with_capacity(text.len());
        let _all = self.without(text.as_bytes(), true, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// What of it may pass once this came. The beginning of a secret is held back until it is known whether it is one, however long
    /// that takes.
    pub(crate) fn pass(&mut self, bytes: Bytes) -> Bytes {
        if self.held.is_empty() && self.is_clean(&bytes) {
            return bytes;
        }
        self.held.extend_from_slice(&bytes);
        self.drained(false)
    }

    /// There is no more: the rest.
    pub(crate) fn finish(&mut self) -> Bytes {
        self.drained(true)
    }

    fn drained(&mut self, is_end: bool) -> Bytes {
        let all = std::mem::take(&mut self.held);
        let mut out = Vec::with_capacity(all.len());
        let passed = self.without(&all, is_end, &mut out);
        self.held.extend_from_slice(all.get(passed..).unwrap_or_default());
        out.into()
    }

    fn is_clean(&self, bytes: &[u8]) -> bool {
        self.first(bytes).is_none() && self.beginning(bytes) == bytes.len()
    }

    /// Appends what may pass; how much of it was read.
    fn without(&mut self, bytes: &[u8], is_end: bool, out: &mut Vec<u8>) -> usize {
        let mut from = 0;
        loop {
            let rest = bytes.get(from..).unwrap_or_default();
            let open = if is_end { rest.len() } else { self.beginning(rest) };
            // One that begins before `open` is the longest that begins there.
            let Some((at, length)) = self.first(rest).filter(|(at, _)| *at < open) else {
                out.extend_from_slice(rest.get(..open).unwrap_or_default());
                return from + open;
            };
            out.extend_from_slice(rest.get(..at).unwrap_or_default());
            out.extend_from_slice(REDACTED.as_bytes());
            self.found += 1;
            from += at + length;
        }
    }

    /// The first secret in it, the longest of those that begin there: where, and how long.
    fn first(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let places = self.secrets.iter();
        let places = places.filter_map(|it| memmem::find(bytes, it).map(|at| (at, it.len())));
        places.min_by_key(|(at, length)| (*at, usize::MAX - length))
    }

    /// From where on it may be the beginning of a secret; its length where nothing is.
    fn beginning(&self, bytes: &[u8]) -> usize {
        let from = bytes.len().saturating_sub(self.longest.saturating_sub(1));
        let begins = |at: &usize| {
            let rest = bytes.get(*at..).unwrap_or_default();
            self.secrets.iter().any(|it| it.len() > rest.len() && it.starts_with(rest))
        };
        (from..bytes.len()).find(begins).unwrap_or(bytes.len())
    }
}

impl std::fmt::Debug for Echo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Echo({} found)", self.found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Secret;

    fn of(secrets: &[&str]) -> Echo {
        let mut all = Secrets::default();
        secrets.iter().for_each(|it| all.add(&Secret::new((*it).to_owned())));
        Echo::of(&all)
    }

    fn passed(echo: &mut Echo, pieces: &[&[u8]]) -> String {
        let mut out = Vec::new();
        for piece in pieces {
            out.extend_from_slice(&echo.pass(Bytes::copy_from_slice(piece)));
        }
        out.extend_from_slice(&echo.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_secret_is_taken_out_however_it_is_spelt_and_cut() {
        let secret = "sw/rd \"fish+=\"";
        for said in
            [secret, "sw/rd \\\"fish+=\\\"", "sw\\/rd \\\"fish+=\\\"", "sw%2Frd+%22fish%2B%3D%22"]
        {
            let all = format!("a {said} b {said}");
            for cut in 0..all.len() {
                let mut echo = of(&[secret, "other"]);
                let (one, two) = all.as_bytes().split_at(cut);
                assert_eq!(
                    passed(&mut echo, &[one, two]),
                    "a [redacted] b [redacted]",
                    "{said} {cut}"
                );
                assert_eq!(echo.found(), 2);
            }
        }
    }

    #[test]
    fn of_two_that_begin_alike_the_longer_is_taken_out_and_what_is_none_passes() {
        let mut echo = of(&["token", "token-and-more"]);
        let all = passed(&mut echo, &[b"x token", b"-and", b"-more token-and-les", b"s tok"]);
        assert_eq!(all, "x [redacted] [redacted]-and-less tok");
        assert_eq!(echo.text("a=token"), "a=[redacted]");
        assert!(!format!("{echo:?}").contains("token"));
    }

    #[test]
    fn what_is_no_beginning_of_a_secret_is_not_held_back() {
        let mut echo = of(&["token"]);
        assert_eq!(echo.pass(Bytes::from_static(b"an event\n")), "an event\n");
        assert_eq!(echo.pass(Bytes::from_static(b"an event: tok")), "an event: ");
        assert_eq!(echo.pass(Bytes::from_static(b"yo\n")), "tokyo\n");
        assert_eq!(of(&[]).pass(Bytes::from_static(b"tok")), "tok");
    }

    proptest! {
        /// The cuts of the pieces change nothing, and it is what a replacement of the whole is.
        #[test]
        fn cuts_change_nothing(text in "[abc]{0,40}", secret in "[abc]{4,6}", cuts in proptest::collection::vec(0_usize..40, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|it| it.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|it| &text.as_bytes()[it[0]..it[1]]).collect();
            prop_assert_eq!(passed(&mut of(&[&secret]), &pieces), text.replace(&secret, REDACTED));
        }
    }
}
