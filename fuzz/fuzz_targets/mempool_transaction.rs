//! See [`chainmesh_fuzz::mempool_transaction`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::mempool_transaction(data));
