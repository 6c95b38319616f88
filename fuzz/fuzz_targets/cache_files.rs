#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzzing::cache_files(data));
