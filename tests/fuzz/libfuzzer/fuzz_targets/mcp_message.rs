#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("mcp_message"), |data: &[u8]| fuzz_targets::targets::mcp_message::run(data));
