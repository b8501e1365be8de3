#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("policy"), |data: &[u8]| fuzz_targets::targets::policy::run(data));
