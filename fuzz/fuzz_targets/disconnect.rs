//! See [`chainmesh_fuzz::disconnect`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::disconnect(data));
