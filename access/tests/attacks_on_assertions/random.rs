//! Good documents with random damage: none says anything else than what was signed, and none takes the parser down.
//! `TALLYPORT_SEED` replays a run.

use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::idp::*;

const ROUNDS: usize = 4_000;
/// What breaks XML best.
const PIECES: [&str; 20] = [
    "<", ">", "/>", "&", "&#0;", "&#x41;", "&lt;", "\"", "'", "=", "xmlns", ":", " ", "\r\n",
    "\u{0}", "]]>", "<!--", "<?", "mallory", "\u{feff}",
];

fn damaged(document: &str, random: &mut StdRng) -> String {
    let mut text: Vec<char> = document.chars().collect();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..text.len());
        match random.random_range(0..4) {
            0 => {
                text.remove(at);
            }
            1 => {
                let piece = PIECES[random.random_range(0..PIECES.len())];
                text.splice(at..at, piece.chars());
            }
            2 => {
                // A part of it once more, elsewhere.
                let end = (at + random.random_range(1..200)).min(text.len());
                let part: Vec<char> = text[at..end].to_vec();
                let to = random.random_range(0..text.len());
                text.splice(to..to, part);
            }
            _ => {
                let end = (at + random.random_range(1..200)).min(text.len());
                text.drain(at..end);
            }
        }
        if text.is_empty() {
            break;
        }
    }
    text.into_iter().collect()
}

#[test]
fn damage_changes_nothing_of_what_is_believed() {
    let seed = std::env::var("TALLYPORT_SEED").ok().and_then(|it| it.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    eprintln!("TALLYPORT_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let signed = Says::good().signed(Idp::rsa());
    let documents = [signed.clone(), response(&signed)];
    let good = taken(&trusting(Idp::rsa()), &signed);
    let (mut still_good, began) = (0, Instant::now());
    for round in 0..ROUNDS {
        let document = damaged(&documents[round % 2], &mut random);
        // Each has an exchange of its own: a replay would hide what was made of it.
        let exchange = trusting(Idp::rsa());
        if let Ok(exchanged) = exchange.exchange(&encode(&document), now()) {
            let mut told = claims(&exchanged);
            told["exp"] = good["exp"].clone();
            assert_eq!(told, good, "round {round} of {seed}: {document}");
            still_good += 1;
        }
    }
    let each = began.elapsed() / u32::try_from(ROUNDS).unwrap();
    eprintln!("{still_good} of {ROUNDS} were what was signed all the same; {each:?} each");
    assert!(still_good > 0, "damage outside of what is signed is no damage");
}
