//! See [`chainmesh_fuzz::pex_message`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::pex_message(data));
