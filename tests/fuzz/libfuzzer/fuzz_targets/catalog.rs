#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("catalog"), |data: &[u8]| fuzz_targets::targets::catalog::run(data));
