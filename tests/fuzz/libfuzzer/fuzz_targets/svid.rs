#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("svid"), |data: &[u8]| fuzz_targets::targets::svid::run(data));
