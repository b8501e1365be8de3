#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz_targets::write_seeds("mcp_server"), |data: &[u8]| fuzz_targets::targets::mcp_server::run(data));
