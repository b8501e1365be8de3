//! Detectors on one core, all kinds on, beside ripgrep with the same patterns over the same bytes.
//!
//!     cargo bench -p tallyport-detect --bench speed [-- MEBIBYTES]
//!
//! ripgrep gets what it can say: the shapes, as one regular expression of alternatives (`rg --count-matches`, one thread).
//! It does no checksums, no context and no masking, and counts more.
#![allow(clippy::print_stdout, reason = "a bench reports on stdout")]
#![allow(dead_code, clippy::indexing_slicing, reason = "shared with the tests")]

#[path = "../tests/common/patterns.rs"]
mod patterns;
#[path = "../tests/common/texts.rs"]
mod texts;

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::Instant;

use tallyport_detect::{Action, Cards, Detectors, Group, Kinds, Rules, Screen};

type Failed = Box<dyn std::error::Error>;

/// Runs of each; the best one counts, since what disturbs only slows.
const RUNS: usize = 5;

/// What a stream gets at a time: a TLS record.
const CHUNK_BYTES: usize = 16 * 1024;

fn main() -> Result<(), Failed> {
    let mebibytes = std::env::args().filter_map(|argument| argument.parse().ok()).next();
    let bytes: usize = mebibytes.unwrap_or(32) << 20;
    let began = Instant::now();
    let screen = Screen::new(Rules::uniform(Kinds::all(), Action::Mask), Cards::Hidden)?;
    println!("all kinds compiled in {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    let rg = ripgrep_version();
    match &rg {
        Some(version) => println!("beside {version}"),
        None => println!("ripgrep is missing: apt-get install ripgrep, or cargo install ripgrep"),
    }
    println!(
        "{:<24}{:>10}{:>10}{:>10}{:>10}{:>12}{:>10}{:>9}",
        "MB/s, one core", "scan", "mask", "stream", "rg", "scan / rg", "hits", "rg hits"
    );
    for (name, text) in texts::all(bytes) {
        let scan = best(text.len(), || screen.detectors().scan(&text).len());
        let mask = best(text.len(), || {
            let mut out = Vec::with_capacity(text.len());
            screen.mask(&text, Kinds::NONE, &mut out);
            out.len()
        });
        let stream = best(text.len(), || streamed(&screen, &text));
        let hits = screen.detectors().scan(&text).len();
        let beside = if rg.is_some() { Some(ripgrep(&text)?) } else { None };
        let (rate, ratio, found) =
            beside.map_or(("-".to_owned(), "-".to_owned(), "-".to_owned()), |(rate, found)| {
                (format!("{rate:.0}"), format!("{:.2}", scan / rate), found.to_string())
            });
        println!(
            "{name:<24}{scan:>10.0}{mask:>10.0}{stream:>10.0}{rate:>10}{ratio:>12}{hits:>10}{found:>9}"
        );
    }
    by_group(bytes)
}

/// What each group costs alone, on rows of JSON.
fn by_group(bytes: usize) -> Result<(), Failed> {
    let text = texts::json_rows(bytes);
    for group in Group::ALL {
        let detectors = Detectors::new(Kinds::of(*group))?;
        let rate = best(text.len(), || detectors.scan(&text).len());
        println!("json rows, {:<13}{rate:>10.0}", group.name());
    }
    let screen = Screen::new(Rules::uniform(Kinds::all(), Action::Mask), Cards::Hidden)?;
    let cells: Vec<&[u8]> = text.split(|byte| *byte == b',').take(1_000_000).collect();
    let began = Instant::now();
    cells.iter().for_each(|cell| drop(black_box(screen.detectors().scan(cell))));
    let nanoseconds = began.elapsed().as_secs_f64() * 1e9 / cells.len() as f64;
    println!("one value of {} bytes: {nanoseconds:.0} ns", text.len() / cells.len().max(1));
    Ok(())
}

fn streamed(screen: &Screen, text: &[u8]) -> usize {
    let mut stream = screen.stream(Kinds::NONE);
    let (mut out, mut bytes) = (Vec::with_capacity(2 * CHUNK_BYTES), 0);
    for chunk in text.chunks(CHUNK_BYTES) {
        stream.push(chunk, &mut out);
        bytes += out.len();
        out.clear();
    }
    stream.finish(&mut out);
    bytes + out.len()
}

/// Megabytes in a second, in the best run.
fn best(bytes: usize, mut run: impl FnMut() -> usize) -> f64 {
    let seconds = (0..RUNS).map(|_| {
        let began = Instant::now();
        black_box(run());
        began.elapsed().as_secs_f64()
    });
    bytes as f64 / seconds.fold(f64::INFINITY, f64::min) / 1e6
}

fn ripgrep_version() -> Option<String> {
    let output = Command::new("rg").arg("--version").output().ok()?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
}

/// Megabytes in a second, and what was counted. The start of the process is measured and taken off.
fn ripgrep(text: &[u8]) -> Result<(f64, u64), Failed> {
    let folder = std::env::temp_dir().join(format!("detect-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let [file, empty, words] = ["text", "empty", "patterns"].map(|name| folder.join(name));
    std::fs::write(&file, text)?;
    std::fs::write(&empty, b"\n")?;
    std::fs::write(&words, patterns::PATTERNS.join("\n"))?;
    let run = |path: &std::path::Path| -> Result<(f64, u64), Failed> {
        let began = Instant::now();
        let mut command = Command::new("rg");
        // Bytes, as the detectors read them; one thread, one file.
        command.args([
            "--no-config",
            "--no-unicode",
            "--text",
            "--threads=1",
            "--count-matches",
            "--no-filename",
        ]);
        let output =
            command.arg("--file").arg(&words).arg(path).stderr(Stdio::inherit()).output()?;
        let seconds = began.elapsed().as_secs_f64();
        Ok((seconds, String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or_default()))
    };
    let (mut fastest, mut start, mut found) = (f64::INFINITY, f64::INFINITY, 0);
    for _ in 0..RUNS {
        let (seconds, count) = run(&file)?;
        (fastest, found) = (fastest.min(seconds), count);
        start = start.min(run(&empty)?.0);
    }
    std::fs::remove_dir_all(&folder)?;
    Ok((text.len() as f64 / (fastest - start).max(1e-9) / 1e6, found))
}
