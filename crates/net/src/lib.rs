//! The library that a chain embeds: runs the protocol machines on sockets.
