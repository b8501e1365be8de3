#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("streams"), |data: &[u8]| fuzz_targets::targets::streams::run(data));
