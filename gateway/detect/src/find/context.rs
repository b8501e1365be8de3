//! Words near a number that say what it is.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{Window, byte};
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

/// Finds the words of a set of kinds.
pub(super) struct Context {
    words: AhoCorasick,
    /// Of which kinds each word is.
    kinds: Vec<Kinds>,
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
        let words = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&words)
            .map_err(|error| CompileError::Words(error.to_string()))?;
        Ok(Self { words, kinds: of })
    }

    /// The kinds whose words are near a number: before it, or after it in its line; never beyond a mark.
    pub(super) fn near(&self, window: Window<'_>, number: &Range<usize>) -> Kinds {
        let Window { bytes, .. } = window;
        let from = last_mark(bytes, number.start.saturating_sub(BEFORE_BYTES), number.start);
        let until = first_stop(bytes, number.end, bytes.len().min(number.end + AFTER_BYTES));
        self.within(bytes, from..number.start).union(self.within(bytes, number.end..until))
    }

    pub(super) fn of_name(&self, name: &str) -> Kinds {
        self.within(name.as_bytes(), 0..name.len())
    }

    fn within(&self, bytes: &[u8], range: Range<usize>) -> Kinds {
        let part = bytes.get(range.clone()).unwrap_or_default();
        let mut found = Kinds::NONE;
        for word in self.words.find_iter(part) {
            let (start, end) = (range.start + word.start(), range.start + word.end());
            if stands_alone(bytes, start, end) {
                let kinds = self.kinds.get(word.pattern().as_usize());
                found = found.union(kinds.copied().unwrap_or_default());
            }
        }
        found
    }
}

/// `soc sec` as it stands in prose, in names of columns and in keys.
fn spellings(name: &str) -> Vec<String> {
    if name.contains(' ') {
        [" ", "_", "-", ""].iter().map(|separator| name.replace(' ', separator)).collect()
    } else {
        vec![name.to_owned()]
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
        || super::edges::is_escape(bytes, start - 1);
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
