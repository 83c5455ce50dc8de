//! See [`chainmesh_fuzz::session_pair`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::session_pair(data));
