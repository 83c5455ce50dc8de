//! See [`chainmesh_fuzz::record`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::record(data));
