#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| kv_fuzz::client_ops::check(data));
