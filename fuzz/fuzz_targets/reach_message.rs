//! See [`chainmesh_fuzz::reach_message`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::reach_message(data));
