#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("answers"), |data: &[u8]| fuzz_targets::targets::answers::run(data));
