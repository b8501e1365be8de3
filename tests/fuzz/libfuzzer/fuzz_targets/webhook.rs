#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("webhook"), |data: &[u8]| fuzz_targets::targets::webhook::run(data));
