//! Words near a number that say what it is.

use std::ops::Range;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind};

use super::byte;
use crate::detectors::CompileError;
use crate::kind::{Kind, Kinds};
use crate::mark;

/// Bytes before a number in which its name is sought.
const BEFORE_BYTES: usize = 64;

/// Bytes after it, up to the end of the line.
const AFTER_BYTES: usize = 32;

/// In lower case; a space stands for any one separator, or none: see [`spellings`].
const WORDS: &[(Kind, &[&str])] = &[
    (
        Kind::UsSsn,
        &[
            "ssn",
            "ssns",
            "social security",
            "soc sec",
            "social sec",
            "ss no",
            "tax id",
            "tin",
            "itin",
        ],
    ),
    (Kind::UkNino, &["nino", "national insurance", "ni number", "ni no", "insurance number"]),
    (
        Kind::DeSteuerId,
        &[
            "steuer id",
            "steuerid",
            "steueridentifikationsnummer",
            "steuer identifikationsnummer",
            "idnr",
            "id nr",
            "steuernummer",
            "tax id",
            "tin",
            "identifikationsnummer",
        ],
    ),
    (
        Kind::FrNir,
        &[
            "nir",
            "insee",
            "secu",
            "sécu",
            "securite sociale",
            "sécurité sociale",
            "numero de secu",
            "social security",
            "nss",
            "carte vitale",
        ],
    ),
    (
        Kind::EsDni,
        &[
            "dni",
            "nif",
            "nie",
            "documento nacional",
            "identidad",
            "identificacion fiscal",
            "identificación fiscal",
        ],
    ),
    (
        Kind::NlBsn,
        &[
            "bsn",
            "burgerservicenummer",
            "burger service nummer",
            "sofinummer",
            "sofi nummer",
            "citizen service",
        ],
    ),
    (Kind::PlPesel, &["pesel"]),
    (
        Kind::BeNationalNumber,
        &[
            "rijksregister",
            "rijksregisternummer",
            "registre national",
            "nationaal nummer",
            "numero national",
            "numéro national",
            "national number",
            "national register",
            "insz",
            "niss",
            "rrn",
        ],
    ),
    (
        Kind::SePersonnummer,
        &[
            "personnummer",
            "person nummer",
            "personnr",
            "samordningsnummer",
            "personal identity",
            "ssn",
        ],
    ),
    (
        Kind::NoFodselsnummer,
        &[
            "fodselsnummer",
            "fødselsnummer",
            "foedselsnummer",
            "fodselsnr",
            "fødselsnr",
            "personnummer",
            "fnr",
            "d nummer",
            "ssn",
        ],
    ),
    (Kind::DkCpr, &["cpr", "cpr nummer", "cprnr", "personnummer", "ssn"]),
    (Kind::FiHetu, &["hetu", "henkilotunnus", "henkilötunnus", "personbeteckning", "ssn"]),
    (
        Kind::ChAhv,
        &["ahv", "avs", "ahv nr", "ahvn", "navs", "avs nr", "sozialversicherungsnummer", "ahvn13"],
    ),
    (Kind::BrCpf, &["cpf", "cadastro de pessoas"]),
    (Kind::InAadhaar, &["aadhaar", "aadhar", "adhaar", "uidai", "uid"]),
    (
        Kind::Phone,
        &[
            "phone",
            "phones",
            "telephone",
            "tel",
            "mobile",
            "cell",
            "fax",
            "call",
            "whatsapp",
            "sms",
            "msisdn",
            "telefon",
            "telefono",
            "teléfono",
            "téléphone",
            "portable",
            "handy",
            "rufnummer",
            "mobil",
            "telefone",
            "celular",
            "telefonnummer",
            "handynummer",
            "phone number",
            "gsm",
        ],
    ),
    (
        Kind::PaymentCard,
        &[
            "card",
            "cards",
            "credit",
            "debit",
            "visa",
            "mastercard",
            "amex",
            "maestro",
            "pan",
            "cc",
            "ccn",
            "cardnumber",
            "card number",
            "kreditkarte",
            "kartennummer",
            "carte",
            "tarjeta",
            "carta",
        ],
    ),
];

/// Bytes by which one look may begin before the last: a number begins a letter or two before its digits.
const SLACK_BYTES: usize = 8;

/// Finds the words of a set of kinds.
pub(super) struct Context {
    words: DFA,
    start: StateID,
    /// Of which kinds each word is.
    kinds: Vec<Kinds>,
}

/// The words that were found in a part of a view: numbers stand close together, and each would look at the same words.
#[derive(Default)]
pub(super) struct Seen {
    /// All words that begin from here on and end before `until` are known.
    from: usize,
    until: usize,
    /// Where the search stands there.
    state: Option<StateID>,
    words: Vec<Word>,
}

#[derive(Clone, Copy)]
struct Word {
    start: usize,
    end: usize,
    kinds: Kinds,
}

impl Context {
    pub(super) fn compile(kinds: Kinds) -> Result<Self, CompileError> {
        let mut words: Vec<String> = Vec::new();
        let mut of: Vec<Kinds> = Vec::new();
        for (kind, names) in WORDS.iter().filter(|(kind, _)| kinds.contains(*kind)) {
            for word in names.iter().flat_map(|name| spellings(name)) {
                match words.iter().position(|known| *known == word) {
                    Some(place) => of.get_mut(place).into_iter().for_each(|set| set.insert(*kind)),
                    None => {
                        words.push(word);
                        of.push((*kind).into());
                    }
                }
            }
        }
        // All matches, overlapping ones too: what is found at a place does not depend on where the search began.
        let words = DFA::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(&words)
            .map_err(|error| CompileError::Words(error.to_string()))?;
        let start = words.start_state(Anchored::No);
        let start = start.map_err(|error| CompileError::Words(error.to_string()))?;
        Ok(Self { words, start, kinds: of })
    }

    /// The kinds whose words are near a number: before it, or after it in its line; never beyond a mark.
    pub(super) fn near(&self, view: &[u8], number: &Range<usize>, seen: &mut Seen) -> Kinds {
        let from = number.start.saturating_sub(BEFORE_BYTES);
        let until = view.len().min(number.end + AFTER_BYTES);
        self.see(view, from..until, seen);
        // Most numbers have no word near them.
        if seen.words.last().is_none_or(|word| word.start < from && word.end <= from) {
            return Kinds::NONE;
        }
        let before = last_mark(view, from, number.start)..number.start;
        let after = number.end..first_stop(view, number.end, until);
        let inside =
            |word: &Word, range: &Range<usize>| range.start <= word.start && word.end <= range.end;
        let near = seen.words.iter().rev().take_while(|word| word.end > from);
        let near = near.filter(|word| inside(word, &before) || inside(word, &after));
        near.fold(Kinds::NONE, |kinds, word| kinds.union(word.kinds))
    }

    pub(super) fn of_name(&self, name: &str) -> Kinds {
        let mut seen = Seen::default();
        self.see(name.as_bytes(), 0..name.len(), &mut seen);
        seen.words.iter().fold(Kinds::NONE, |kinds, word| kinds.union(word.kinds))
    }

    /// Finds the words of a range that are not known yet.
    fn see(&self, view: &[u8], range: Range<usize>, seen: &mut Seen) {
        if range.start < seen.from || range.start > seen.until {
            let from = range.start.saturating_sub(SLACK_BYTES);
            *seen = Seen { from, until: from, state: None, words: Vec::new() };
        }
        let mut state = seen.state.unwrap_or(self.start);
        let from = seen.until;
        for (place, byte) in view.get(from..range.end).unwrap_or_default().iter().enumerate() {
            state = self.words.next_state(Anchored::No, state, separator(*byte));
            if self.words.is_special(state) && self.words.is_match(state) {
                self.matched(view, state, from + place + 1, seen);
            }
        }
        seen.state = Some(state);
        seen.until = seen.until.max(range.end);
    }

    /// Keeps the words that end here and stand alone.
    fn matched(&self, view: &[u8], state: StateID, end: usize, seen: &mut Seen) {
        for index in 0..self.words.match_len(state) {
            let word = self.words.match_pattern(state, index);
            let start = end - self.words.pattern_len(word);
            if stands_alone(view, start, end) {
                let kinds = self.kinds.get(word.as_usize()).copied().unwrap_or_default();
                seen.words.push(Word { start, end, kinds });
            }
        }
    }
}

/// `soc sec` as it stands in prose, in names of columns and in keys: see [`separator`].
fn spellings(name: &str) -> impl Iterator<Item = String> {
    let joined = name.contains(' ').then(|| name.replace(' ', ""));
    std::iter::once(name.to_owned()).chain(joined)
}

/// All separators are one.
const fn separator(byte: u8) -> u8 {
    match byte {
        b'_' | b'-' => b' ',
        other => other,
    }
}

/// Whether letters around a word belong to it: `userSsn` and `ssn_2` do, `lesson` does not. A mark is no edge.
fn stands_alone(bytes: &[u8], start: usize, end: usize) -> bool {
    let before = start.checked_sub(1).map_or(0, |at| byte(bytes, at));
    let after = byte(bytes, end);
    let first = byte(bytes, start);
    let last = end.checked_sub(1).map_or(0, |at| byte(bytes, at));
    let opens = !before.is_ascii_alphabetic()
        || before.is_ascii_lowercase() && first.is_ascii_uppercase()
        || start > 0 && super::edges::is_escape(bytes, start - 1);
    let closes =
        !after.is_ascii_alphabetic() || last.is_ascii_lowercase() && after.is_ascii_uppercase();
    opens && closes && mark::ending(bytes, start).is_none() && mark::starting(bytes, end).is_none()
}

/// Where the last mark ends in a range, or else the range begins.
fn last_mark(bytes: &[u8], from: usize, until: usize) -> usize {
    let part = bytes.get(from..until).unwrap_or_default();
    let mut ends = memchr::memrchr_iter(b']', part).map(|at| from + at + 1);
    ends.find(|end| mark::ending(bytes, *end).is_some()).unwrap_or(from)
}

/// Where the line or the range ends, or a mark begins.
fn first_stop(bytes: &[u8], from: usize, until: usize) -> usize {
    let part = bytes.get(from..until).unwrap_or_default();
    let stops = memchr::memchr2_iter(b'[', b'\n', part).map(|at| from + at);
    let mut stops =
        stops.filter(|at| byte(bytes, *at) == b'\n' || mark::starting(bytes, *at).is_some());
    stops.next().unwrap_or(until)
}
