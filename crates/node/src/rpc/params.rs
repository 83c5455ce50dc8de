//! Parameters: an array of so many values, each of its type. The texts of errors are those of
//! go-ethereum as far as they do not name types of Go.

use core::fmt;
use core::str::FromStr;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use jsonrpsee_types::Params;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::{RpcResult, invalid_params};

/// Parameters of any method, at most. More are not even cut into pieces.
const MAX_ARGUMENTS: usize = 16;

/// The parameters of one request, taken one after the other.
#[derive(Debug, Default)]
pub(crate) struct Args {
    values: Vec<Box<RawValue>>,
    next: usize,
}

impl Args {
    /// Cuts parameters into pieces; `most` is how many the method has.
    pub(crate) fn new(params: &Params<'_>, most: usize) -> RpcResult<Self> {
        let text = params.as_str().unwrap_or("[]");
        if !text.trim_start().starts_with('[') {
            return Err(invalid_params("non-array args"));
        }
        let values: Vec<Box<RawValue>> = serde_json::from_str(text).map_err(invalid_params)?;
        if values.len() > most.min(MAX_ARGUMENTS) {
            return Err(invalid_params(format_args!("too many arguments, want at most {most}")));
        }
        Ok(Self { values, next: 0 })
    }

    /// The next one, which must be there.
    pub(crate) fn required<T: DeserializeOwned>(&mut self) -> RpcResult<T> {
        let place = self.next;
        let missing =
            || invalid_params(format_args!("missing value for required argument {place}"));
        self.value()?.ok_or_else(missing)
    }

    /// The next one, if it is there and not `null`.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self) -> RpcResult<Option<T>> {
        self.value()
    }

    fn value<T: DeserializeOwned>(&mut self) -> RpcResult<Option<T>> {
        let place = self.next;
        self.next += 1;
        match self.values.get(place).map(|value| value.get()) {
            None | Some("null") => Ok(None),
            Some(text) => serde_json::from_str(text).map(Some).map_err(|why| {
                invalid_params(format_args!("invalid argument {place}: {}", reason(&why)))
            }),
        }
    }
}

/// What serde says, without the place in a text that the caller does not see as we do.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}

/// Why a text is no hexadecimal value. The texts are go-ethereum's (`common/hexutil`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HexError {
    #[error("empty hex string")]
    Empty,
    #[error("hex string without 0x prefix")]
    MissingPrefix,
    #[error("invalid hex string")]
    Syntax,
    #[error("hex string \"0x\"")]
    EmptyNumber,
    #[error("hex number with leading zero digits")]
    LeadingZero,
    #[error("hex number > 64 bits")]
    Number64,
    #[error("hex number > 256 bits")]
    Number256,
    #[error("hex string of odd length")]
    OddLength,
    #[error("hex string has length {found}, want {expected}")]
    Length { found: usize, expected: usize },
}

/// Digits of a quantity: at least one, and the first is 0 only in `0x0`.
fn digits(text: &str) -> Result<&str, HexError> {
    if text.is_empty() {
        return Err(HexError::Empty);
    }
    let prefix = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let digits = prefix.ok_or(HexError::MissingPrefix)?;
    if digits.is_empty() {
        return Err(HexError::EmptyNumber);
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(HexError::LeadingZero);
    }
    if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        Ok(digits)
    } else {
        Err(HexError::Syntax)
    }
}

/// A quantity of 64 bits.
pub(crate) fn quantity_u64(text: &str) -> Result<u64, HexError> {
    let digits = digits(text)?;
    u64::from_str_radix(digits, 16).map_err(|_| HexError::Number64)
}

/// A quantity of 256 bits.
pub(crate) fn quantity_u256(text: &str) -> Result<U256, HexError> {
    let digits = digits(text)?;
    U256::from_str_radix(digits, 16).map_err(|_| HexError::Number256)
}

/// Bytes in hex.
pub(crate) fn bytes(text: &str) -> Result<Vec<u8>, HexError> {
    if text.is_empty() {
        return Err(HexError::Empty);
    }
    let prefix = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let digits = prefix.ok_or(HexError::MissingPrefix)?;
    if !digits.len().is_multiple_of(2) {
        return Err(HexError::OddLength);
    }
    hex::decode(digits).map_err(|_| HexError::Syntax)
}

fn fixed<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let bytes = bytes(text)?;
    let length = HexError::Length { found: bytes.len() * 2, expected: N * 2 };
    bytes.try_into().map_err(|_| length)
}

/// A value as it stands in JSON: a string in hex, with `0x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Hex<T>(pub(crate) T);

impl FromStr for Hex<u64> {
    type Err = HexError;
    fn from_str(text: &str) -> Result<Self, HexError> {
        quantity_u64(text).map(Self)
    }
}

impl FromStr for Hex<U256> {
    type Err = HexError;
    fn from_str(text: &str) -> Result<Self, HexError> {
        quantity_u256(text).map(Self)
    }
}

impl FromStr for Hex<u128> {
    type Err = HexError;
    fn from_str(text: &str) -> Result<Self, HexError> {
        quantity_u256(text)?.try_into().map(Self).map_err(|_| HexError::Number256)
    }
}

impl FromStr for Hex<Bytes> {
    type Err = HexError;
    fn from_str(text: &str) -> Result<Self, HexError> {
        Ok(Self(bytes(text)?.into()))
    }
}

impl FromStr for Hex<Address> {
    type Err = HexError;
    fn from_str(text: &str) -> Result<Self, HexError> {
        Ok(Self(fixed::<20>(text)?.into()))
    }
}

impl FromStr for Hex<B256> {
    type Err = HexError;
    fn from_str(text: &str) -> Result<Self, HexError> {
        Ok(Self(fixed::<32>(text)?.into()))
    }
}

impl<'de, T> Deserialize<'de> for Hex<T>
where
    Self: FromStr,
    <Self as FromStr>::Err: fmt::Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
