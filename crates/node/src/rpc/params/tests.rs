//! Hexadecimal values as EIP-1474 writes them, and lists of parameters.

use alloy_primitives::{Address, Bytes, U256};
use jsonrpsee_types::Params;
use proptest::prelude::*;

use super::{Args, Hex, HexError, quantity_u64, quantity_u256};

#[test]
fn quantities_of_the_specification() {
    // EIP-1474: the good and the bad examples for a quantity.
    assert_eq!(quantity_u64("0x41"), Ok(65));
    assert_eq!(quantity_u64("0x400"), Ok(1024));
    assert_eq!(quantity_u64("0x0"), Ok(0));
    assert_eq!(quantity_u64("0x"), Err(HexError::EmptyNumber));
    assert_eq!(quantity_u64("0x0400"), Err(HexError::LeadingZero));
    assert_eq!(quantity_u64("ff"), Err(HexError::MissingPrefix));
    assert_eq!(quantity_u64(""), Err(HexError::Empty));
    assert_eq!(quantity_u64("0x+1"), Err(HexError::Syntax));
    assert_eq!(quantity_u64("0xffffffffffffffff"), Ok(u64::MAX));
    assert_eq!(quantity_u64("0x10000000000000000"), Err(HexError::Number64));
    let longest = format!("0x{}", "f".repeat(64));
    assert_eq!(quantity_u256(&longest), Ok(U256::MAX));
    assert_eq!(quantity_u256(&format!("{longest}f")), Err(HexError::Number256));
}

#[test]
fn bytes_of_the_specification() {
    let bytes = |text: &str| text.parse::<Hex<Bytes>>().map(|Hex(bytes)| bytes.to_vec());
    assert_eq!(bytes("0x41"), Ok(vec![0x41]));
    assert_eq!(bytes("0x004200"), Ok(vec![0, 0x42, 0]));
    assert_eq!(bytes("0x"), Ok(vec![]));
    assert_eq!(bytes("0xf0f0f"), Err(HexError::OddLength));
    assert_eq!(bytes("004200"), Err(HexError::MissingPrefix));
    assert_eq!(bytes("0xgg"), Err(HexError::Syntax));
    let address = |text: &str| text.parse::<Hex<Address>>();
    assert!(address(&format!("0x{}", "ab".repeat(20))).is_ok());
    let short = HexError::Length { found: 38, expected: 40 };
    assert_eq!(address(&format!("0x{}", "ab".repeat(19))), Err(short));
}

#[test]
fn lists_of_parameters() {
    let args = |text| Args::new(&Params::new(text), 2);
    let message = |error: jsonrpsee_types::ErrorObjectOwned| {
        assert_eq!(error.code(), -32602);
        error.message().to_owned()
    };
    let mut none = args(None).unwrap();
    assert_eq!(none.optional::<bool>().unwrap(), None);
    let missing = message(none.required::<bool>().unwrap_err());
    assert_eq!(missing, "missing value for required argument 1");
    let mut some = args(Some("[true, null]")).unwrap();
    assert!(some.required::<bool>().unwrap());
    assert_eq!(some.optional::<bool>().unwrap(), None);
    let wrong = message(args(Some("[\"1\"]")).unwrap().required::<Hex<u64>>().unwrap_err());
    assert_eq!(wrong, "invalid argument 0: hex string without 0x prefix");
    assert_eq!(message(args(Some("{\"a\": 1}")).unwrap_err()), "non-array args");
    let many = message(args(Some("[1, 2, 3]")).unwrap_err());
    assert_eq!(many, "too many arguments, want at most 2");
}

/// What a method takes is never deeper than serde_json lets it be.
#[test]
fn deep_parameters_are_refused_and_not_followed() {
    let deep = format!("[{}{}]", "[".repeat(1 << 20), "]".repeat(1 << 20));
    let mut args = Args::new(&Params::new(Some(&deep)), 1).unwrap();
    let error = args.required::<serde_json::Value>().unwrap_err();
    assert!(error.message().contains("recursion limit"), "{error}");
}

proptest! {
    #[test]
    fn what_is_written_is_read(number: u64, large: [u64; 4], bytes: Vec<u8>) {
        prop_assert_eq!(quantity_u64(&format!("{number:#x}")), Ok(number));
        let large = U256::from_limbs(large);
        prop_assert_eq!(quantity_u256(&format!("{large:#x}")), Ok(large));
        let bytes = Bytes::from(bytes);
        prop_assert_eq!(bytes.to_string().parse::<Hex<Bytes>>(), Ok(Hex(bytes)));
    }

    #[test]
    fn no_text_is_a_surprise(text in ".{0,80}") {
        let _ = quantity_u64(&text);
        let _ = quantity_u256(&text);
        let _ = text.parse::<Hex<Bytes>>();
        let _ = text.parse::<Hex<Address>>();
    }
}
