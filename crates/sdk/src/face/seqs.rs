//! Our numbers as the seqs of both protocols: 32 hex digits, of which the first half is this
//! client's own.

use chainmesh_wire::amop::channel::Seq;

/// Digits of each half.
const HALF: usize = 16;

/// Makes seqs, and reads them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seqs {
    prefix: [u8; 8],
}

impl Seqs {
    /// `prefix` should be random: no other client may have it.
    pub(crate) const fn new(prefix: u64) -> Self {
        Self { prefix: prefix.to_be_bytes() }
    }

    /// The seq with this number.
    pub(crate) fn of(self, number: u64) -> Seq {
        let mut uuid = [0; 16];
        let (first, second) = uuid.split_at_mut(8);
        first.copy_from_slice(&self.prefix);
        second.copy_from_slice(&number.to_be_bytes());
        Seq::from_uuid(uuid)
    }

    /// The number of a seq; `None` when it is none of ours.
    pub(crate) fn number(self, seq: &[u8]) -> Option<u64> {
        let (first, second) = seq.split_at_checked(HALF)?;
        let own = self.of(0).0;
        if own.get(..HALF) != Some(first) || second.len() != HALF {
            return None;
        }
        second.iter().try_fold(0, |number: u64, digit| {
            let digit = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            Some(number << 4 | u64::from(digit))
        })
    }
}

#[cfg(test)]
mod tests;
