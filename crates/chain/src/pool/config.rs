//! [`MempoolConfig`]: how much the pool holds, and what it asks of a transaction.

/// Bytes in a slot, the unit in which transactions are counted (go-ethereum, `txSlotSize`).
pub const SLOT_BYTES: usize = 32 * 1024;

/// Largest transaction in its EIP-2718 form, in bytes (go-ethereum, `txMaxSize` = 4 slots).
pub const MAX_TRANSACTION_BYTES: usize = 4 * SLOT_BYTES;

/// Slots of an account that are not taken from it while others have more (go-ethereum,
/// `AccountSlots`).
pub const DEFAULT_ACCOUNT_SLOTS: usize = 16;

/// Slots of all executable transactions (go-ethereum 1.11 and later, `GlobalSlots` = 4096 + 1024).
pub const DEFAULT_GLOBAL_SLOTS: usize = 5_120;

/// Most transactions of an account that wait for an earlier nonce (go-ethereum, `AccountQueue`).
pub const DEFAULT_ACCOUNT_QUEUE: usize = 64;

/// Most transactions of all accounts that wait for an earlier nonce (go-ethereum, `GlobalQueue`).
pub const DEFAULT_GLOBAL_QUEUE: usize = 1_024;

/// How long the waiting transactions of an account stay when nothing comes from it, in seconds
/// (go-ethereum, `Lifetime` = 3 h).
pub const DEFAULT_QUEUE_LIFETIME: u64 = 3 * 60 * 60;

/// By how many per cent a replacement must raise both prices (go-ethereum, `PriceBump`).
pub const DEFAULT_PRICE_BUMP: u8 = 10;

/// Least tip, in wei per gas (go-ethereum, `PriceLimit`).
pub const DEFAULT_MIN_TIP: u128 = 1;

/// Memory of all transactions, in bytes. All slots full of data would be 192 MiB; 64 MiB is 512
/// transactions of the largest size, or 10 KiB for each of the 6,144 slots, thirty times what
/// a usual transaction takes with its overhead.
pub const DEFAULT_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Most transactions that are ours and therefore never make room for others. Ours: go-ethereum
/// had no limit here (before 1.14), and held all of them.
pub const DEFAULT_LOCAL_TRANSACTIONS: usize = 1_024;

/// Threads that recover signatures of one large batch at the same time.
pub const DEFAULT_RECOVERY_THREADS: usize = 4;

/// How much the pool holds, and what it asks of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MempoolConfig {
    /// Slots of an account that are not taken from it while others have more;
    /// [`DEFAULT_ACCOUNT_SLOTS`]. No limit: an account may have all of the pool while it is free.
    pub account_slots: usize,
    /// Slots of all executable transactions; [`DEFAULT_GLOBAL_SLOTS`].
    pub global_slots: usize,
    /// Most waiting transactions of an account; [`DEFAULT_ACCOUNT_QUEUE`].
    pub account_queue: usize,
    /// Most waiting transactions of all accounts; [`DEFAULT_GLOBAL_QUEUE`].
    pub global_queue: usize,
    /// Seconds; [`DEFAULT_QUEUE_LIFETIME`].
    pub queue_lifetime: u64,
    /// Per cent; [`DEFAULT_PRICE_BUMP`].
    pub price_bump: u8,
    /// Wei per gas, 0 is allowed; [`DEFAULT_MIN_TIP`].
    pub min_tip: u128,
    /// Bytes of all transactions with what the pool needs for each; [`DEFAULT_MAX_BYTES`].
    pub max_bytes: usize,
    /// Most transactions that are kept because they are ours; [`DEFAULT_LOCAL_TRANSACTIONS`].
    /// Further ones are taken like those of peers. 0: nothing is ours.
    pub local_transactions: usize,
    /// Whether transactions without a chain id (before EIP-155), which anybody can repeat on
    /// another chain, are taken from our own users; from peers they are taken always, because
    /// they are valid. Default: no (as go-ethereum, `--rpc.allow-unprotected-txs`).
    pub allow_unprotected: bool,
    /// Threads for the signatures of one batch; [`DEFAULT_RECOVERY_THREADS`].
    pub recovery_threads: usize,
}

impl Default for MempoolConfig {
    fn default() -> Self {
        Self {
            account_slots: DEFAULT_ACCOUNT_SLOTS,
            global_slots: DEFAULT_GLOBAL_SLOTS,
            account_queue: DEFAULT_ACCOUNT_QUEUE,
            global_queue: DEFAULT_GLOBAL_QUEUE,
            queue_lifetime: DEFAULT_QUEUE_LIFETIME,
            price_bump: DEFAULT_PRICE_BUMP,
            min_tip: DEFAULT_MIN_TIP,
            max_bytes: DEFAULT_MAX_BYTES,
            local_transactions: DEFAULT_LOCAL_TRANSACTIONS,
            allow_unprotected: false,
            recovery_threads: DEFAULT_RECOVERY_THREADS,
        }
    }
}
