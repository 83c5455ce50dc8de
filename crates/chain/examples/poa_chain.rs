//! Makes a chain of proof of authority for judges from outside: `poa_chain DIRECTORY [BLOCKS]`.
//!
//! Three signers seal, now and then out of turn, one block a second from a genesis long ago on: the same chain each time.
//! It writes `genesis.json`, `chain.rlp` and, as the first 999 blocks, `halfchain.rlp`. The chain is made for
//! go-ethereum's `devp2p rlpx eth-test` v1.13.7, which takes from it what it sends:
//! the account that is rich is the one whose key that program has, each tenth block has transactions of
//! it alone, and from block 999 on these are plain payments, so that its nonces go on without a gap.
//! The base fee is 0, since the program offers 1 wei.

use std::error::Error;
use std::fs::{self, File};
use std::io::BufWriter;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alloy_consensus::transaction::{EthereumTypedTransaction, TxEip4844};
use alloy_consensus::{TxEip1559, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, b256, hex};
use chainmesh_chain::execute::{Transaction, sign_transaction};
use chainmesh_chain::genesis::{CliqueNetwork, LastFork};
use chainmesh_chain::pool::{Mempool, MempoolConfig};
use chainmesh_chain::producer::PoolBlocks;
use chainmesh_chain::{Chain, ChainOptions, ChainSpec, Producer, clique, file};
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter, SyncBlock};
use secp256k1::SecretKey;

/// The key of go-ethereum's tests that `eth-test` signs with; it is public.
const FAUCET: B256 = b256!("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291");
const CHAIN_ID: u64 = 1515;
/// When it begins, seconds since 1970.
const START: u64 = 1_700_000_000;
/// Blocks of the node that is tested; the program has the same number built in.
const HALF: u64 = 999;
const SIGNERS: u8 = 3;
const GWEI: u128 = 1_000_000_000;
/// Deploys a contract that keeps the last word it was sent at slot 0, and logs it:
/// `PUSH1 0 CALLDATALOAD DUP1 PUSH1 0 SSTORE PUSH1 0 MSTORE PUSH1 0x20 PUSH1 0 LOG0`.
const KEEPER: &[u8] = &hex!("6010600c60003960106000f36000358060005560005260206000a000");

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let Some(directory) = arguments.next() else {
        return Err("usage: poa_chain DIRECTORY [BLOCKS]".into());
    };
    let blocks: u64 = arguments.next().map_or(Ok(1_040), |blocks| blocks.parse())?;
    let directory = Path::new(&directory);
    fs::create_dir_all(directory)?;
    let mut maker = Maker::new(directory)?;
    while maker.chain.head().number < blocks {
        maker.seal()?;
    }
    maker.export("halfchain.rlp", HALF.min(blocks))?;
    maker.export("chain.rlp", blocks)?;
    println!("{} transactions; {} blocks out of turn", maker.nonce, maker.out_of_turn);
    Ok(())
}

struct Maker<'a> {
    directory: &'a Path,
    chain: Arc<Chain>,
    pool: Arc<Mempool>,
    builder: PoolBlocks,
    producers: Vec<Producer>,
    faucet: SecretKey,
    nonce: u64,
    out_of_turn: u64,
    /// The last contract.
    contract: Option<Address>,
    _following: chainmesh_chain::Subscription,
    _store: tempfile::TempDir,
}

impl<'a> Maker<'a> {
    fn new(directory: &'a Path) -> Result<Self, Box<dyn Error>> {
        let faucet = SecretKey::from_secret_bytes(FAUCET.0)?;
        let keys = (1..=SIGNERS).map(|n| SecretKey::from_secret_bytes([n; 32]));
        let mut producers: Vec<_> =
            keys.collect::<Result<Vec<_>, _>>()?.into_iter().map(Producer::new).collect();
        producers.sort_by_key(Producer::signer);
        let genesis = genesis(&producers, clique::address(&faucet.public_key()))?;
        let file = directory.join("genesis.json");
        fs::write(&file, genesis)?;
        let store = tempfile::tempdir()?;
        let spec = ChainSpec::read(&file)?;
        let chain = Arc::new(Chain::open_with(store.path(), spec, ChainOptions::default())?);
        let pool = Arc::new(Mempool::behind(&chain, MempoolConfig::default())?);
        let following = pool.follow(&chain, |error| eprintln!("poa_chain: {error}"));
        // However slow the machine is, the blocks are full.
        let builder = PoolBlocks::new(Arc::clone(&chain), Arc::clone(&pool))
            .with_build_time(Duration::from_secs(600));
        Ok(Self {
            directory,
            chain,
            pool,
            builder,
            producers,
            faucet,
            nonce: 0,
            out_of_turn: 0,
            contract: None,
            _following: following,
            _store: store,
        })
    }

    /// One block more.
    fn seal(&mut self) -> Result<(), Box<dyn Error>> {
        let number = self.chain.head().number + 1;
        if number % 10 == 1 {
            self.send(number)?;
        }
        let block = self.block(number)?;
        self.out_of_turn += u64::from(block.header.difficulty == U256::ONE);
        self.chain.import(std::slice::from_ref(&block))?;
        Ok(())
    }

    /// Sealed in turn if that signer may; each seventh by the one after it, whose turn the one before
    /// takes then.
    fn block(&self, number: u64) -> Result<SyncBlock, Box<dyn Error>> {
        let now = self.chain.head().timestamp + 1;
        let signers = u64::from(SIGNERS);
        let first = number + u64::from(number.is_multiple_of(7)) + signers;
        let mut refused = None;
        for back in 0..signers {
            let producer = &self.producers[usize::try_from((first - back) % signers)?];
            match producer.build_on(&self.chain, &self.builder, now) {
                Ok(block) => return Ok(block),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.map_or_else(|| "nobody seals".into(), Into::into))
    }

    /// What the next block has: payments of both kinds, contracts, and calls of them.
    fn send(&mut self, number: u64) -> Result<(), Box<dyn Error>> {
        let kind = if number < HALF { number / 10 % 4 } else { 0 };
        let nonce = self.nonce;
        let fees = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            max_fee_per_gas: GWEI,
            max_priority_fee_per_gas: GWEI,
            ..TxEip1559::default()
        };
        let transaction = match kind {
            1 => {
                let sender = clique::address(&self.faucet.public_key());
                self.contract = Some(sender.create(nonce));
                let input = Bytes::from_static(KEEPER);
                self.signed(TxEip1559 { gas_limit: 100_000, to: TxKind::Create, input, ..fees })
            }
            2 => {
                let to = TxKind::Call(self.contract.unwrap_or_default());
                let input = Bytes::from(B256::with_last_byte(7).to_vec());
                self.signed(TxEip1559 { gas_limit: 60_000, to, input, ..fees })
            }
            3 => {
                let to = TxKind::Call(Address::repeat_byte(0x33));
                self.signed(TxEip1559 { gas_limit: 21_000, to, value: U256::from(number), ..fees })
            }
            _ => self.signed(TxLegacy {
                chain_id: Some(CHAIN_ID),
                nonce,
                gas_price: GWEI,
                gas_limit: 21_000,
                to: TxKind::Call(Address::repeat_byte(0x44)),
                value: U256::from(number),
                input: Bytes::new(),
            }),
        };
        self.nonce += 1;
        self.pool.add_local(&transaction.encoded_2718(), self.chain.head().timestamp)?;
        Ok(())
    }

    fn signed(&self, transaction: impl Into<EthereumTypedTransaction<TxEip4844>>) -> Transaction {
        sign_transaction(transaction, &self.faucet)
    }

    fn export(&self, name: &str, last: u64) -> Result<(), Box<dyn Error>> {
        let output = BufWriter::new(File::create(self.directory.join(name))?);
        file::export(&self.chain, 1..=last, output, |_, _| ControlFlow::Continue(()))?;
        let head = self.chain.canonical_hash(last)?.ok_or("a block is not there")?;
        println!("{name}: head is block {last} {head}");
        Ok(())
    }
}

/// A network that go-ethereum up to v1.13.15 can run: London from the first block on.
fn genesis(producers: &[Producer], faucet: Address) -> Result<String, Box<dyn Error>> {
    let mut genesis = CliqueNetwork {
        chain_id: CHAIN_ID,
        period: 1,
        epoch: 100,
        gas_limit: 30_000_000,
        timestamp: START,
        last_fork: LastFork::London,
        signers: producers.iter().map(Producer::signer).collect(),
        balances: vec![(faucet, U256::from(1_000_000 * GWEI * GWEI))],
    }
    .genesis();
    genesis.base_fee_per_gas = Some(0);
    Ok(serde_json::to_string_pretty(&genesis)?)
}
