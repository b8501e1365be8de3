#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("sql"), |data: &[u8]| fuzz_targets::targets::sql::run(data));
