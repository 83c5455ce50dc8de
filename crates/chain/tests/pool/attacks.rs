//! Those who would empty the pool of others, or fill it for nothing: the attacks of "DETER" (CCS
//! 2021) and of its successors (MemPurge, and the ones found by MPfuzz, USENIX Security 2024), and
//! plain floods. Honest transactions stay, and memory stays at its limit.

use alloy_primitives::U256;
use bytes::Bytes;
use chainmesh_chain::pool::{MempoolConfig, Refusal, SLOT_BYTES, TRANSACTION_OVERHEAD};

use crate::common::{Bench, Fork, Key, NOW, hash, transfer_cost};

const RICH: u128 = 1_000_000_000_000_000;
const HONEST_PRICE: u128 = 10;
/// Numbers of accounts of honest users, and of an attacker.
const HONEST: core::ops::Range<u64> = 0..50;
const ATTACKER: u64 = 1_000;

/// A pool with the transactions of honest users, and money for so many accounts of an attacker.
fn with_honest(config: MempoolConfig, attackers: u64) -> (Bench, Vec<Bytes>) {
    let mut bench = Bench::new(config, Fork::London);
    bench.fund(HONEST, RICH);
    bench.fund(ATTACKER..ATTACKER + attackers, RICH);
    let honest: Vec<Bytes> = HONEST
        .flat_map(|key| (0..2).map(move |nonce| Key(key).transfer(nonce, HONEST_PRICE)))
        .collect();
    assert_eq!(bench.add_all(&honest), honest.len());
    (bench, honest)
}

/// A pool a tenth of the usual size, which the same attacks fill faster.
fn small() -> MempoolConfig {
    MempoolConfig { global_slots: 512, global_queue: 128, ..MempoolConfig::default() }
}

#[track_caller]
fn all_pending(bench: &Bench, honest: &[Bytes]) {
    let missing = honest.iter().filter(|raw| !bench.is_pending(raw)).count();
    assert_eq!(missing, 0, "of {} honest transactions", honest.len());
}

#[track_caller]
fn within_limits(bench: &Bench) {
    let (status, config) = (bench.pool.status(), bench.pool.config());
    assert!(status.bytes <= config.max_bytes, "{status:?}");
    assert!(status.pending_slots <= config.global_slots, "{status:?}");
    assert!(status.queued <= config.global_queue, "{status:?}");
}

/// DETER-X: future transactions at a high price push out pending ones in a pool that looks at the
/// price alone. They cost nothing, because they never become valid.
#[test]
fn deter_x_future_nonces_do_not_displace_pending_ones() {
    let (bench, honest) = with_honest(small(), 700);
    let filler: Vec<Bytes> = (0..412).map(|n| Key(ATTACKER + n).transfer(0, 1)).collect();
    assert_eq!(bench.add_all(&filler), 412);
    assert_eq!(bench.pool.status().pending_slots, 512, "full");
    let flood: Vec<Bytes> = (0..700)
        .flat_map(|n| (0..4).map(move |i| Key(ATTACKER + n).transfer(100 + i, 1_000_000)))
        .collect();
    bench.add_all(&flood);
    all_pending(&bench, &honest);
    all_pending(&bench, &filler);
    within_limits(&bench);
    assert_eq!(bench.pool.status().queued, 128);
}

/// DETER-Z: a chain of transactions that together cost more than the account has. The first is
/// valid, the others are not, and displaced 5,119 (CVE-2022-23328).
#[test]
fn deter_z_latent_overdrafts_are_refused() {
    let (mut bench, honest) = with_honest(MempoolConfig::default(), 0);
    let attacker = Key(ATTACKER);
    bench.account(attacker).balance = transfer_cost(1_000) * U256::from(3);
    bench.refresh();
    let flood: Vec<Bytes> = (0..5_120).map(|nonce| attacker.transfer(nonce, 1_000)).collect();
    assert_eq!(bench.add_all(&flood), 3, "as many as it can pay for");
    all_pending(&bench, &honest);
    assert_eq!(bench.pool.status().pending, honest.len() + 3);
    // The same from behind: each alone is covered, and none is ever pending with the others.
    let (mut bench, honest) = with_honest(MempoolConfig::default(), 0);
    bench.account(attacker).balance = transfer_cost(1_000) * U256::from(3);
    bench.refresh();
    let backwards: Vec<Bytes> = flood.into_iter().take(60).rev().collect();
    bench.add_all(&backwards);
    let (pending, queued) = bench.nonces(attacker);
    assert!(pending.len() <= 3, "{pending:?}");
    assert!(pending.len() + queued.len() <= 64);
    all_pending(&bench, &honest);
}

/// MemPurge and "latent overdraft by replacement": valid transactions displace others, and then
/// one of them is replaced so that the rest are not covered any more.
#[test]
fn latent_overdraft_by_replacement_is_refused() {
    let (mut bench, honest) = with_honest(small(), 0);
    let attacker = Key(ATTACKER);
    bench.account(attacker).balance = transfer_cost(100) * U256::from(10);
    bench.refresh();
    let chain: Vec<Bytes> = (0..10).map(|nonce| attacker.transfer(nonce, 100)).collect();
    assert_eq!(bench.add_all(&chain), 10);
    let refusal = bench.add(&attacker.transfer(0, 500)).expect_err("the others would be worthless");
    assert!(matches!(refusal, Refusal::InsufficientFunds { .. }), "{refusal}");
    assert_eq!(bench.nonces(attacker).0.len(), 10);
    all_pending(&bench, &honest);
}

/// ED, "eviction by a dear child": a child at a high price counts for what its cheap parent lets
/// a validator have, and displaces nobody who is worth more.
#[test]
fn a_dear_child_of_a_cheap_parent_displaces_nobody() {
    let (bench, honest) = with_honest(small(), 600);
    let parents: Vec<Bytes> = (0..412).map(|n| Key(ATTACKER + n).transfer(0, 2)).collect();
    assert_eq!(bench.add_all(&parents), 412);
    let children: Vec<Bytes> = (0..412).map(|n| Key(ATTACKER + n).transfer(1, 1_000_000)).collect();
    assert_eq!(bench.add_all(&children), 0);
    all_pending(&bench, &honest);
    // And it does not protect its parent: a better one takes the room of such a chain.
    let mut config = small();
    config.global_slots = 824 + 100;
    let (mut bench, honest) = with_honest(config, 600);
    assert_eq!(bench.add_all(&parents) + bench.add_all(&children), 824);
    bench.fund(50..52, RICH);
    bench.add(&Key(50).transfer(0, 5)).expect("worth more than the chains");
    all_pending(&bench, &honest);
    within_limits(&bench);
}

/// Locking: a pool full of cheap transactions that nothing displaces.
#[test]
fn a_pool_full_of_cheap_ones_is_open_to_those_who_pay_more() {
    let (mut bench, honest) = with_honest(small(), 30);
    // Sixteen each, which no account loses to others for having many.
    let flood: Vec<Bytes> =
        (0..30).flat_map(|n| (0..16).map(move |i| Key(ATTACKER + n).transfer(i, 1))).collect();
    bench.add_all(&flood);
    assert_eq!(bench.pool.status().pending_slots, 512);
    bench.fund(50..150, RICH);
    let late: Vec<Bytes> = (50..150).map(|key| Key(key).transfer(0, HONEST_PRICE)).collect();
    assert_eq!(bench.add_all(&late), 100);
    all_pending(&bench, &honest);
    all_pending(&bench, &late);
    within_limits(&bench);
}

#[test]
fn an_underpriced_flood_displaces_nobody() {
    let (bench, honest) = with_honest(small(), 3_000);
    let flood: Vec<Bytes> =
        (0..3_000).map(|n| Key(ATTACKER + n).transfer(0, HONEST_PRICE - 1)).collect();
    assert_eq!(bench.add_all(&flood), 412, "those for whom there is room");
    all_pending(&bench, &honest);
    within_limits(&bench);
    let last = flood.last().expect("many");
    let refusal = bench.add(last).expect_err("still full");
    assert_eq!(refusal, Refusal::Underpriced { tip: 9, minimum: 10 });
    assert!(!bench.pool.wants(&hash(last), NOW), "and not asked for again");
}

/// 2,000 at 1 wei from one account, in one message: they are taken while there is room (the
/// suite `eth-test` asks for it), and give way when others come.
#[test]
fn two_thousand_from_one_account_are_taken_and_give_way() {
    let (mut bench, honest) = with_honest(MempoolConfig::default(), 1);
    let attacker = Key(ATTACKER);
    let flood: Vec<Bytes> = (0..2_000).map(|nonce| attacker.transfer(nonce, 1)).collect();
    assert_eq!(bench.add_all(&flood), 2_000);
    assert_eq!(bench.pool.announceable().len(), honest.len() + 2_000);

    let more: Vec<Bytes> = (2_000..6_000).map(|nonce| attacker.transfer(nonce, 1)).collect();
    // Those for which there is room; behind the first that is refused, 64 wait.
    assert_eq!(bench.add_all(&more), 5_120 - 2_000 - honest.len() + 64);
    within_limits(&bench);
    bench.fund(50..1_000, RICH);
    let late: Vec<Bytes> = (50..1_000).map(|key| Key(key).transfer(0, 1)).collect();
    assert_eq!(bench.add_all(&late), late.len(), "at the same price: it has more than its share");
    all_pending(&bench, &honest);
    all_pending(&bench, &late);
    within_limits(&bench);
    let (pending, _) = bench.nonces(attacker);
    assert_eq!(pending, (0..pending.len() as u64).collect::<Vec<_>>(), "from its end");
}

#[test]
fn several_crowded_accounts_give_way_evenly() {
    let mut bench = Bench::new(small(), Fork::London);
    bench.fund(0..600, RICH);
    let crowds: Vec<Bytes> = [(0, 300), (1, 200), (2, 12)]
        .into_iter()
        .flat_map(|(key, count)| (0..count).map(move |nonce| Key(key).transfer(nonce, 1)))
        .collect();
    assert_eq!(bench.add_all(&crowds), 512);
    let late: Vec<Bytes> = (3..303).map(|key| Key(key).transfer(0, 1)).collect();
    assert_eq!(bench.add_all(&late), 300);
    let counts = [0, 1, 2].map(|key| bench.nonces(Key(key)).0.len());
    assert_eq!(counts, [100, 100, 12]);
    within_limits(&bench);
}

/// The largest transactions there are: they fill the memory and no more, and a small one at the
/// same price still finds room.
#[test]
fn a_flood_of_128_kib_data_stays_in_its_bytes() {
    let config = MempoolConfig { max_bytes: 4 * 1024 * 1024, ..MempoolConfig::default() };
    let (mut bench, honest) = with_honest(config, 64);
    let flood: Vec<Bytes> = (0..64)
        .map(|n| Key(ATTACKER + n).with_data(0, HONEST_PRICE, 4 * SLOT_BYTES - 200))
        .collect();
    let taken = bench.add_all(&flood);
    assert!((25..32).contains(&taken), "{taken}");
    let status = bench.pool.status();
    println!("128 KiB data: {taken} taken, {} of {} bytes", status.bytes, 4 * 1024 * 1024);
    all_pending(&bench, &honest);
    within_limits(&bench);
    bench.fund(50..60, RICH);
    let late: Vec<Bytes> = (50..60).map(|key| Key(key).transfer(0, HONEST_PRICE + 1)).collect();
    assert_eq!(bench.add_all(&late), 10);
    all_pending(&bench, &honest);
    all_pending(&bench, &late);
    within_limits(&bench);
}

/// One large transaction that pays a little more does not clear the pool of hundreds.
#[test]
fn a_large_one_does_not_displace_many_small_ones() {
    let small_bytes = TRANSACTION_OVERHEAD + 110;
    let config = MempoolConfig { max_bytes: 300 * small_bytes, ..MempoolConfig::default() };
    let mut bench = Bench::new(config, Fork::London);
    bench.fund(0..302, RICH);
    let honest: Vec<Bytes> = (0..300).map(|key| Key(key).transfer(0, HONEST_PRICE)).collect();
    assert_eq!(bench.add_all(&honest), 300);
    let large = Key(300).with_data(0, HONEST_PRICE + 1, 3 * SLOT_BYTES);
    assert_eq!(bench.add(&large), Err(Refusal::Full));
    all_pending(&bench, &honest);
    within_limits(&bench);
    let paying = Key(301).with_data(0, 100 * HONEST_PRICE, 3 * SLOT_BYTES);
    bench.add(&paying).expect("pays more than all that it displaces");
    within_limits(&bench);
}

/// What waits gives its memory to what need not wait, and never the other way round.
#[test]
fn queued_bytes_give_way_to_pending_ones() {
    let config = MempoolConfig { max_bytes: 2 * 1024 * 1024, ..MempoolConfig::default() };
    let (mut bench, honest) = with_honest(config, 64);
    let waiting: Vec<Bytes> =
        (0..64).map(|n| Key(ATTACKER + n).with_data(7, 1_000, 2 * SLOT_BYTES)).collect();
    let taken = bench.add_all(&waiting);
    assert!((20..30).contains(&taken), "{taken}");
    within_limits(&bench);
    bench.fund(50..60, RICH);
    let late: Vec<Bytes> = (50..60).map(|key| Key(key).with_data(0, 1, 3 * SLOT_BYTES)).collect();
    assert_eq!(bench.add_all(&late), 10, "cheaper, but they can be mined");
    all_pending(&bench, &honest);
    all_pending(&bench, &late);
    within_limits(&bench);
}

/// Whoever is refused in the end has displaced nobody on the way.
#[test]
fn a_refused_newcomer_displaces_nobody() {
    let (bench, honest) = with_honest(small(), 30);
    let flood: Vec<Bytes> = (0..412).map(|i| Key(ATTACKER).transfer(i, HONEST_PRICE)).collect();
    assert_eq!(bench.add_all(&flood), 412);
    let before = bench.pool.content();
    // Too many of its own; too poor; a nonce gap.
    bench.add(&Key(ATTACKER).transfer(412, 1_000_000)).expect_err("it has most");
    bench.add(&Key(ATTACKER + 99).transfer(0, 1_000_000)).expect_err("no money");
    assert_eq!(bench.pool.content(), before);
    all_pending(&bench, &honest);
}

#[test]
fn the_global_queue_is_shared_by_those_who_have_least() {
    let (mut bench, honest) = with_honest(small(), 3);
    let crowd: Vec<Bytes> = (0..3)
        .flat_map(|n| (0..64).map(move |i| Key(ATTACKER + n).transfer(10 + i, 1_000)))
        .collect();
    bench.add_all(&crowd);
    assert_eq!(bench.pool.status().queued, 128);
    bench.fund(50..80, RICH);
    let late: Vec<Bytes> = (50..80).map(|key| Key(key).transfer(1, 1)).collect();
    assert_eq!(bench.add_all(&late), 30);
    assert_eq!(bench.pool.status().queued, 128);
    assert!(late.iter().all(|raw| bench.pool.contains(&hash(raw))));
    all_pending(&bench, &honest);
}

#[test]
fn our_own_make_room_for_nobody_up_to_their_limit() {
    let mut config = small();
    config.local_transactions = 20;
    let mut bench = Bench::new(config, Fork::London);
    bench.fund(0..700, RICH);
    let ours: Vec<Bytes> = (0..40).map(|key| Key(key).transfer(0, 1)).collect();
    for raw in &ours {
        bench.pool.add_local(raw, NOW).expect("room");
    }
    assert_eq!(bench.pool.status().local, 20);
    let flood: Vec<Bytes> = (100..700).map(|key| Key(key).transfer(0, 1_000)).collect();
    assert_eq!(bench.add_all(&flood), 492);
    all_pending(&bench, &ours[..20]);
    assert!(!ours[20..].iter().any(|raw| bench.is_pending(raw)), "the others are like all");
    within_limits(&bench);
    // One more of ours finds room among the dearer.
    bench.fund(700..701, RICH);
    let mined = bench.pool.get(&hash(&ours[0])).expect("there");
    bench.mine(&[mined]);
    bench.add(&Key(100).transfer(1, 1_000)).expect("the room of the mined one");
    let one_more = Key(700).transfer(0, 1);
    bench.pool.add_local(&one_more, NOW).expect("displaces a dearer one");
    all_pending(&bench, &[one_more]);
    within_limits(&bench);
}

#[test]
fn who_waits_with_many_displaces_nobody_who_waits_with_few() {
    let (mut bench, honest) = with_honest(small(), 2);
    bench.fund(50..114, RICH);
    let few: Vec<Bytes> = (50..114).map(|key| Key(key).transfer(5, 1)).collect();
    assert_eq!(bench.add_all(&few), 64);
    for attacker in [ATTACKER, ATTACKER + 1] {
        let many: Vec<Bytes> = (0..64).map(|i| Key(attacker).transfer(10 + i, 1_000)).collect();
        bench.add_all(&many);
    }
    assert!(few.iter().all(|raw| bench.pool.contains(&hash(raw))));
    let counts = [ATTACKER, ATTACKER + 1].map(|key| bench.nonces(Key(key)).1.len());
    assert_eq!(counts, [32, 32], "they share what is left");
    all_pending(&bench, &honest);
    within_limits(&bench);
}

#[test]
fn nobody_loses_what_each_account_is_left() {
    let config = MempoolConfig { global_slots: 17, ..MempoolConfig::default() };
    let mut bench = Bench::new(config, Fork::London);
    bench.fund(0..2, RICH);
    // 17 slots, and without the last transaction 13.
    let mut all: Vec<Bytes> = (0..13).map(|nonce| Key(0).transfer(nonce, 10)).collect();
    all.push(Key(0).with_data(13, 10, 3 * SLOT_BYTES));
    assert_eq!(bench.add_all(&all), 14);
    assert_eq!(bench.pool.status().pending_slots, 17);
    let refusal = bench.add(&Key(1).transfer(0, 10)).expect_err("at the same price");
    assert_eq!(refusal, Refusal::Underpriced { tip: 10, minimum: 11 });
    all_pending(&bench, &all);
    bench.add(&Key(1).transfer(0, 11)).expect("at a better one");
}
