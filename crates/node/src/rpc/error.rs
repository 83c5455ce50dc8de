//! Errors as wallets know them: the codes of JSON-RPC 2.0, of EIP-1474 and of go-ethereum.

use jsonrpsee_types::ErrorObjectOwned;
use jsonrpsee_types::error::{INTERNAL_ERROR_CODE, INVALID_PARAMS_CODE};
use serde::Serialize;
use tracing::error;

/// The request was understood, and cannot be carried out (go-ethereum's default code).
pub const SERVER_ERROR_CODE: i32 = -32000;
/// The answers to a batch are too long (go-ethereum, `errcodeResponseTooLarge`).
pub const RESPONSE_TOO_LARGE_CODE: i32 = -32003;
/// More was asked for than is given at once (EIP-1474, "limit exceeded").
pub const LIMIT_EXCEEDED_CODE: i32 = -32005;
/// The EVM has reverted; the data are what it returned (go-ethereum, `revertError`).
pub const REVERTED_CODE: i32 = 3;

/// What a method answers.
pub type RpcResult<T> = Result<T, ErrorObjectOwned>;

fn object(code: i32, why: impl core::fmt::Display) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(code, why.to_string(), None::<()>)
}

/// The request was understood, and something on our side failed.
pub(crate) fn internal(why: impl core::fmt::Display) -> ErrorObjectOwned {
    error!("an RPC request failed: {why}");
    object(INTERNAL_ERROR_CODE, why)
}

/// The request was understood, and cannot be carried out.
pub(crate) fn refused(why: impl core::fmt::Display) -> ErrorObjectOwned {
    object(SERVER_ERROR_CODE, why)
}

/// The parameters are wrong.
pub(crate) fn invalid_params(why: impl core::fmt::Display) -> ErrorObjectOwned {
    object(INVALID_PARAMS_CODE, why)
}

/// More was asked for than is given at once.
pub(crate) fn limit_exceeded(why: impl core::fmt::Display) -> ErrorObjectOwned {
    object(LIMIT_EXCEEDED_CODE, why)
}

/// An error with data.
pub(crate) fn with_data(
    code: i32,
    why: impl core::fmt::Display,
    data: impl Serialize,
) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(code, why.to_string(), Some(data))
}
