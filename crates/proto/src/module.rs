//! Application modules: register once, get a handler per peer, over whatever transport.
