#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("heads"), |data: &[u8]| fuzz_targets::targets::heads::run(data));
