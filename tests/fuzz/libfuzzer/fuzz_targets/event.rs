#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("event"), |data: &[u8]| fuzz_targets::targets::event::run(data));
