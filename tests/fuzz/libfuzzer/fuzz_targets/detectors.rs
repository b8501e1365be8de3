#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("detectors"), |data: &[u8]| fuzz_targets::targets::detectors::run(data));
