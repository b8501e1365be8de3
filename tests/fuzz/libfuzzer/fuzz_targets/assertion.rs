#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("assertion"), |data: &[u8]| fuzz_targets::targets::assertion::run(data));
