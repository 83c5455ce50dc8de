//! See [`chainmesh_fuzz::role`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::role(data));
