//! See [`chainmesh_fuzz::amop_channel`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::amop_channel(data));
