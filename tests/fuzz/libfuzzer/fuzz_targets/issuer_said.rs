#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("issuer_said"), |data: &[u8]| fuzz_targets::targets::issuer_said::run(data));
