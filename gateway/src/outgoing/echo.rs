//! What a target was shown, taken out of the bytes that it answers: one that repeats what it was asked, such as a page of
//! diagnostics, must not hand its credential to whoever asked.

use bytes::Bytes;
use memchr::{memmem, memrchr2};
use zeroize::Zeroizing;

use super::secrets::{REDACTED, Secrets};

/// The secrets that one answer must not have, wherever its pieces are cut.
///
/// Only whole ones are looked for. To take out what a secret merely begins with would tell an agent, whose own words an answer ends
/// with, whether the next letter that it tries is right. What of an answer that breaks off is held back does not pass.
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

    /// What of it may pass once this came. So much of its end is held back that a secret may begin in it, whatever stands there:
    /// to hold back only what a secret does begin with would tell how it begins.
    pub(crate) fn pass(&mut self, bytes: Bytes) -> Bytes {
        if self.secrets.is_empty() {
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

    /// Appends what may pass; how much of it was read.
    fn without(&mut self, bytes: &[u8], is_end: bool, out: &mut Vec<u8>) -> usize {
        // Of each secret, where it stands next: each is looked for once, however many there are of another.
        let mut next: Vec<Option<usize>> =
            self.secrets.iter().map(|it| memmem::find(bytes, it)).collect();
        let open = if is_end { bytes.len() } else { self.open(bytes) };
        let mut from = 0;
        loop {
            for (at, secret) in next.iter_mut().zip(&self.secrets) {
                if at.is_some_and(|at| at < from) {
                    let rest = bytes.get(from..).unwrap_or_default();
                    *at = memmem::find(rest, secret).map(|at| from + at);
                }
            }
            let places = next.iter().zip(&self.secrets);
            let places = places.filter_map(|(at, it)| Some(((*at)?, it.len())));
            let first = places.min_by_key(|(at, length)| (*at, usize::MAX - length));
            // One that begins before `open` is the longest that begins there.
            let Some((at, length)) = first.filter(|(at, _)| *at < open) else { break };
            out.extend_from_slice(bytes.get(from..at).unwrap_or_default());
            out.extend_from_slice(REDACTED.as_bytes());
            self.found += 1;
            from = at + length;
        }
        let until = open.max(from);
        out.extend_from_slice(bytes.get(from..until).unwrap_or_default());
        until
    }

    /// From where on a secret may have begun: none has a line break.
    fn open(&self, bytes: &[u8]) -> usize {
        let line = memrchr2(b'\n', b'\r', bytes).map_or(0, |at| at + 1);
        line.max(bytes.len().saturating_sub(self.longest.saturating_sub(1)))
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
                let mut echo = of(&[secret, "an-other"]);
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
        let mut echo = of(&["a-token.", "a-token.and.more"]);
        let all = passed(&mut echo, &[b"x a-token.", b"and", b".more a-token.and.les", b"s a-tok"]);
        assert_eq!(all, "x [redacted] [redacted]and.less a-tok");
        assert_eq!(echo.text("a=a-token."), "a=[redacted]");
        assert!(!format!("{echo:?}").contains("token"));
    }

    /// What is held back tells nothing of a secret.
    #[test]
    fn as_much_is_held_back_whatever_it_is() {
        for tail in ["a-tok", "other", "a-tok\nen", "x\nhers"] {
            let mut echo = of(&["token-12"]);
            assert_eq!(echo.pass(Bytes::from_static(b"an event: \n")), "an event: \n");
            let all = format!("0123456789{tail}");
            let held = tail.rsplit_once('\n').map_or(7, |(_, line)| line.len());
            let passed = echo.pass(Bytes::from(all.clone()));
            assert_eq!(passed, all.as_bytes()[..all.len() - held], "{tail}");
        }
        assert_eq!(of(&[]).pass(Bytes::from_static(b"tok")), "tok");
    }

    /// Else whoever has an answer end with words of his own would learn a secret letter by letter.
    #[test]
    fn what_a_secret_begins_with_is_as_any_other_text() {
        let secret = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
        for length in 0..secret.len() {
            let guess = &secret[..length];
            let mut echo = of(&[secret]);
            assert_eq!(echo.text(guess), guess);
            assert_eq!(
                passed(&mut echo, &[b"you asked for ", guess.as_bytes()]),
                format!("you asked for {guess}")
            );
            assert_eq!(echo.found(), 0);
        }
    }

    #[test]
    fn a_secret_said_over_and_over_is_looked_for_once() {
        let mut echo = of(&["swordfish", "dGFsbHlwb3J0OnN3b3JkZmlzaA==", "a-third-one"]);
        let all = "swordfish".repeat(100_000) + "\n";
        assert_eq!(echo.pass(Bytes::from(all)).len(), 100_000 * REDACTED.len() + 1);
        assert_eq!(echo.found(), 100_000);
    }

    proptest! {
        /// The cuts of the pieces change nothing, and it is what a replacement of the whole is.
        #[test]
        fn cuts_change_nothing(text in "[ab]{0,40}", secret in "[ab]{8}", cuts in proptest::collection::vec(0_usize..40, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|it| it.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|it| &text.as_bytes()[it[0]..it[1]]).collect();
            prop_assert_eq!(passed(&mut of(&[&secret]), &pieces), text.replace(&secret, REDACTED));
        }
    }
}
