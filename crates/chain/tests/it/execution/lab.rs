//! A network of any fork on a state in memory, with wallets that have money, and the code of small
//! contracts.

use alloy_consensus::{
    EthereumTypedTransaction, Header, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy,
};
use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use chainmesh_chain::execute::{
    BlockAttributes, Built, Executed, ExecutionError, InOrder, MemoryState, RecoveredBody,
    Transaction, build_block, execute_block, recover_senders, sign_hash, sign_transaction,
};
use chainmesh_chain::{ChainSpec, Consensus, Genesis, clique};
use secp256k1::SecretKey;

use crate::common::key;

pub(crate) const CHAIN_ID: u64 = 1515;

/// 10^18 wei.
pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;

/// 10^9 wei: the base fee at the start.
pub(crate) const GWEI: u128 = 1_000_000_000;

/// What a block's maker gets.
pub(crate) const MAKER: Address = Address::repeat_byte(0xbb);

/// Time of the first block here.
pub(crate) const TIME: u64 = 1_700_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fork {
    Frontier,
    Homestead,
    TangerineWhistle,
    SpuriousDragon,
    Byzantium,
    Petersburg,
    Istanbul,
    Berlin,
    London,
    Paris,
    Shanghai,
    Cancun,
    Prague,
    Osaka,
}

pub(crate) const ALL_FORKS: [Fork; 14] = [
    Fork::Frontier,
    Fork::Homestead,
    Fork::TangerineWhistle,
    Fork::SpuriousDragon,
    Fork::Byzantium,
    Fork::Petersburg,
    Fork::Istanbul,
    Fork::Berlin,
    Fork::London,
    Fork::Paris,
    Fork::Shanghai,
    Fork::Cancun,
    Fork::Prague,
    Fork::Osaka,
];

/// A network that has this fork from its first block on: of proof of work up to London, then of
/// proof of stake.
pub(crate) fn genesis(fork: Fork) -> Genesis {
    let from = |first: Fork| (fork >= first).then_some(0);
    let mut genesis = Genesis { gas_limit: 30_000_000, timestamp: TIME, ..Genesis::default() };
    let config = &mut genesis.config;
    config.chain_id = CHAIN_ID;
    config.homestead_block = from(Fork::Homestead);
    config.eip150_block = from(Fork::TangerineWhistle);
    config.eip155_block = from(Fork::SpuriousDragon);
    config.eip158_block = from(Fork::SpuriousDragon);
    config.byzantium_block = from(Fork::Byzantium);
    config.constantinople_block = from(Fork::Petersburg);
    config.petersburg_block = from(Fork::Petersburg);
    config.istanbul_block = from(Fork::Istanbul);
    config.berlin_block = from(Fork::Berlin);
    config.london_block = from(Fork::London);
    config.terminal_total_difficulty = (fork >= Fork::Paris).then_some(U256::ZERO);
    config.shanghai_time = from(Fork::Shanghai);
    config.cancun_time = from(Fork::Cancun);
    config.prague_time = from(Fork::Prague);
    config.osaka_time = from(Fork::Osaka);
    if fork < Fork::Paris {
        genesis.difficulty = U256::from(131_072);
    }
    for n in 1..=9 {
        let money = U256::from(1_000 * ETHER);
        genesis.alloc.insert(Wallet(n).address(), GenesisAccount::default().with_balance(money));
    }
    for (address, code) in [
        (eip4788::BEACON_ROOTS_ADDRESS, &eip4788::BEACON_ROOTS_CODE),
        (eip2935::HISTORY_STORAGE_ADDRESS, &eip2935::HISTORY_STORAGE_CODE),
        (
            eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
            &eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_CODE,
        ),
        (
            eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
            &eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_CODE,
        ),
    ] {
        contract(&mut genesis, address, code);
    }
    genesis
}

/// Puts code there. A contract is born with nonce 1.
pub(crate) fn contract(genesis: &mut Genesis, address: Address, code: &[u8]) {
    let code = Some(Bytes::copy_from_slice(code));
    let account = GenesisAccount::default().with_nonce(Some(1)).with_code(code);
    genesis.alloc.insert(address, account);
}

/// A network, and the state behind its last block.
#[derive(Clone)]
pub(crate) struct Lab {
    pub(crate) spec: ChainSpec,
    pub(crate) consensus: Consensus,
    pub(crate) state: MemoryState,
    pub(crate) parent: Header,
    pub(crate) parent_hash: B256,
}

impl Lab {
    pub(crate) fn new(genesis: Genesis) -> Self {
        let state = MemoryState::of_genesis(&genesis);
        let spec = ChainSpec::new(genesis).expect("spec");
        let (parent, parent_hash) = (spec.genesis_header().clone(), spec.genesis_hash());
        let consensus = spec.consensus_after(parent.difficulty);
        let mut lab = Self { spec, consensus, state, parent, parent_hash };
        lab.state.set_block_hash(0, parent_hash);
        lab
    }

    pub(crate) fn at(fork: Fork) -> Self {
        Self::new(genesis(fork))
    }

    pub(crate) fn attributes(&self) -> BlockAttributes {
        BlockAttributes {
            timestamp: self.parent.timestamp + 12,
            beneficiary: MAKER,
            header_beneficiary: MAKER,
            gas_limit: self.parent.gas_limit,
            extra_data: Bytes::new(),
            difficulty: self.parent.difficulty,
            nonce: Default::default(),
            mix_hash: B256::repeat_byte(0x77),
            withdrawals: Vec::new(),
            parent_beacon_block_root: B256::repeat_byte(0x88),
        }
    }

    /// A block of these transactions, as many as get in.
    pub(crate) fn build(&self, transactions: Vec<Transaction>) -> Built {
        self.build_with(self.attributes(), transactions)
    }

    pub(crate) fn build_with(
        &self,
        attributes: BlockAttributes,
        transactions: Vec<Transaction>,
    ) -> Built {
        let number = self.parent.number + 1;
        let recovered = recover_senders(&self.spec, number, transactions).expect("signed");
        let template = attributes.template(&self.spec, (&self.parent, self.parent_hash));
        let mut source = InOrder::new(recovered);
        build_block(&self.spec, self.consensus, &self.state, template, &mut source, || false)
            .expect("a block")
    }

    /// Runs a block of these transactions, whatever comes out: its header claims nothing true.
    pub(crate) fn force(&self, transactions: &[Transaction]) -> Result<Executed, ExecutionError> {
        let (header, body_rlp) = self.raw(transactions);
        self.run(&header, &body_rlp)
    }

    /// A header that claims nothing true, and the body of these transactions.
    pub(crate) fn raw(&self, transactions: &[Transaction]) -> (Header, Vec<u8>) {
        let template = self.attributes().template(&self.spec, (&self.parent, self.parent_hash));
        let mut payload = Vec::new();
        alloy_rlp::encode_list(transactions, &mut payload);
        payload.push(0xc0);
        if template.header.withdrawals_root.is_some() {
            payload.push(0xc0);
        }
        let mut body = Vec::new();
        alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut body);
        body.extend(payload);
        (template.header, body)
    }

    /// Runs a block with this header, for whose sake its maker is always [`MAKER`].
    pub(crate) fn run(&self, header: &Header, body: &[u8]) -> Result<Executed, ExecutionError> {
        let body = RecoveredBody::decode(&self.spec, header.number, body)?;
        execute_block(&self.spec, self.consensus, &self.state, header, MAKER, &body)
    }

    /// A block with this header that came as it is; the next one is its child.
    pub(crate) fn accept(&mut self, built: &Built) {
        let executed = self.run(&built.header, &built.body_rlp).expect("our own block");
        assert_eq!(executed.receipts, built.executed.receipts);
        self.state.apply(&executed.changes);
        self.parent = built.header.clone();
        self.parent.state_root = self.state.root();
        self.parent_hash = self.parent.hash_slow();
        self.state.set_block_hash(self.parent.number, self.parent_hash);
    }

    /// Builds a block of these transactions, all of which must get in, and takes it.
    pub(crate) fn grow(&mut self, transactions: Vec<Transaction>) -> Built {
        let built = self.build(transactions);
        assert_eq!(built.skipped, []);
        self.accept(&built);
        built
    }

    pub(crate) fn balance(&self, address: Address) -> U256 {
        let account = self.state.accounts().find(|(found, ..)| *found == address);
        account.map_or(U256::ZERO, |(_, info, _)| info.balance)
    }

    pub(crate) fn nonce(&self, address: Address) -> u64 {
        let account = self.state.accounts().find(|(found, ..)| *found == address);
        account.map_or(0, |(_, info, _)| info.nonce)
    }

    pub(crate) fn exists(&self, address: Address) -> bool {
        self.state.accounts().any(|(found, ..)| found == address)
    }

    pub(crate) fn slot(&self, address: Address, slot: u64) -> U256 {
        let account = self.state.accounts().find(|(found, ..)| *found == address);
        let value = account.and_then(|(.., storage)| storage.get(&U256::from(slot)).copied());
        value.unwrap_or_default()
    }

    pub(crate) fn code(&self, address: Address) -> Bytes {
        let account = self.state.accounts().find(|(found, ..)| *found == address);
        let code = account.and_then(|(_, info, _)| self.state.code(info.code_hash));
        code.map(|code| code.original_bytes()).unwrap_or_default()
    }
}

/// Somebody with money, by the number of its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wallet(pub(crate) u8);

impl Wallet {
    pub(crate) fn key(self) -> SecretKey {
        key(self.0)
    }

    pub(crate) fn address(self) -> Address {
        clique::address(&self.key().public_key())
    }

    pub(crate) fn sign_hash(self, hash: B256) -> Signature {
        sign_hash(hash, &self.key())
    }

    pub(crate) fn sign(
        self,
        transaction: impl Into<EthereumTypedTransaction<TxEip4844>>,
    ) -> Transaction {
        sign_transaction(transaction, &self.key())
    }

    /// A legacy transaction without the chain's name, which each fork takes; 100 gwei for a unit of
    /// gas, 100,000 gas.
    pub(crate) fn call(self, nonce: u64, to: Address) -> Transaction {
        self.sign(legacy(nonce, to))
    }
}

pub(crate) fn legacy(nonce: u64, to: Address) -> TxLegacy {
    TxLegacy {
        chain_id: None,
        nonce,
        gas_price: 100 * GWEI,
        gas_limit: 100_000,
        to: TxKind::Call(to),
        ..TxLegacy::default()
    }
}

pub(crate) fn create(nonce: u64, init_code: impl Into<Bytes>) -> TxLegacy {
    TxLegacy {
        to: TxKind::Create,
        input: init_code.into(),
        gas_limit: 10_000_000,
        ..legacy(nonce, Address::ZERO)
    }
}

pub(crate) fn with_list(nonce: u64, to: Address) -> TxEip2930 {
    TxEip2930 {
        chain_id: CHAIN_ID,
        nonce,
        gas_price: 100 * GWEI,
        gas_limit: 100_000,
        to: TxKind::Call(to),
        ..TxEip2930::default()
    }
}

pub(crate) fn dynamic(nonce: u64, to: Address) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: 100 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: TxKind::Call(to),
        ..TxEip1559::default()
    }
}

pub(crate) fn blobs(nonce: u64, count: u8) -> TxEip4844 {
    TxEip4844 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: 100 * GWEI,
        max_priority_fee_per_gas: GWEI,
        max_fee_per_blob_gas: GWEI,
        blob_versioned_hashes: (0..count)
            .map(|n| {
                let mut hash = B256::repeat_byte(n);
                hash.0[0] = 1;
                hash
            })
            .collect(),
        ..TxEip4844::default()
    }
}

pub(crate) fn set_code(nonce: u64, to: Address) -> TxEip7702 {
    TxEip7702 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 100 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to,
        ..TxEip7702::default()
    }
}

/// Init code that leaves this behind as the code of a new contract (at most 255 bytes).
pub(crate) fn deploy(code: &[u8]) -> Vec<u8> {
    // PUSH1 length, DUP1, PUSH1 11, PUSH1 0, CODECOPY, PUSH1 0, RETURN
    let length = u8::try_from(code.len()).expect("short");
    let mut init = vec![0x60, length, 0x80, 0x60, 0x0b, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3];
    init.extend(code);
    init
}

/// Code that writes what this opcode says into slot 0.
pub(crate) const fn store(opcode: u8) -> [u8; 4] {
    // <opcode>, PUSH1 0, SSTORE
    [opcode, 0x60, 0x00, 0x55]
}
