#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("login"), |data: &[u8]| fuzz_targets::targets::login::run(data));
