//! Tokens by the words they have in them.

use std::ops::Range;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use regex_automata::Anchored;
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;

use super::edges::{closes, is_word, opens};
use super::formats::{Check, FORMATS, Format};
use super::{Found, Window, email, jwt, pem, url};
use crate::detectors::CompileError;
use crate::kind::{Kind, Kinds};
use crate::settle::Candidate;
use crate::tail::{Tail, is_base64url};

/// Different characters that the latter half of a value must have: `glpat-xxxxxxxx` is a placeholder.
const MIN_VARIETY: u32 = 5;

/// Fewer credentials are no secret, or one that no shape can tell from a word.
const MIN_BEARER_BYTES: usize = 16;

/// Padding is often left out.
const BASIC: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Looks at one window for some kinds.
type ByHand = fn(Window<'_>, Kinds, &mut Found<'_>);

/// Anchors that are verified by hand.
const BY_HAND: &[(&[Kind], &str, ByHand)] = &[
    (&[Kind::PrivateKey, Kind::GcpServiceAccountKey], pem::BEGIN, pem::verify),
    (&[Kind::Jwt], "eyJ", jwt::verify),
    (&[Kind::UrlPassword], "://", url::verify),
    (&[Kind::TelegramToken], ":AA", telegram),
    (&[Kind::TwilioKey], "twilio", twilio),
    (&[Kind::TwilioKey], "Twilio", twilio),
    (&[Kind::TwilioKey], "TWILIO", twilio),
    (&[Kind::Email], "%40", |window, _, found| email::verify(window, "%40".len(), found)),
    (&[Kind::Email], r"\u0040", |window, _, found| email::verify(window, r"\u0040".len(), found)),
];

/// Finds tokens of a set of kinds.
pub(super) struct Tokens {
    kinds: Kinds,
    anchors: AhoCorasick,
    /// What each anchor may be the anchor of.
    of: Vec<Vec<Verdict>>,
    compiled: Vec<Compiled>,
}

#[derive(Clone, Copy)]
enum Verdict {
    Format(usize),
    Hand(ByHand),
}

struct Compiled {
    format: &'static Format,
    lead: Option<dense::DFA<Vec<u32>>>,
    value: dense::DFA<Vec<u32>>,
}

impl Tokens {
    pub(super) fn compile(kinds: Kinds) -> Result<Self, CompileError> {
        let mut words: Vec<&str> = Vec::new();
        let mut of: Vec<Vec<Verdict>> = Vec::new();
        let mut add = |word: &'static str, verdict: Verdict| {
            match words.iter().position(|known| *known == word) {
                Some(place) => of.get_mut(place).into_iter().for_each(|of| of.push(verdict)),
                None => {
                    words.push(word);
                    of.push(vec![verdict]);
                }
            };
        };
        for (of_kinds, word, verdict) in BY_HAND {
            if of_kinds.iter().any(|kind| kinds.contains(*kind)) {
                add(word, Verdict::Hand(*verdict));
            }
        }
        let mut compiled = Vec::new();
        for format in FORMATS.iter().filter(|format| kinds.contains(format.kind)) {
            format.anchors.iter().for_each(|word| add(word, Verdict::Format(compiled.len())));
            compiled.push(Compiled::new(format)?);
        }
        // No anchor begins another, so the leftmost match at a place is the only one there.
        let anchors = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(&words)
            .map_err(|error| CompileError::Words(error.to_string()))?;
        Ok(Self { kinds, anchors, of, compiled })
    }

    pub(super) fn find(&self, anchors: Range<usize>, found: &mut Found<'_>) {
        let view = found.view;
        if self.of.is_empty() {
            return;
        }
        let until = view.len().min(anchors.end + self.anchors.max_pattern_len().saturating_sub(1));
        let mut from = anchors.start;
        while from < anchors.end {
            let input = Input::new(view).span(from..until);
            let Some(word) = self.anchors.find(input).filter(|word| word.start() < anchors.end)
            else {
                break;
            };
            // From the next byte on, not from its end: anchors may overlap.
            from = word.start() + 1;
            for verdict in self.of.get(word.pattern().as_usize()).into_iter().flatten() {
                found.at(word.start(), |window, found| self.verify(*verdict, window, found));
            }
        }
    }

    fn verify(&self, verdict: Verdict, window: Window<'_>, found: &mut Found<'_>) {
        match verdict {
            Verdict::Hand(verify) => verify(window, self.kinds, found),
            Verdict::Format(place) => {
                let compiled = self.compiled.get(place);
                found.out.extend(compiled.and_then(|compiled| compiled.verify(window)));
            }
        }
    }
}

impl Compiled {
    fn new(format: &'static Format) -> Result<Self, CompileError> {
        let lead = (!format.lead.is_empty()).then(|| anchored(format.kind, format.lead));
        let value = anchored(format.kind, format.value)?;
        Ok(Self { format, lead: lead.transpose()?, value })
    }

    fn verify(&self, window: Window<'_>) -> Option<Candidate> {
        let (bytes, format) = (window.bytes, self.format);
        let mut start = window.anchor.checked_sub(format.back)?;
        match &self.lead {
            Some(lead) => start = longest(lead, bytes, start)?,
            None if !opens(bytes, start, format.before) => return None,
            None => {}
        }
        let end = longest(&self.value, bytes, start)?;
        let value = bytes.get(start..end)?;
        let good = match format.check {
            Check::Varied | Check::Long => is_varied(value),
            Check::Crc => value.get(4..).is_some_and(super::checks::base62_crc),
            Check::Credentials => is_credentials(bytes, start, value),
        };
        if !good {
            return None;
        }
        // A value that fills its window goes on behind it.
        let goes_on =
            matches!(format.check, Check::Long | Check::Credentials) && end == bytes.len();
        let tail = goes_on.then(|| Tail::run(format.alphabet));
        (goes_on || closes(bytes, end, format.alphabet)).then_some(Candidate {
            kind: format.kind,
            start,
            end,
            tail,
        })
    }
}

/// Whether there are so many different characters that it is no placeholder.
fn is_varied(value: &[u8]) -> bool {
    let latter = value.iter().skip(value.len() / 2);
    let seen = latter.fold(0u128, |seen, byte| seen | 1 << (byte & 0x7f));
    seen.count_ones() >= MIN_VARIETY && !value.ends_with(b"EXAMPLE")
}

fn is_credentials(bytes: &[u8], start: usize, value: &[u8]) -> bool {
    let before =
        bytes.get(start.saturating_sub(10)..start).unwrap_or_default().to_ascii_lowercase();
    let scheme = before.trim_ascii_end();
    if !scheme.ends_with(b"basic") {
        return value.len() >= MIN_BEARER_BYTES
            && value.iter().any(u8::is_ascii_digit)
            && is_varied(value);
    }
    // Of a long one the beginning is enough.
    let decoded = BASIC.decode(value.get(..value.len().min(256)).unwrap_or_default());
    decoded.is_ok_and(|pair| pair.contains(&b':'))
}

/// `123456789:AA...`: the id of the bot, then 35 characters (Telegram does not say; all that are known are so).
fn telegram(window: Window<'_>, _: Kinds, found: &mut Found<'_>) {
    let Window { bytes, anchor } = window;
    let before = bytes.get(anchor.saturating_sub(11)..anchor).unwrap_or_default();
    let digits = before.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let end = anchor + 1 + 35;
    let Some(secret) = bytes.get(anchor + 1..end) else { return };
    let start = anchor - digits;
    // Behind `/bot` in the addresses of the API.
    let free = opens(bytes, start, is_word)
        || bytes.get(..start).is_some_and(|before| before.ends_with(b"/bot"));
    if (8..=10).contains(&digits)
        && free
        && secret.iter().all(|byte| is_base64url(*byte))
        && is_varied(secret)
        && closes(bytes, end, is_base64url)
    {
        found.push(Kind::TelegramToken, start..end);
    }
}

/// Bytes behind the word in which Twilio's keys are sought.
const TWILIO_BYTES: usize = 80;

/// Auth tokens and API keys of Twilio are 32 hexadecimal digits: only the word before them, in their line, tells them from
/// any other digest. A SID of an account (`AC...`) is no secret.
fn twilio(window: Window<'_>, _: Kinds, found: &mut Found<'_>) {
    let Window { bytes, anchor } = window;
    let from = anchor + "twilio".len();
    let until = bytes.len().min(from + TWILIO_BYTES);
    let line = bytes.get(from..until).unwrap_or_default();
    let line = line.split(|byte| matches!(byte, b'\n' | b'[' | b']')).next().unwrap_or_default();
    let mut at = from;
    for word in line.split(|byte| !is_word(*byte)) {
        let key = word.strip_prefix(b"SK").unwrap_or(word);
        let hex = key.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let end = at + word.len();
        if key.len() == 32 && hex && is_varied(key) && closes(bytes, end, is_word) {
            found.push(Kind::TwilioKey, at..end);
        }
        at = end + 1;
    }
}

/// Compiles a pattern that is only tried at one place.
pub(super) fn anchored(kind: Kind, pattern: &str) -> Result<dense::DFA<Vec<u32>>, CompileError> {
    dense::Builder::new()
        .configure(dense::Config::new().start_kind(StartKind::Anchored))
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .thompson(thompson::Config::new().utf8(false))
        .build(pattern)
        .map_err(|error| CompileError::Pattern { kind, reason: error.to_string() })
}

/// Where the match ends that begins at `start`.
pub(super) fn longest(dfa: &dense::DFA<Vec<u32>>, bytes: &[u8], start: usize) -> Option<usize> {
    let rest = bytes.get(start..)?;
    let input = regex_automata::Input::new(rest).anchored(Anchored::Yes);
    // Fails only for a DFA that gives up at some byte, which none of ours does.
    let end = dfa.try_search_fwd(&input).ok().flatten()?;
    Some(start + end.offset())
}
