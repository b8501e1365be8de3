#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("config"), |data: &[u8]| fuzz_targets::targets::config::run(data));
