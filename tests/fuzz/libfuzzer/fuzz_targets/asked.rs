#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("asked"), |data: &[u8]| fuzz_targets::targets::asked::run(data));
