//! Reasons of reverts as Solidity encodes them.

use alloy_primitives::{Bytes, U256, hex};
use proptest::prelude::*;

use super::revert_reason;

fn error(text: &[u8]) -> Bytes {
    let mut encoded = hex!("08c379a0").to_vec();
    encoded.extend(U256::from(32).to_be_bytes::<32>());
    encoded.extend(U256::from(text.len()).to_be_bytes::<32>());
    encoded.extend(text);
    encoded.resize(encoded.len().next_multiple_of(32) + 4, 0);
    encoded.into()
}

#[test]
fn reasons_are_read() {
    // The example of the Solidity documentation: revert("Not enough Ether provided.").
    let known = hex!(
        "08c379a0
         0000000000000000000000000000000000000000000000000000000000000020
         000000000000000000000000000000000000000000000000000000000000001a
         4e6f7420656e6f7567682045746865722070726f76696465642e000000000000"
    );
    let known = Bytes::from(known);
    assert_eq!(revert_reason(&known).as_deref(), Some("Not enough Ether provided."));
    let panic = |code: u64| {
        Bytes::from([&hex!("4e487b71")[..], &U256::from(code).to_be_bytes::<32>()].concat())
    };
    assert_eq!(revert_reason(&panic(0x12)).as_deref(), Some("division or modulo by zero"));
    assert_eq!(revert_reason(&panic(0x99)).as_deref(), Some("unknown panic code: 0x99"));
    // Errors of the contract's own, and what is cut.
    assert_eq!(revert_reason(&hex!("deadbeef").into()), None);
    assert_eq!(revert_reason(&Bytes::new()), None);
    for length in 0..known.len() - 6 {
        assert_eq!(revert_reason(&known.slice(..length)), None, "{length}");
    }
    let text = revert_reason(&error(b"\x1b[31mred")).unwrap();
    assert!(!text.contains('\x1b'), "{text}");
}

proptest! {
    #[test]
    fn no_output_is_a_surprise(rest: Vec<u8>, panic: bool) {
        let selector = if panic { hex!("4e487b71") } else { hex!("08c379a0") };
        let _ = revert_reason(&[&selector[..], &rest].concat().into());
    }

    #[test]
    fn what_is_written_is_read(text in "[ -~&&[^\\\\]]{0,100}") {
        prop_assert_eq!(revert_reason(&error(text.as_bytes())), Some(text));
    }
}
