use alloy_primitives::keccak256;
use proptest::prelude::*;

use super::*;

proptest! {
    /// Whatever the cuts, the sponge is Keccak-256.
    #[test]
    fn the_sponge_is_keccak256(data in prop::collection::vec(any::<u8>(), 0..1000),
                               cuts in prop::collection::vec(0usize..1000, 0..8)) {
        let mut cuts = cuts;
        cuts.push(0);
        cuts.push(data.len());
        cuts.sort_unstable();
        let mut sponge = Sponge::new();
        for pair in cuts.windows(2) {
            let end = pair[1].min(data.len());
            sponge.update(&data[pair[0].min(end)..end]);
        }
        prop_assert_eq!(&sponge.digest()[..], &keccak256(&data)[..16]);
    }

    /// The digest that is remembered between two frames is the one that would be computed.
    #[test]
    fn a_remembered_digest_is_the_right_one(body in prop::collection::vec(any::<u8>(), 1..300)) {
        let mut mac = FrameMac::new(&[1; 32], &[2; 32], b"packet");
        let mut fresh = FrameMac::new(&[1; 32], &[2; 32], b"packet");
        for header in 0..4 {
            let header = [header; 16];
            fresh.digest = None;
            prop_assert_eq!(mac.header_tag(&header), fresh.header_tag(&header));
            mac.update(&body);
            fresh.update(&body);
            prop_assert_eq!(mac.body_tag(), fresh.body_tag());
        }
    }
}
