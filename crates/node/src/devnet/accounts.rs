//! The accounts of a development network: whose money it is.

use alloy_primitives::{Address, U256, keccak256};
use chainmesh_chain::{Chain, clique};
use secp256k1::SecretKey;

/// Keys that everybody knows: the first ones of the test phrase that development tools share
/// (`test test test test test test test test test test test junk`). Wallets know them, and so does
/// every thief: on no other network may they own anything.
const KNOWN_KEYS: [&str; 5] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
];

/// What each account has at the start, ether.
const BALANCE: u64 = 10_000;

/// An account with its key.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) key: SecretKey,
    pub(super) address: Address,
}

impl Account {
    fn new(key: SecretKey) -> Self {
        Self { address: clique::address(&key.public_key()), key }
    }
}

/// The accounts that people may use, in the order of the phrase.
pub(super) fn known() -> Vec<Account> {
    KNOWN_KEYS.iter().filter_map(|key| key.parse().ok()).map(Account::new).collect()
}

/// The account of the network itself, so that it takes nobody's nonces.
pub(super) fn own() -> Option<Account> {
    let secret = keccak256(b"chainmesh devnet").0;
    SecretKey::from_secret_bytes(secret).ok().map(Account::new)
}

/// Who owns what at the start, wei.
pub(super) fn balances() -> Vec<(Address, U256)> {
    let wei = U256::from(BALANCE) * U256::from(10).pow(U256::from(18));
    known().into_iter().chain(own()).map(|account| (account.address, wei)).collect()
}

/// Says who has money on this chain; `None` where it is not theirs.
pub(super) fn hint(chain: &Chain) -> Option<String> {
    let first = known_on(chain)?;
    let count = KNOWN_KEYS.len();
    Some(format!("{count} accounts have {BALANCE} ether each; the first is {}", first.address))
}

/// Says how to spend it.
pub(super) fn key_hint(chain: &Chain) -> Option<String> {
    known_on(chain)?;
    KNOWN_KEYS.first().map(|key| format!("spend with 0x{key}"))
}

/// The first of the accounts, if this chain knows it.
fn known_on(chain: &Chain) -> Option<Account> {
    let first = known().into_iter().next()?;
    chain.spec().genesis().alloc.contains_key(&first.address).then_some(first)
}
