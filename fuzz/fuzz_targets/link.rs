//! A target for libFuzzer: what it does is in `seawall_fuzz`.
#![no_main]
#![expect(clippy::disallowed_methods, reason = "in libfuzzer-sys")]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seawall_fuzz::link(data));
