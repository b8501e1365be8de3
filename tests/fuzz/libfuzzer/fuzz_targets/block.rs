#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("block"), |data: &[u8]| fuzz_targets::targets::block::run(data));
