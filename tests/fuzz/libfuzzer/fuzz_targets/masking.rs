#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("masking"), |data: &[u8]| fuzz_targets::targets::masking::run(data));
