//! The chain itself: genesis, block store, import and export, proof of authority.
