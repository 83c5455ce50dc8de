//! See [`chainmesh_fuzz::eth_message`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::eth_message(data));
