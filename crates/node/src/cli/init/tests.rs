use alloy_primitives::address;

use super::*;

#[test]
fn amounts() {
    let ether = U256::from(10).pow(U256::from(18));
    for (text, expected) in [
        ("0", U256::ZERO),
        ("12", U256::from(12)),
        ("12wei", U256::from(12)),
        ("0x10", U256::from(16)),
        ("3gwei", U256::from(3_000_000_000_u64)),
        ("1000ether", ether * U256::from(1_000)),
        ("0.5ether", ether / U256::from(2)),
        ("0.000000000000000001ether", U256::from(1)),
        (&U256::MAX.to_string(), U256::MAX),
    ] {
        assert_eq!(wei(text), Some(expected), "{text}");
    }
    for text in [
        "",
        "ether",
        "-1ether",
        "+1ether",
        "1.5wei",
        "1e18",
        "1 ether",
        "one",
        "0.0000000000000000001ether",
        "1.2.3ether",
        "999999999999999999999999999999999999999999999999999999999999999999999ether",
    ] {
        assert_eq!(wei(text), None, "{text}");
    }
}

#[test]
fn balances() {
    let address = address!("0x71c7656ec7ab88b098defb751b7401b5f6d8976f");
    let parsed = "0x71c7656ec7ab88b098defb751b7401b5f6d8976f=7".parse();
    assert_eq!(parsed, Ok(Balance(address, U256::from(7))));
    for (text, expected) in [
        ("0x71c7656ec7ab88b098defb751b7401b5f6d8976f", BalanceError::Form),
        ("0x71c7=7", BalanceError::Address),
        ("0x71c7656ec7ab88b098defb751b7401b5f6d8976f=much", BalanceError::Amount),
    ] {
        assert_eq!(text.parse::<Balance>(), Err(expected), "{text}");
    }
}
