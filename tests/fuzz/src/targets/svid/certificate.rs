//! Certificates of workloads, written by hand: the lengths around what is fuzzed are always right.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use super::BILLING;
use crate::Source;

/// 2026-01-01T01:00:00Z, the last second of each.
pub(super) const ENDS: i64 = super::NOW + 3600;
const ED25519: &[u8] = &[0x06, 3, 0x2b, 0x65, 0x70];
/// What an item of an input is.
const NAME: u8 = 0;
const USAGE: u8 = 1;
const RAW: u8 = 2;

static AUTHORITY: LazyLock<Ed25519KeyPair> = LazyLock::new(|| pair(5));
static STRANGER: LazyLock<Ed25519KeyPair> = LazyLock::new(|| pair(6));
static WORKLOAD: LazyLock<Ed25519KeyPair> = LazyLock::new(|| pair(7));

/// What a certificate is to say: `flags`, then items of `what`.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) of_stranger: bool,
    pub(super) is_late: bool,
    pub(super) is_early: bool,
    /// Tags and contents of its names.
    pub(super) names: Vec<(u8, Vec<u8>)>,
    /// Of its key usage, the bits that are not used, and bits.
    pub(super) usage: Vec<u8>,
    pub(super) has_raw: bool,
    extensions: Vec<Vec<u8>>,
}

/// A certificate.
pub(super) struct Certificate {
    pub(super) der: Vec<u8>,
}

impl Said {
    pub(super) fn read(data: &[u8]) -> Self {
        let mut source = Source::new(data);
        let flags = source.u8();
        let mut said = Self {
            of_stranger: flags & 1 == 1,
            is_late: flags & 2 == 2,
            is_early: flags & 4 == 4,
            ..Self::default()
        };
        while !source.is_empty() {
            let (what, tag) = (source.u8() % 3, source.u8());
            let length = usize::from(if what == USAGE { tag & 7 } else { source.u8() });
            let bytes = source.take(length);
            match what {
                NAME => said.names.push((tag, bytes.to_vec())),
                USAGE => said.usage = bytes.to_vec(),
                // `id-ce` and a number; what is critical is said by the first bit.
                _ => {
                    said.has_raw = true;
                    said.extensions.push(extension(tag & 0x7f, tag & 0x80 != 0, bytes));
                }
            }
        }
        said
    }
}

impl Certificate {
    pub(super) fn of(said: &Said) -> Self {
        let mut extensions = said.extensions.clone();
        if !said.names.is_empty() {
            let names: Vec<Vec<u8>> =
                said.names.iter().map(|(tag, bytes)| tlv(*tag, &[bytes])).collect();
            let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            extensions.push(extension(17, false, &tlv(0x30, &names)));
        }
        if !said.usage.is_empty() {
            extensions.push(extension(15, true, &tlv(0x03, &[&said.usage])));
        }
        let times = match (said.is_late, said.is_early) {
            (true, _) => ["20250101000000Z", "20251231000000Z"],
            (false, true) => ["20260101001000Z", "20260101010000Z"],
            (false, false) => ["20251231000000Z", "20260101010000Z"],
        };
        let signer = if said.of_stranger { &STRANGER } else { &AUTHORITY };
        Self { der: certificate(signer, &WORKLOAD, times, &[], &extensions) }
    }
}

/// The authority's own certificate.
pub(super) fn authority() -> Vec<u8> {
    let constraints = extension(19, true, &tlv(0x30, &[&[1, 1, 0xff]]));
    let usage = extension(15, true, &[3, 2, 1, 6]);
    let times = ["20250101000000Z", "20350101000000Z"];
    certificate(&AUTHORITY, &AUTHORITY, times, &name(), &[constraints, usage])
}

pub(super) fn authority_key() -> &'static [u8] {
    AUTHORITY.public_key().as_ref()
}

/// A good one.
pub(super) fn genuine() -> Vec<u8> {
    Certificate::of(&Said::read(&good(BILLING))).der
}

/// Whether all that is signed of it is what is signed of the good one.
pub(super) fn is_genuine(der: &[u8]) -> bool {
    let genuine = genuine();
    // The body begins after two headers of four bytes; behind it are the algorithm and the signature.
    let signed = &genuine[4..genuine.len() - 74];
    der.windows(signed.len()).any(|it| it == signed)
}

/// One of each kind, the good one first.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let raw = |number: u8, bytes: &[u8]| [&[RAW, number, bytes.len() as u8], bytes].concat();
    let named = |tag: u8, text: &[u8]| [&[NAME, tag, text.len() as u8], text].concat();
    let good = || good(BILLING);
    let flagged = |flags: u8| [&[flags], &good()[1..]].concat();
    let client = tlv(0x30, &[&[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2]]);
    vec![
        good(),
        self::good("spiffe://prod.example.com/ns/ops/sa/backup"),
        self::good("spiffe://other.example.com/ns/agents/a"),
        [good(), raw(37, &client), raw(19, &[0x30, 0])].concat(),
        [good(), raw(0x80 | 19, &tlv(0x30, &[&[1, 1, 0xff]]))].concat(),
        [good(), raw(0x80 | 99, &[5, 0])].concat(),
        [good(), named(0x86, b"spiffe://prod.example.com/ns/agents/b")].concat(),
        [good(), named(0x86, &[0xff, 0xfe])].concat(),
        [good(), named(0x82, b"a.example"), named(0x87, &[127, 0, 0, 1])].concat(),
        [&[0, USAGE, 2, 2, 4][..], &named(0x86, BILLING.as_bytes())].concat(),
        flagged(1),
        flagged(2),
        flagged(4),
    ]
}

fn good(id: &str) -> Vec<u8> {
    [&[0, USAGE, 2, 7, 0x80, NAME, 0x86, id.len() as u8][..], id.as_bytes()].concat()
}

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed is a key")
}

fn certificate(
    signer: &Ed25519KeyPair,
    of: &Ed25519KeyPair,
    times: [&str; 2],
    subject: &[u8],
    extensions: &[Vec<u8>],
) -> Vec<u8> {
    let algorithm = tlv(0x30, &[ED25519]);
    let [from, to] = times.map(|it| tlv(0x18, &[it.as_bytes()]));
    let subject = if subject.is_empty() { tlv(0x30, &[]) } else { subject.to_vec() };
    let key = tlv(0x30, &[&algorithm, &bits(of.public_key().as_ref())]);
    let extensions: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
    let body = tlv(
        0x30,
        &[
            &tlv(0xa0, &[&[2, 1, 2]]),
            &[2, 1, 1],
            &algorithm,
            &name(),
            &tlv(0x30, &[&from, &to]),
            &subject,
            &key,
            &tlv(0xa3, &[&tlv(0x30, &extensions)]),
        ],
    );
    let signature = bits(signer.sign(&body).as_ref());
    tlv(0x30, &[&body, &algorithm, &signature])
}

/// `CN=authority`.
fn name() -> Vec<u8> {
    let attribute = tlv(0x30, &[&[6, 3, 0x55, 4, 3], &tlv(0x0c, &[b"authority"])]);
    tlv(0x30, &[&tlv(0x31, &[&attribute])])
}

/// One of `id-ce` (RFC 5280 section 4.2.1).
fn extension(number: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    tlv(0x30, &[&[6, 3, 0x55, 0x1d, number], critical, &tlv(0x04, &[value])])
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], bytes])
}

/// X.690 section 8.1, in the definite form.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let [.., high, low] = length.to_be_bytes();
    let header = match length {
        0..0x80 => vec![tag, low],
        0x80..0x100 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [header, content].concat()
}
