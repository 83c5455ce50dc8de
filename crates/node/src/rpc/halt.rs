//! Why the EVM broke off or reverted, in go-ethereum's words (`core/vm/errors.go`).

use alloy_primitives::{Bytes, U256};
use revm::context_interface::result::HaltReason;

/// Selector of `Error(string)`, with which Solidity's `require` and `revert` revert.
const ERROR_SELECTOR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
/// Selector of `Panic(uint256)`, with which Solidity's checks revert.
const PANIC_SELECTOR: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];

/// Longest reason that is repeated in an error, characters; its data have all of it.
const MAX_REASON: usize = 1_024;

/// Why the EVM broke off.
pub(super) fn text(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "out of gas".into(),
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode => "invalid opcode".into(),
        HaltReason::InvalidJump => "invalid jump destination".into(),
        HaltReason::NotActivated => "invalid opcode".into(),
        HaltReason::StackUnderflow => "stack underflow".into(),
        HaltReason::StackOverflow => "stack limit reached 1024".into(),
        HaltReason::OutOfOffset => "return data out of bounds".into(),
        HaltReason::CreateCollision => "contract address collision".into(),
        HaltReason::NonceOverflow => "nonce uint64 overflow".into(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".into(),
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef".into(),
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded".into(),
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => {
            "write protection".into()
        }
        HaltReason::OutOfFunds => "insufficient balance for transfer".into(),
        HaltReason::CallTooDeep => "max call depth exceeded".into(),
        other => other.to_string(),
    }
}

/// What a contract wants to say with a revert: the text of `Error(string)`, or what the number of
/// `Panic(uint256)` means. `None` when it is neither; the text is escaped.
pub(super) fn revert_reason(output: &Bytes) -> Option<String> {
    let (selector, rest) = output.split_first_chunk::<4>()?;
    match *selector {
        ERROR_SELECTOR => {
            let text = core::str::from_utf8(abi_string(rest)?).ok()?;
            Some(chainmesh_net::EscapedTo(text, MAX_REASON).to_string())
        }
        PANIC_SELECTOR => {
            let code = U256::from_be_slice(rest.get(..32)?);
            Some(
                panic_text(code)
                    .map_or_else(|| format!("unknown panic code: {code:#x}"), Into::into),
            )
        }
        _ => None,
    }
}

/// The bytes of a string that is the only argument of a call.
fn abi_string(arguments: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| {
        let word = arguments.get(at..at.checked_add(32)?)?;
        usize::try_from(U256::from_be_slice(word)).ok()
    };
    let at = number(0)?;
    let length = number(at)?;
    let begin = at.checked_add(32)?;
    arguments.get(begin..begin.checked_add(length)?)
}

/// What the numbers of Solidity's panics mean (go-ethereum, `accounts/abi/abi.go`).
fn panic_text(code: U256) -> Option<&'static str> {
    Some(match u64::try_from(code).ok()? {
        0x00 => "generic panic",
        0x01 => "assert(false)",
        0x11 => "arithmetic underflow or overflow",
        0x12 => "division or modulo by zero",
        0x21 => "enum overflow",
        0x22 => "invalid encoded storage byte array accessed",
        0x31 => "out-of-bounds array access; popping on an empty array",
        0x32 => "out-of-bounds access of an array or bytesN",
        0x41 => "out of memory",
        0x51 => "uninitialized function",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
