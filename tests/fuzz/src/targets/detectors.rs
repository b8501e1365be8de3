//! Detectors over any bytes, cut anywhere.

use std::sync::LazyLock;

use tallyport_detect::{Action, Cards, Kinds, Rules, Screen};

use crate::Source;

/// What candidates are built around, and what stands beside them.
pub const WORDS: &[&[u8]] = &[
    b"-----BEGIN ",
    b"PRIVATE KEY-----",
    b"-----END ",
    b"eyJ",
    b"eyJhbGciOiJub25lIn0.",
    b"://",
    b"@example.org",
    b"%40",
    b"\\u0040",
    b"ssn ",
    b"card ",
    b"phone ",
    b"personnummer ",
    b"4111 1111 1111 1111",
    b"123-45-6789",
    b"GB82 WEST 1234 5698 7654 32",
    b"RSSMRA85T10A562S",
    b"+49 30 1234567",
    b"131052-308T",
    b"15070649C103",
    b"AKIA",
    b"glpat-",
    b"uthorization: Bearer ",
    b"twilio ",
    b"[iban]",
    b"[payment_card 1111]",
    b"\xc2\xa0",
    b"\\n",
];

static MASKING: LazyLock<Screen> = LazyLock::new(|| {
    let rules = Rules::uniform(Kinds::all(), Action::Mask);
    Screen::new(rules, Cards::LastFour).expect("the patterns compile")
});

/// The first two bytes say how a text is cut.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "\0\x05pay 4111 1111 1111 1111 to GB82 WEST 1234 5698 7654 32, ann@example.org",
        "\0\x01{\"ssn\":\"123456789\",\"phone\":\"030 1234567\",\"u\":\"postgres://a:b@c/d\"}",
        "\0\x10eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0. RSSMRA85T10A562S 131052-308T",
        "\x01\0[us_ssn] 123-45-6789 (555) 555-0199 +1 555 010 9999 15070649C103",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// Hits are in order and apart, a stream is the whole, and what is masked has no hits.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let size = usize::from(source.u16()).max(1);
    let text = source.rest();
    let mut end = 0;
    for hit in MASKING.detectors().scan(text) {
        assert!(end <= hit.range.start && hit.range.start < hit.range.end, "hits overlap");
        end = hit.range.end;
    }
    assert!(end <= text.len());
    let mut whole = Vec::new();
    let findings = MASKING.mask(text, Kinds::NONE, &mut whole);
    let mut stream = MASKING.stream(Kinds::NONE);
    let mut streamed = Vec::new();
    text.chunks(size).for_each(|chunk| stream.push(chunk, &mut streamed));
    stream.finish(&mut streamed);
    assert!(streamed == whole && *stream.findings() == findings, "a cut changes what comes out");
    assert!(MASKING.detectors().scan(&whole).is_empty(), "masked text has hits");
}
