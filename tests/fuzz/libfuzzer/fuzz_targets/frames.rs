#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("frames"), |data: &[u8]| fuzz_targets::targets::frames::run(data));
