#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("frontend"), |data: &[u8]| fuzz_targets::targets::frontend::run(data));
