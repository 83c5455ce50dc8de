//! The versions of the protocol.

use core::fmt;

/// A version of `eth` that this crate speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EthVersion {
    /// Request ids (EIP-2481).
    Eth66,
    /// Without GetNodeData (EIP-4938).
    Eth67,
    /// Transactions are announced with type and size (EIP-5793).
    Eth68,
    /// Status without total difficulty, receipts without bloom, block ranges (EIP-7642).
    Eth69,
}

impl EthVersion {
    /// Every version, the oldest first.
    pub const ALL: [Self; 4] = [Self::Eth66, Self::Eth67, Self::Eth68, Self::Eth69];

    /// The number in a Hello and in a Status.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Eth66 => 66,
            Self::Eth67 => 67,
            Self::Eth68 => 68,
            Self::Eth69 => 69,
        }
    }

    /// The version with this number, if it is spoken here.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.number() == number)
    }

    /// How many message codes the capability takes (geth's `protocolLengths`). eth/67 and eth/68
    /// keep the places of the codes that they dropped.
    #[must_use]
    pub const fn message_count(self) -> u32 {
        match self {
            Self::Eth66 | Self::Eth67 | Self::Eth68 => 17,
            Self::Eth69 => 18,
        }
    }
}

impl fmt::Display for EthVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eth/{}", self.number())
    }
}
