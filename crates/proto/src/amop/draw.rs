//! Drawing one of many, evenly.

use bytes::Bytes;
use chainmesh_wire::amop::channel::Seq;
use rand_core::Rng;

/// Draws before all that will do are counted. Chosen: of a list of which half will do, one draw in
/// 256 goes on.
const QUICK_DRAWS: usize = 8;

/// One of `0..count` that will do, each with the same probability; `None` if none will.
pub(super) fn draw(
    rng: &mut impl Rng,
    count: usize,
    will_do: impl Fn(usize) -> bool,
) -> Option<usize> {
    if count == 0 {
        return None;
    }
    for _ in 0..QUICK_DRAWS {
        let one = below(rng, count);
        if will_do(one) {
            return Some(one);
        }
    }
    let good: Vec<_> = (0..count).filter(|one| will_do(*one)).collect();
    match good.len() {
        0 => None,
        count => good.get(below(rng, count)).copied(),
    }
}

/// A number below `count`, which is not 0. What the multiplication favours is below 2^-32.
fn below(rng: &mut impl Rng, count: usize) -> usize {
    let wide = u128::from(rng.next_u64()) * count as u128;
    usize::try_from(wide >> 64).unwrap_or(0)
}

/// A seq that nobody has used: 32 hex digits, as both generations have them.
pub(super) fn fresh_seq(rng: &mut impl Rng) -> Bytes {
    let mut uuid = [0; 16];
    rng.fill_bytes(&mut uuid);
    Bytes::copy_from_slice(&Seq::from_uuid(uuid).0)
}
