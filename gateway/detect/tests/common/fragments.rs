//! Texts made of what detectors look for, cut and joined by chance.

use proptest::prelude::*;

use super::sample;

/// Every case of the corpus, without its brackets.
pub fn cases() -> Vec<String> {
    let corpus = concat!(
        include_str!("../corpus/secrets.txt"),
        include_str!("../corpus/numbers.txt"),
        include_str!("../corpus/plain.txt")
    );
    let lines = corpus.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| plain(&sample(line))).collect()
}

/// The values of the corpus that must be found, each alone.
pub fn values() -> Vec<String> {
    let corpus = concat!(
        include_str!("../corpus/secrets.txt"),
        include_str!("../corpus/numbers.txt"),
        include_str!("../corpus/plain.txt")
    );
    let lines = corpus.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let texts = lines.map(sample).collect::<Vec<_>>();
    let inside = texts.iter().flat_map(|line| line.split('⟪').skip(1));
    let values = inside.filter_map(|part| part.split_once('⟫'));
    values
        .filter_map(|(value, _)| value.split_once(':'))
        .map(|(_, value)| value.to_owned())
        .collect()
}

/// Bytes that a failed test can be read from.
#[derive(Clone)]
pub struct Text(pub Vec<u8>);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

impl std::ops::Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// A text of up to thirty fragments.
pub fn text() -> impl Strategy<Value = Text> {
    let fragment = prop_oneof![
        4 => prop::sample::select(values()).prop_map(String::into_bytes),
        2 => prop::sample::select(cases()).prop_map(String::into_bytes),
        // Parts of them, so that what stands beside a cut is tried too.
        2 => (prop::sample::select(cases()), any::<prop::sample::Index>(), any::<prop::sample::Index>())
            .prop_map(|(case, from, until)| {
                let (from, until) = (from.index(case.len() + 1), until.index(case.len() + 1));
                case.as_bytes()[from.min(until)..from.max(until)].to_vec()
            }),
        3 => prop::sample::select(GLUE).prop_map(<[u8]>::to_vec),
        1 => (prop::sample::select(GLUE), 1usize..900).prop_map(|(glue, times)| glue.repeat(times)),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => "[0-9 .-]{1,60}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(fragment, 0..30).prop_map(|fragments| Text(fragments.concat()))
}

/// Sizes of the chunks that a text is cut into.
pub fn cuts() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![3 => 1usize..8, 3 => 1usize..200, 1 => 200usize..5_000];
    prop::collection::vec(size, 1..40)
}

/// A text in chunks of these sizes, which are used in turn.
pub fn chunks<'t>(text: &'t [u8], cuts: &[usize]) -> Vec<&'t [u8]> {
    let (mut chunks, mut rest) = (Vec::new(), text);
    for size in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, others) = rest.split_at(rest.len().min(*size));
        chunks.push(chunk);
        rest = others;
    }
    chunks
}

fn plain(case: &str) -> String {
    let mut text = String::new();
    for (place, part) in case.split('⟪').enumerate() {
        let part =
            if place == 0 { part } else { part.split_once(':').map_or(part, |(_, part)| part) };
        text.push_str(&part.replace('⟫', ""));
    }
    text
}

const GLUE: &[&[u8]] = &[
    b" ",
    b"\n",
    b"-",
    b".",
    b"_",
    b"@",
    b":",
    b"/",
    b"=",
    b"\"",
    b"\\n",
    b"\\",
    b"[",
    b"]",
    b",",
    b"1",
    b"a",
    b"x",
    b"+",
    b"(",
    b"eyJ",
    b"://",
    b"%40",
    b"ssn ",
    b"card ",
    b"phone ",
    b" cpr",
    b"twilio ",
    b"[iban]",
    b"[us_ssn]",
    b"[payment_card 1234]",
    b"-----BEGIN ",
    b"PRIVATE KEY-----",
    b"private_key\": \"",
    b"uthorization: Bearer ",
    b"AccountKey=",
    b"\xc2\xa0",
    b"\xff",
    b"\0",
];
