//! See [`chainmesh_fuzz::peers_ops`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::peers_ops(data));
