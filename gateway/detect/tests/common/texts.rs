//! Texts to measure with, the same each time.

/// All of them, each with its name.
pub fn all(bytes: usize) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("prose", prose(bytes)),
        ("json rows", json_rows(bytes)),
        ("log lines", log_lines(bytes)),
        ("base64", base64(bytes)),
        ("numbers (csv)", numbers(bytes)),
        ("dense with hits", dense(bytes)),
    ]
}

/// Words of English.
pub fn prose(bytes: usize) -> Vec<u8> {
    const WORDS: &[&str] = &[
        "the", "gateway", "holds", "every", "answer", "until", "its", "record", "is", "durable",
        "and", "only", "then", "lets", "it", "pass,", "so", "that", "nobody", "reads", "what",
        "was", "not", "written.", "Between", "1999", "and", "2026", "people", "called", "this",
        "an", "audit", "trail;", "we", "(still)", "do.",
    ];
    fill(bytes, |chance, text| {
        text.extend_from_slice(WORDS[chance.below(WORDS.len())].as_bytes());
        text.push(if chance.below(14) == 0 { b'\n' } else { b' ' });
    })
}

/// Rows as a database or an API gives them: ids, times, names, amounts, digests.
pub fn json_rows(bytes: usize) -> Vec<u8> {
    fill(bytes, |chance, text| {
        let (id, user, amount) =
            (chance.below(1_000_000_000), chance.below(90_000), chance.below(1_000_000));
        let row = format!(
            "{{\"id\":{id},\"user_id\":{user},\"created_at\":\"2026-11-{:02}T{:02}:{:02}:{:02}.{:06}Z\",\"status\":\"{}\",\"amount\":{}.{:02},\"currency\":\"EUR\",\"trace\":\"{:016x}{:016x}\",\"note\":\"order of a customer, paid by invoice\"}},\n",
            1 + chance.below(28),
            chance.below(24),
            chance.below(60),
            chance.below(60),
            chance.below(1_000_000),
            ["open", "paid", "shipped", "returned"][chance.below(4)],
            amount / 100,
            amount % 100,
            chance.next(),
            chance.next(),
        );
        text.extend_from_slice(row.as_bytes());
    })
}

/// Lines of a server's log: addresses, paths, durations.
pub fn log_lines(bytes: usize) -> Vec<u8> {
    fill(bytes, |chance, text| {
        let line = format!(
            "2026-11-27T{:02}:{:02}:{:02}.{:03}Z INFO http: 10.{}.{}.{} \"GET https://api.example.org/v1/items/{}?page={} HTTP/2\" {} {} {:.3}ms request_id={:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}\n",
            chance.below(24),
            chance.below(60),
            chance.below(60),
            chance.below(1000),
            chance.below(256),
            chance.below(256),
            chance.below(256),
            chance.below(100_000),
            chance.below(50),
            [200, 204, 404, 500][chance.below(4)],
            chance.below(100_000),
            chance.below(100_000) as f64 / 1000.0,
            chance.below(1 << 32),
            chance.below(1 << 16),
            chance.below(1 << 12),
            chance.below(1 << 12),
            chance.below(1 << 48),
        );
        text.extend_from_slice(line.as_bytes());
    })
}

/// Base64 in lines.
pub fn base64(bytes: usize) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    fill(bytes, |chance, text| {
        for _ in 0..76 {
            text.push(LETTERS[chance.below(64)]);
        }
        text.push(b'\n');
    })
}

/// Columns of numbers.
pub fn numbers(bytes: usize) -> Vec<u8> {
    fill(bytes, |chance, text| {
        let row = format!(
            "{},{},{:.4},{},{}\n",
            chance.below(1_000_000_000),
            chance.below(100_000),
            chance.below(1_000_000) as f64 / 7.0,
            1_700_000_000_000u64 + chance.next() % 100_000_000_000,
            chance.next() % 10_000_000_000_000_000,
        );
        text.extend_from_slice(row.as_bytes());
    })
}

/// A hit in every line.
pub fn dense(bytes: usize) -> Vec<u8> {
    fill(bytes, |chance, text| {
        let hit = match chance.below(5) {
            0 => format!("ann{}@example.org", chance.below(1000)),
            1 => "4111 1111 1111 1111".to_owned(),
            2 => "DE89370400440532013000".to_owned(),
            3 => format!(
                "SSN {}-{:02}-{:04}",
                100 + chance.below(500),
                1 + chance.below(99),
                1 + chance.below(9999)
            ),
            _ => "+49 30 1234567".to_owned(),
        };
        text.extend_from_slice(
            format!("{{\"n\":{},\"v\":\"{hit}\"}},\n", chance.below(1000)).as_bytes(),
        );
    })
}

fn fill(bytes: usize, mut row: impl FnMut(&mut Chance, &mut Vec<u8>)) -> Vec<u8> {
    let (mut chance, mut text) = (Chance(0x9e37_79b9_7f4a_7c15), Vec::with_capacity(bytes + 1024));
    while text.len() < bytes {
        row(&mut chance, &mut text);
    }
    text.truncate(bytes);
    text
}

/// xorshift64*: seeded, and good enough for texts.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
