//! See [`chainmesh_fuzz::amop_ws`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::amop_ws(data));
