#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("routes"), |data: &[u8]| fuzz_targets::targets::routes::run(data));
