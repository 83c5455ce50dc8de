//! See [`chainmesh_fuzz::book_record`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chainmesh_fuzz::book_record(data));
