//! See [`chainmesh_fuzz::discv4_packet`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::discv4_packet(data));
