#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("question"), |data: &[u8]| fuzz_targets::targets::question::run(data));
