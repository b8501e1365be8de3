#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("connect"), |data: &[u8]| fuzz_targets::targets::connect::run(data));
