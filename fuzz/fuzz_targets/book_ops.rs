//! See [`chainmesh_fuzz::book_ops`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::book_ops(data));
