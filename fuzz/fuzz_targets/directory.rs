#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| linux_namespaces::fuzz::directory(data));
