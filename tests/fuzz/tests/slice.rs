//! A short run of every fuzz target: what is kept is replayed, then seeded mutations of it, for a bounded number of
//! executions and a bounded time. It prints what replays it, and writes the input that broke a promise to a file.
//!
//! | variable | what |
//! |---|---|
//! | `TALLYPORT_FUZZ_SEED` | the seed of the mutations; else one that is always the same, so that a gate says the same of a commit twice; drawn where `TALLYPORT_FUZZ_MS` asks for more than the gate |
//! | `TALLYPORT_FUZZ_MS` | how long a target is mutated, in milliseconds; else 2500, and 20,000 executions at most |
//! | `TALLYPORT_FUZZ_INPUT` | `TARGET=FILE`: runs this input alone (test `one_input`) |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

use std::io::Write as _;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use fuzz_targets::mutate::{Random, mutated};
use fuzz_targets::{TARGETS, Target};
use sha2::{Digest as _, Sha256};

/// The most executions of one target where no time is given.
const MAX_EXECUTIONS: u64 = 20_000;
const SEED_OF_THE_GATE: u64 = 1;
const DEFAULT_MS: u64 = 2_500;
/// What takes longer is said: no promise is broken, but somebody may look.
const SLOW: Duration = Duration::from_secs(2);

macro_rules! slices {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            slice(stringify!($name));
        })+

        #[test]
        fn every_target_has_its_slice_and_its_binary() {
            let mut binaries: Vec<String> =
                std::fs::read_dir(fuzz_targets::here().join("libfuzzer/fuzz_targets"))
                    .unwrap()
                    .map(|entry| entry.unwrap().path().file_stem().unwrap().display().to_string())
                    .collect();
            let mut slices = vec![$(stringify!($name)),+];
            let mut targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            (binaries.sort(), slices.sort_unstable(), targets.sort_unstable());
            assert_eq!(slices, targets);
            assert_eq!(binaries, targets);
        }
    };
}

slices!(
    startup,
    frontend,
    backend,
    frames,
    session,
    login,
    h3_frames,
    connect,
    token,
    keys,
    event,
    policy,
    masking,
    sql,
    log_url,
    config,
    block,
    assertion,
    detectors,
    mcp_message,
    asked,
    answers,
    heads,
    streams,
    routes,
    mcp_server,
    proof,
    svid,
    webhook,
    issuer_said,
    catalog,
    question,
);

/// `TALLYPORT_FUZZ_INPUT=TARGET=FILE` runs one input alone, outside of any net.
#[test]
fn one_input() {
    let Ok(named) = std::env::var("TALLYPORT_FUZZ_INPUT") else { return };
    let (name, file) = named.split_once('=').expect("TALLYPORT_FUZZ_INPUT is TARGET=FILE");
    let target = Target::named(name).unwrap_or_else(|| panic!("there is no target {name}"));
    (target.run)(&std::fs::read(file).expect("the input can be read"));
}

fn slice(name: &str) {
    let target = Target::named(name).unwrap();
    let kept = target.kept();
    assert!(!kept.is_empty(), "{name} has nothing to start from");
    for (from, input) in &kept {
        execute(&target, input, from);
    }
    let asked = setting("TALLYPORT_FUZZ_MS");
    let seed = setting("TALLYPORT_FUZZ_SEED");
    let seed = seed.unwrap_or_else(|| asked.map_or(SEED_OF_THE_GATE, |_| drawn()));
    // Said beforehand, and past the harness: a stack that overflows ends the process without a word.
    say(&format!("{name}: {} kept inputs hold; TALLYPORT_FUZZ_SEED={seed}", kept.len()));
    let inputs: Vec<Vec<u8>> = kept.into_iter().map(|(_, input)| input).collect();
    let within = Duration::from_millis(asked.unwrap_or(DEFAULT_MS));
    let most = asked.map_or(MAX_EXECUTIONS, |_| u64::MAX);
    let began = Instant::now();
    let mut executions = 0;
    while executions < most && began.elapsed() < within {
        let input = mutated(&mut Random::new(seed, executions), &inputs, target.words);
        execute(&target, &input, &format!("execution {executions} of seed {seed}"));
        executions += 1;
    }
    say(&format!("{name}: {executions} executions in {} ms", began.elapsed().as_millis()));
}

fn execute(target: &Target, input: &[u8], from: &str) {
    let (run, name) = (target.run, target.name);
    let began = Instant::now();
    let held = catch_unwind(|| run(input)).is_ok();
    let took = began.elapsed();
    if held && took < SLOW {
        return;
    }
    let print = hex::encode(&Sha256::digest(input)[..8]);
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}-{print}"));
    std::fs::write(&file, input).expect("the input can be written");
    let file = file.display();
    if held {
        return say(&format!(
            "{name}: {from} took {} ms, the input is in {file}",
            took.as_millis()
        ));
    }
    panic!(
        "{name} broke a promise on {from} ({} bytes). The input is in {file}\n\
         again:     TALLYPORT_FUZZ_INPUT={name}={file} cargo test --locked --workspace --test slice one_input\n\
         when mended, keep it: cp {file} tests/fuzz/regressions/{name}/",
        input.len()
    );
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

fn drawn() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    now.as_nanos() as u64
}

fn say(line: &str) {
    let _said = writeln!(std::io::stderr(), "{line}");
}
