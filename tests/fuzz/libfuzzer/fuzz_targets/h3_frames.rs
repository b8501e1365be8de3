#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("h3_frames"), |data: &[u8]| fuzz_targets::targets::h3_frames::run(data));
