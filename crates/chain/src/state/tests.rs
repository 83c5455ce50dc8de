//! Roots, reads and proofs against alloy's root of the whole state.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_genesis::{Genesis, GenesisAccount};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::nodes::RlpNode;
use alloy_trie::proof::verify_proof;
use alloy_trie::root::{state_root_ref_unhashed, storage_root_unhashed};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, KECCAK_EMPTY, Nibbles};
use proptest::prelude::*;
use revm::DatabaseRef;
use revm::bytecode::Bytecode;
use revm::database::states::StorageSlot;
use revm::database::{AccountStatus, BundleAccount, BundleState};
use revm::state::AccountInfo;

use super::apply::{self, AccountChange, Info, NewState};
use super::cache::Shared;
use super::node::{Link, MOST_DELTAS, Place, Root, StoredNode};
use super::reader::BlockState;
use super::trie::{self, NodeSink, NodeSource, Trie, Value};
use super::{Account, genesis};
use crate::store::{Damage, Store, StoreError, Tables};

/// Nodes in memory.
#[derive(Default)]
struct Memory(Vec<Arc<StoredNode>>);

impl NodeSink for Memory {
    fn put(&mut self, node: StoredNode, rlp: RlpNode, base: Option<trie::Base>) -> Link {
        let mut bytes = Vec::new();
        node.encode(base.as_ref().map(|(place, node)| (*place, &**node)), &mut bytes);
        let read = StoredNode::decode::<()>(&bytes, |place| {
            let (at, node) = base.clone().expect("there is none");
            assert_eq!(place, at);
            Ok(Some((*node).clone()))
        });
        assert_eq!(read, Ok(Some(node.clone())), "as on disk");
        self.0.push(Arc::new(node));
        Link { rlp, place: Place::from_raw(self.0.len() as u64) }
    }
}

impl NodeSource for Memory {
    fn node(&self, link: &Link) -> Result<Arc<StoredNode>, StoreError> {
        let node = &self.0[link.place.raw() as usize - 1];
        let mut rlp = Vec::new();
        node.rlp(&mut rlp);
        assert!(link.fits(&rlp), "another node");
        Ok(Arc::clone(node))
    }
}

/// Keys that have much in common, so that there are extensions, and nodes within nodes.
fn close_key() -> impl Strategy<Value = B256> {
    let tail = prop_oneof![(0_u16..4), (0_u16..0x40), any::<u16>()];
    (0_u8..3, 0_u8..3, tail).prop_map(|(first, middle, tail)| {
        let mut key = B256::ZERO;
        key[0] = first << 4;
        key[15] = middle;
        key[30..].copy_from_slice(&tail.to_be_bytes());
        key
    })
}

proptest! {
    #[test]
    fn any_trie_has_the_root_of_all_its_values(
        steps in prop::collection::vec(
            prop::collection::vec(
                (close_key(), prop::option::of(prop::collection::vec(any::<u8>(), 1..40))),
                1..12,
            ),
            1..12,
        ),
    ) {
        let (mut memory, mut root) = (Memory::default(), Root::EMPTY);
        let mut model: BTreeMap<B256, Vec<u8>> = BTreeMap::new();
        for step in steps {
            let mut trie = Trie::open(root);
            for (key, value) in step {
                match value {
                    Some(rlp) => {
                        let value = Value { rlp: rlp.clone().into(), below: Place::NONE };
                        trie.insert(&memory, &key, value).expect("insert");
                        model.insert(key, rlp);
                    }
                    None => {
                        trie.remove(&memory, &key).expect("remove");
                        model.remove(&key);
                    }
                }
            }
            let next = trie.commit(&mut memory);
            let mut builder = HashBuilder::default();
            for (key, value) in &model {
                builder.add_leaf(Nibbles::unpack(key), value);
            }
            prop_assert_eq!(next.hash, builder.root());
            root = next;
            for (key, value) in &model {
                let found = trie::get(&memory, root, key, |_, _| {}).expect("get").expect("there");
                prop_assert_eq!(&*found.rlp, value.as_slice());
            }
        }
    }
}

/// A store with one state, and what must be in it.
struct World {
    _dir: tempfile::TempDir,
    store: Store,
    shared: Arc<Shared>,
    root: Root,
    model: BTreeMap<Address, GenesisAccount>,
}

/// What happens to one account in a step.
#[derive(Debug, Clone)]
enum Step {
    Set { info: (u8, u64), slots: Vec<(u8, u8)> },
    Code(u8),
    Destroy,
    Anew { slots: Vec<(u8, u8)> },
}

fn step() -> impl Strategy<Value = Step> {
    let slots = || prop::collection::vec((0_u8..12, 0_u8..4), 0..8);
    prop_oneof![
        4 => ((0_u8..3, 0_u64..4), slots()).prop_map(|(info, slots)| Step::Set { info, slots }),
        1 => any::<u8>().prop_map(Step::Code),
        1 => Just(Step::Destroy),
        1 => slots().prop_map(|slots| Step::Anew { slots }),
    ]
}

fn account() -> impl Strategy<Value = GenesisAccount> {
    let slots = prop::collection::btree_map(0_u8..12, 0_u8..4, 0..8);
    (0_u8..3, 0_u64..4, slots, prop::option::of(prop::collection::vec(any::<u8>(), 0..60)))
        .prop_map(|(nonce, balance, slots, code)| {
            let word = |n: u8| B256::from(U256::from(n));
            let storage = slots.into_iter().map(|(k, v)| (word(k), word(v))).collect();
            GenesisAccount::default()
                .with_nonce(Some(nonce.into()))
                .with_balance(U256::from(balance))
                .with_code(code.map(Bytes::from))
                .with_storage(Some(storage))
        })
}

impl World {
    fn new(alloc: BTreeMap<Address, GenesisAccount>) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let store = Store::open(dir.path(), true, false).expect("store");
        let shared = Arc::new(Shared::new(0));
        let transaction = store.write().expect("transaction");
        let genesis = Genesis { alloc: alloc.clone(), ..Genesis::default() };
        let root = {
            let mut tables = Tables::open(&transaction).expect("tables");
            genesis::write(&mut tables, &shared, &genesis).expect("genesis")
        };
        transaction.commit().expect("commit");
        assert_eq!(root.hash, state_root_ref_unhashed(&alloc));
        Self { _dir: dir, store, shared, root, model: alloc }
    }

    /// The state as it is on disk.
    fn view(&self) -> super::StateView {
        let tables = self.store.read().expect("read").state_tables().expect("tables");
        BlockState::new(tables, Arc::clone(&self.shared), self.root, (0, B256::ZERO))
    }

    fn store(&mut self, make: impl FnOnce(&BlockState<&Tables<'_>>) -> NewState) {
        let transaction = self.store.write().expect("transaction");
        {
            let mut tables = Tables::open(&transaction).expect("tables");
            let shared = Arc::clone(&self.shared);
            let new = make(&BlockState::new(&tables, shared, self.root, (0, B256::ZERO)));
            tables.put_chunks(&new.chunks).expect("chunks");
            for account in self.model.values() {
                if let Some(code) = &account.code {
                    tables.put_code(keccak256(code), code).expect("code");
                }
            }
            self.root = new.root;
        }
        transaction.commit().expect("commit");
    }

    /// Nothing is in memory any more, as after a restart.
    fn forget(&mut self) {
        let last = self.store.read().expect("read").last_chunk().expect("last");
        self.shared = Arc::new(Shared::new(last));
    }

    fn check(&self) {
        assert_eq!(self.root.hash, state_root_ref_unhashed(&self.model));
        let view = self.view();
        for (address, expected) in &self.model {
            let found = view.account(*address).expect("read").expect("there");
            let storage: Vec<(B256, U256)> =
                expected.storage.iter().flatten().map(|(k, v)| (*k, (*v).into())).collect();
            let code = expected.code.clone().unwrap_or_default();
            let storage_root = storage_root_unhashed(
                storage.iter().copied().filter(|(_, value)| !value.is_zero()),
            );
            let account = Account::new(
                expected.nonce.unwrap_or_default(),
                expected.balance,
                storage_root,
                keccak256(&code),
            );
            assert_eq!(found, account);
            assert_eq!(view.code(found.code_hash).expect("code"), code);
            // As the EVM reads it: the code is not part of the account, and must not be empty.
            let info = view.basic_ref(*address).expect("read").expect("there");
            assert_eq!((info.nonce, info.balance), (account.nonce, account.balance));
            assert_eq!((info.code_hash, info.code), (account.code_hash, None));
            let by_hash = view.code_by_hash_ref(account.code_hash).expect("code");
            assert_eq!(by_hash.original_bytes(), code);
            for (slot, value) in storage {
                assert_eq!(view.storage(*address, slot.into()).expect("slot"), value);
            }
            assert_eq!(view.storage(*address, U256::MAX).expect("slot"), U256::ZERO);
        }
        let nobody = Address::repeat_byte(0xee);
        assert_eq!(view.account(nobody).expect("read"), None);
        assert_eq!(view.storage(nobody, U256::ZERO).expect("read"), U256::ZERO);
    }
}

fn change(model: &mut BTreeMap<Address, GenesisAccount>, n: u8, step: Step) -> AccountChange {
    let address = Address::with_last_byte(n);
    let word = |n: u8| B256::from(U256::from(n));
    let wiped = matches!(step, Step::Destroy | Step::Anew { .. });
    let mut written = Vec::new();
    if wiped {
        model.remove(&address);
    }
    if !matches!(step, Step::Destroy) {
        let account = model.entry(address).or_default();
        let storage = account.storage.get_or_insert_default();
        match step {
            Step::Set { info: (nonce, balance), slots } => {
                account.nonce = Some(nonce.into());
                account.balance = U256::from(balance);
                written = slots;
            }
            Step::Code(n) => account.code = Some(vec![n; usize::from(n % 40)].into()),
            Step::Anew { slots } => written = slots,
            Step::Destroy => {}
        }
        // In a block each slot has one last value.
        let last: BTreeMap<u8, u8> = written.iter().copied().collect();
        written = last.into_iter().collect();
        storage.extend(written.iter().map(|(k, v)| (word(*k), word(*v))));
    }
    let info = model.get(&address).map(|account| Info {
        nonce: account.nonce.unwrap_or_default(),
        balance: account.balance,
        code_hash: account.code.as_ref().map_or(KECCAK_EMPTY, keccak256),
    });
    let slots = written.into_iter().map(|(k, v)| (U256::from(k), U256::from(v))).collect();
    AccountChange { address, wiped, info, slots }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The main property: after random changes of random accounts, root and reads are those of
    /// the whole state, from memory and from disk alone.
    #[test]
    fn any_changes_give_the_root_of_the_whole_state(
        alloc in prop::collection::btree_map(0_u8..40, account(), 0..40),
        blocks in prop::collection::vec(
            (prop::collection::btree_map(0_u8..60, step(), 0..12), any::<bool>()),
            1..14,
        ),
    ) {
        let at = |(n, account)| (Address::with_last_byte(n), account);
        let mut world = World::new(alloc.into_iter().map(at).collect());
        world.check();
        for (steps, forget) in blocks {
            let before = (world.root, world.model.clone());
            let mut model = world.model.clone();
            let changes = steps.into_iter().map(|(n, step)| change(&mut model, n, step)).collect();
            world.model = model;
            if forget {
                world.forget();
            }
            world.store(|state| state.apply(changes).expect("apply"));
            world.check();
            // The state before is still there.
            let after = (world.root, core::mem::replace(&mut world.model, before.1));
            world.root = before.0;
            world.check();
            (world.root, world.model) = after;
        }
    }

    /// A node that was altered is not taken for another one.
    #[test]
    fn an_altered_chunk_is_noticed(
        alloc in prop::collection::btree_map(0_u8..40, account(), 20..40),
        place in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let at = |(n, account)| (Address::with_last_byte(n), account);
        let mut world = World::new(alloc.into_iter().map(at).collect());
        let last = world.store.read().expect("read").last_chunk().expect("last");
        prop_assert!(last > 0);
        let transaction = world.store.write().expect("transaction");
        {
            use crate::store::StateTables;
            let mut tables = Tables::open(&transaction).expect("tables");
            let chunk = (&tables).chunk(1, <[u8]>::to_vec).expect("read");
            let mut chunk = chunk.expect("chunk");
            let at = place.index(chunk.len());
            chunk[at] ^= 1 << bit;
            tables.put_chunks(&[(1, chunk)]).expect("write");
        }
        transaction.commit().expect("commit");
        world.forget();
        let view = world.view();
        for (address, expected) in &world.model {
            match view.account(*address) {
                Ok(found) => prop_assert_eq!(found.map(|a| a.balance), Some(expected.balance)),
                Err(StoreError::Inconsistent(Damage::StateNode(_))) => continue,
                Err(other) => panic!("{other}"),
            }
            for (slot, value) in expected.storage.iter().flatten() {
                match view.storage(*address, (*slot).into()) {
                    Ok(found) => prop_assert_eq!(found, U256::from_be_bytes(value.0)),
                    Err(StoreError::Inconsistent(Damage::StateNode(_))) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
    }

    #[test]
    fn random_bytes_are_no_node_or_come_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let none = |_| Ok::<_, ()>(None);
        if let Ok(Some(node)) = StoredNode::decode(&bytes, none) {
            let mut again = Vec::new();
            node.encode(None, &mut again);
            prop_assert_eq!(StoredNode::decode(&again, none), Ok(Some(node)));
        }
    }

    /// EIP-1186 proofs hold against the roots, for what is there and for what is not.
    #[test]
    fn proofs_hold(alloc in prop::collection::btree_map(0_u8..40, account(), 1..40)) {
        let at = |(n, account)| (Address::with_last_byte(n), account);
        let world = World::new(alloc.into_iter().map(at).collect());
        let view = world.view();
        for n in 0..50 {
            let address = Address::with_last_byte(n);
            let slots: Vec<U256> = (0..13).map(U256::from).collect();
            let proof = view.proof(address, &slots).expect("proof");
            let account = view.account(address).expect("read");
            prop_assert_eq!(proof.account, account.unwrap_or_default());
            let key = Nibbles::unpack(keccak256(address));
            let value = account.map(alloy_rlp::encode);
            verify_proof(view.root(), key, value, &proof.account_proof).expect("account");
            prop_assert_eq!(proof.storage.len(), slots.len());
            for (slot, proved) in slots.iter().zip(&proof.storage) {
                let value = view.storage(address, *slot).expect("read");
                prop_assert_eq!((proved.slot, proved.value), (*slot, value));
                let key = Nibbles::unpack(keccak256(B256::from(*slot)));
                let value = (!value.is_zero()).then(|| alloy_rlp::encode(value));
                if proof.account.storage_root == EMPTY_ROOT_HASH {
                    prop_assert!(proved.proof.is_empty());
                } else {
                    let root = proof.account.storage_root;
                    verify_proof(root, key, value, &proved.proof).expect("slot");
                }
            }
        }
    }
}

/// What the executor hands over, in each form that an account can have in it.
#[test]
fn each_status_of_a_bundle() {
    let word = |n: u8| B256::from(U256::from(n));
    let old = |slots: &[(u8, u8)]| {
        GenesisAccount::default()
            .with_balance(U256::from(1))
            .with_storage(Some(slots.iter().map(|(k, v)| (word(*k), word(*v))).collect()))
    };
    let at = Address::with_last_byte;
    let mut world = World::new((1..=6).map(|n| (at(n), old(&[(1, 1), (2, 2)]))).collect());
    let info = |nonce, balance: u64| {
        Some(AccountInfo { nonce, balance: U256::from(balance), ..AccountInfo::default() })
    };
    let slots = |slots: &[(u8, u8, u8)]| {
        let slot = |before, after| StorageSlot::new_changed(U256::from(before), U256::from(after));
        slots.iter().map(|(k, before, after)| (U256::from(*k), slot(*before, *after))).collect()
    };
    let code = Bytecode::new_raw(Bytes::from_static(&[0x60, 0x00]));
    let hash = code.hash_slow();
    let with_code = AccountInfo { code_hash: hash, code: None, ..AccountInfo::default() };
    let was = info(0, 1);
    let accounts = [
        // Spent and stored; one slot is as it was, one is gone.
        (1, info(1, 0), &was, slots(&[(1, 1, 0), (2, 2, 2), (3, 0, 9)]), AccountStatus::Changed),
        // Gone for good.
        (2, None, &was, slots(&[]), AccountStatus::Destroyed),
        // Gone and made anew: its older slots are not there.
        (3, info(1, 5), &was, slots(&[(2, 2, 2), (3, 0, 3)]), AccountStatus::DestroyedChanged),
        // Gone, made anew, and gone again.
        (4, None, &was, slots(&[]), AccountStatus::DestroyedAgain),
        // Looked at only.
        (5, was.clone(), &was, slots(&[(1, 1, 1)]), AccountStatus::Loaded),
        // New, and empty: before EIP-161 it stays.
        (7, info(0, 0), &None, slots(&[]), AccountStatus::InMemoryChange),
        // New, with code.
        (8, Some(with_code), &None, slots(&[(1, 0, 7)]), AccountStatus::InMemoryChange),
        // Never was, and is not: after EIP-161 what was touched and empty.
        (9, None, &None, slots(&[]), AccountStatus::LoadedNotExisting),
    ];
    let mut bundle = BundleState::default();
    for (n, info, original, storage, status) in accounts {
        bundle.state.insert(at(n), BundleAccount::new(original.clone(), info, storage, status));
    }
    bundle.contracts.insert(hash, code.clone());
    assert_eq!(apply::codes_of(&bundle).collect::<Vec<_>>(), [(hash, code.original_bytes())]);
    let account = |nonce, balance: u64, slots: &[(u8, u8)]| {
        old(slots).with_nonce(Some(nonce)).with_balance(U256::from(balance))
    };
    world.model = BTreeMap::from([
        (at(1), account(1, 0, &[(2, 2), (3, 9)])),
        (at(3), account(1, 5, &[(2, 2), (3, 3)])),
        (at(5), account(0, 1, &[(1, 1), (2, 2)])),
        (at(6), account(0, 1, &[(1, 1), (2, 2)])),
        (at(7), GenesisAccount::default()),
        (at(8), account(0, 0, &[(1, 7)]).with_code(Some(code.original_bytes()))),
    ]);
    let before = world.view();
    let expected = before.root_after(&bundle).expect("root");
    let last = world.store.read().expect("read").last_chunk().expect("last");
    world.store(|state| state.apply(apply::of_bundle(&bundle)).expect("apply"));
    assert_eq!(world.root.hash, expected);
    world.check();
    world.forget();
    world.check();
    // A slot that is not written any more is not there, and asking for a root stored nothing.
    assert_eq!(world.view().storage(at(3), U256::from(1)).expect("read"), U256::ZERO);
    assert_eq!(world.store.read().expect("read").last_chunk().expect("last"), last + 1);
}

/// A node shorter than 32 bytes stands in its parent, and is compared with what stands there.
#[test]
fn a_link_fits_its_own_node_only() {
    for length in [1_usize, 31, 32, 200] {
        let rlp = vec![7; length];
        let link = Link { rlp: RlpNode::from_rlp(&rlp), place: Place::NONE };
        assert!(link.fits(&rlp));
        assert_eq!(link.hash(), keccak256(&rlp));
        let mut other = rlp.clone();
        other[length - 1] ^= 1;
        assert!(!link.fits(&other), "{length} bytes");
    }
}

fn paid(n: u8, balance: u64) -> AccountChange {
    let info = Info { nonce: 0, balance: U256::from(balance), code_hash: KECCAK_EMPTY };
    AccountChange {
        address: Address::with_last_byte(n),
        wiped: false,
        info: Some(info),
        slots: Vec::new(),
    }
}

/// The same account again and again: its branches are written as what differs, up to the bound,
/// and every state can be read from disk alone.
#[test]
fn branches_are_written_as_what_differs_but_not_for_ever() {
    let account = GenesisAccount::default().with_balance(U256::from(1));
    let mut world =
        World::new((0..200).map(|n| (Address::with_last_byte(n), account.clone())).collect());
    let full = world.store.read().expect("read").last_chunk().expect("last");
    let mut roots = vec![(1, world.root)];
    let (mut sizes, mut deltas) = (Vec::new(), Vec::new());
    for balance in 2..42_u64 {
        world.forget();
        world.store(|state| {
            let new = state.apply(vec![paid(7, balance)]).expect("apply");
            sizes.push(new.chunks.iter().map(|(_, chunk)| chunk.len()).sum::<usize>());
            new
        });
        roots.push((balance, world.root));
        let link = world.root.link().expect("a root");
        match &*world.view().node(&link).expect("root") {
            StoredNode::Branch { deltas: count, .. } => deltas.push(*count),
            other => panic!("{other:?}"),
        }
    }
    let period = usize::from(MOST_DELTAS) + 1;
    let expected: Vec<u8> = (1..).map(|n| (n % period) as u8).take(40).collect();
    assert_eq!(deltas, expected);
    let whole = sizes[period - 1];
    assert!(sizes[0] * 2 < whole, "{sizes:?}");
    assert!(full > 1, "the genesis is more than one chunk");
    for (balance, root) in roots {
        world.forget();
        world.root = root;
        let view = world.view();
        let found = view.account(Address::with_last_byte(7)).expect("read").expect("there");
        assert_eq!(found.balance, U256::from(balance));
        let other = view.account(Address::with_last_byte(8)).expect("read").expect("there");
        assert_eq!(other.balance, U256::from(1));
    }
}

/// What lies on disk may be anything: a branch that differs from itself has no end.
#[test]
fn a_branch_that_differs_from_itself_is_damage() {
    let account = GenesisAccount::default().with_balance(U256::from(1));
    let mut world =
        World::new((0..20).map(|n| (Address::with_last_byte(n), account.clone())).collect());
    let place = world.root.place;
    let transaction = world.store.write().expect("transaction");
    {
        let mut tables = Tables::open(&transaction).expect("tables");
        let mut chunk = vec![0; place.offset()];
        let mut itself = vec![3];
        let mut raw = place.raw();
        while raw >= 0x80 {
            itself.push(raw as u8 | 0x80);
            raw >>= 7;
        }
        itself.push(raw as u8);
        itself.extend([0xff, 0xff, 0, 0]);
        chunk.extend(itself);
        tables.put_chunks(&[(place.chunk(), chunk)]).expect("write");
    }
    transaction.commit().expect("commit");
    world.forget();
    let error = world.view().account(Address::ZERO).expect_err("damage");
    let root = world.root.hash;
    assert!(
        matches!(&error, StoreError::Inconsistent(Damage::StateNode(hash)) if *hash == root),
        "{error}"
    );
}
