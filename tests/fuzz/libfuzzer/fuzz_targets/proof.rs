#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("proof"), |data: &[u8]| fuzz_targets::targets::proof::run(data));
