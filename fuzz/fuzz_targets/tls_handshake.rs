//! See [`chainmesh_fuzz::tls_handshake`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::tls_handshake(data));
