//! See [`chainmesh_fuzz::mesh_packet`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::mesh_packet(data));
