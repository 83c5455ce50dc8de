//! See [`chainmesh_fuzz::tls_stream`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::tls_stream(data));
