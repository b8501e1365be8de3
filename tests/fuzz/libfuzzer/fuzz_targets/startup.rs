#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("startup"), |data: &[u8]| fuzz_targets::targets::startup::run(data));
