#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("token"), |data: &[u8]| fuzz_targets::targets::token::run(data));
