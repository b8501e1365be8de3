//! How deep JSON nests, without parsing it. The parser skips what it does not want without counting, so we count.
//!
//! Eight bytes at a time, without a branch per byte: an event has a quote every few bytes, which no processor foretells.

const WORD: usize = 8;
const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
/// The bit that makes `[` and `]` the same as `{` and `}`.
const CASE: u64 = 0x2020_2020_2020_2020;

/// How deep brackets nest outside of strings.
pub(super) fn depth(json: &[u8]) -> usize {
    let mut state = State::default();
    let (words, rest) = json.as_chunks::<WORD>();
    for word in words {
        state.word(word);
    }
    for byte in rest {
        state.byte(*byte);
    }
    state.deepest
}

#[derive(Default)]
struct State {
    depth: usize,
    deepest: usize,
    in_text: bool,
    escaped: bool,
}

impl State {
    fn word(&mut self, bytes: &[u8; WORD]) {
        let word = u64::from_le_bytes(*bytes);
        if self.escaped || equal(word, b'\\') != 0 {
            for byte in bytes {
                self.byte(*byte);
            }
            return;
        }
        let text = self.in_text_at(equal(word, b'"'));
        let open = equal(word | CASE, b'{') & !text;
        let close = equal(word | CASE, b'}') & !text;
        let mut brackets = open | close;
        while brackets != 0 {
            let lowest = brackets & brackets.wrapping_neg();
            self.bracket(open & lowest != 0);
            brackets ^= lowest;
        }
    }

    /// One bit per byte that is in a text, given one bit per quote. Moves on to the end of the word.
    const fn in_text_at(&mut self, quotes: u64) -> u64 {
        // A byte is in a text when an odd number of quotes is before it; each bit tells all that follow.
        let mut odd = quotes;
        odd ^= odd << 8;
        odd ^= odd << 16;
        odd ^= odd << 32;
        if self.in_text {
            odd ^= TOP_BITS;
        }
        self.in_text = odd >> 63 != 0;
        odd
    }

    fn byte(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = self.in_text,
            b'"' => self.in_text = !self.in_text,
            b'{' | b'[' if !self.in_text => self.bracket(true),
            b'}' | b']' if !self.in_text => self.bracket(false),
            _ => {}
        }
    }

    fn bracket(&mut self, open: bool) {
        if open {
            self.depth += 1;
            self.deepest = self.deepest.max(self.depth);
        } else {
            self.depth = self.depth.saturating_sub(1);
        }
    }
}

/// The highest bit of each byte.
const TOP_BITS: u64 = !LOW_BITS;

/// The highest bit of each byte of `word` that is `byte`, and no other bit.
const fn equal(word: u64, byte: u8) -> u64 {
    let differs = word ^ u64::from_ne_bytes([byte; WORD]);
    // Adding carries into the highest bit of a byte that has a lower bit, and never beyond it.
    !((differs & LOW_BITS).wrapping_add(LOW_BITS) | differs | LOW_BITS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    fn by_bytes(json: &[u8]) -> usize {
        let mut state = State::default();
        for byte in json {
            state.byte(*byte);
        }
        state.deepest
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn words_are_counted_as_bytes_are(json in r#"[\[\]{}"\\a]{0,60}"#) {
            prop_assert_eq!(depth(json.as_bytes()), by_bytes(json.as_bytes()));
        }

        #[test]
        fn every_byte_is_told_from_every_other(word in any::<[u8; 8]>(), byte in any::<u8>()) {
            let found = equal(u64::from_le_bytes(word), byte);
            let want = word.iter().enumerate().filter(|(_, one)| **one == byte);
            prop_assert_eq!(found, want.map(|(at, _)| 0x80_u64 << (8 * at)).sum::<u64>());
        }
    }

    #[test]
    fn brackets_nest_outside_of_texts_only() {
        for (json, want) in [
            ("", 0),
            ("1", 0),
            ("[]", 1),
            ("[[],{}]", 2),
            (r#"{"a":"[[[[[["}"#, 1),
            (r#"{"a":"\"[[["}"#, 1),
            (r#"{"a":"\\\\","b":[{}]}"#, 3),
            (r#"{"text over a word":[[ ]]}"#, 3),
            ("]]]][", 1),
        ] {
            assert_eq!(depth(json.as_bytes()), want, "{json}");
            assert_eq!(by_bytes(json.as_bytes()), want, "{json}");
        }
        for sample in samples::all() {
            let value = super::super::encode(&sample.event);
            assert_eq!(depth(&value), by_bytes(&value), "{}", sample.name);
        }
    }
}
