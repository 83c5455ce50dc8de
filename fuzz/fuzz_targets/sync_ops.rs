//! See [`chainmesh_fuzz::sync_ops`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::sync_ops(data));
