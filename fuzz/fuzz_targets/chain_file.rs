//! See [`chainmesh_fuzz::chain_file`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::chain_file(data));
