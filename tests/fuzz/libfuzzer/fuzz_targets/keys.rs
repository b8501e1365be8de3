#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("keys"), |data: &[u8]| fuzz_targets::targets::keys::run(data));
