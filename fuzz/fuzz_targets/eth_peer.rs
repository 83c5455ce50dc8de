//! See [`chainmesh_fuzz::eth_peer`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::eth_peer(data));
