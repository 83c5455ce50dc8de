//! See [`chainmesh_fuzz::enode`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::enode(data));
