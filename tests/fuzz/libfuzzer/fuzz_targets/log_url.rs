#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("log_url"), |data: &[u8]| fuzz_targets::targets::log_url::run(data));
