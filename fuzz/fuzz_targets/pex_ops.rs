//! See [`chainmesh_fuzz::pex_ops`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::pex_ops(data));
