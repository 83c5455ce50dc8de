//! One number for everything that was decided: what `same seed, same decisions` compares.

use core::hash::Hasher;

/// A hash over every decision in its order. FNV-1a of 64 bits: the same on every machine and with
/// every toolchain, which the standard library does not promise of its own hasher.
#[derive(Debug, Clone)]
pub(crate) struct DecisionHash(u64);

impl DecisionHash {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for DecisionHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
