//! See [`chainmesh_fuzz::mesh_router`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::mesh_router(data));
