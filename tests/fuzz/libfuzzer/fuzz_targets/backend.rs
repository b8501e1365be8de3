#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("backend"), |data: &[u8]| fuzz_targets::targets::backend::run(data));
