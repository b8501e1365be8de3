#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("session"), |data: &[u8]| fuzz_targets::targets::session::run(data));
