use core::net::IpAddr;

use chainmesh_identity::record::build_record;
use chainmesh_proto::discovery::{MAX_PER_PREFIX, MAX_PER_PREFIX_IN_BUCKET};

use super::asked::{ASK_AGAIN, MAX_ASKED};
use super::gate::{HELD_OFF, MAX_HELD_OFF, MAX_PER_SECOND};
use super::limits::{Place, too_many};
use super::*;

fn ip(number: u32) -> IpAddr {
    IpAddr::V4(number.into())
}

const NOW: Instant = Instant::from_micros(5_000_000);

#[test]
fn the_record_of_both_protocols_is_one() {
    let key = NodeKey::from_entropy([7; 32]);
    let eth = alloy_primitives::Bytes::from_static(&[0xc9, 0xc8, 0x84, 1, 2, 3, 4, 0x82, 1, 2]);
    let record = build_record(&key, 12, Some(ip(0x0102_0304)), 1, 2, &[("eth", eth)]).unwrap();
    let theirs = to_crate(&record).expect("the crate reads it");
    assert_eq!(theirs.to_base64(), record.to_base64());
    assert_eq!(theirs.public_key(), {
        use enr::EnrKey;
        combined_key(&key).unwrap().public()
    });
    assert_eq!(from_crate(&theirs), Some(record));
}

#[test]
fn an_address_that_floods_is_held_off_for_a_moment_and_others_are_not() {
    let (flood, other) = (ip(0x0102_0304), ip(0x0102_0305));
    let mut gate = Gate::default();
    let held: Vec<bool> = (0..MAX_PER_SECOND + 100).map(|_| gate.note(NOW, flood)).collect();
    assert_eq!(held.iter().filter(|held| **held).count(), 1, "said once");
    assert!(held[MAX_PER_SECOND as usize]);
    assert!(!gate.note(NOW, other));
    assert_eq!(gate.deadline(), Some(NOW + HELD_OFF));
    assert!(gate.let_in_again(NOW).is_empty());
    assert_eq!(gate.let_in_again(NOW + HELD_OFF), [flood]);
    assert_eq!((gate.deadline(), gate.held_off()), (None, 0));
}

#[test]
fn as_many_as_are_allowed_each_second_may_go_on_for_ever() {
    let mut gate = Gate::default();
    for second in 0..10 {
        let now = NOW + Duration::from_secs(second);
        assert!((0..MAX_PER_SECOND).all(|_| !gate.note(now, ip(0x0102_0304))));
    }
}

#[test]
fn a_whole_network_may_run_on_one_machine() {
    let mut gate = Gate::default();
    let mapped = "::ffff:127.0.0.1".parse().unwrap();
    for loopback in [ip(0x7f00_0001), "::1".parse().unwrap(), mapped] {
        assert!((0..MAX_PER_SECOND * 3).all(|_| !gate.note(NOW, loopback)));
    }
}

#[test]
fn what_the_gate_remembers_is_bounded_under_a_flood_of_forged_addresses() {
    let mut gate = Gate::default();
    for number in 0..4 * MAX_HELD_OFF as u32 {
        for _ in 0..=MAX_PER_SECOND {
            gate.note(NOW, ip(0x0102_0000 + number));
        }
    }
    assert_eq!(gate.held_off(), MAX_HELD_OFF);
}

#[test]
fn who_was_asked_is_left_alone_for_a_while() {
    let mut asked = Asked::default();
    assert!(asked.note(NOW, [1; 32]));
    assert!(!asked.note(NOW + (ASK_AGAIN - Duration::from_micros(1)), [1; 32]));
    assert!(asked.note(NOW + ASK_AGAIN, [1; 32]));
    assert!(!asked.note(NOW + ASK_AGAIN, [1; 32]));
}

#[test]
fn many_names_do_not_keep_a_new_one_from_being_asked() {
    let mut asked = Asked::default();
    let id = |number: u32| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        id
    };
    let after = |number: u32| NOW + Duration::from_micros(u64::from(number));
    assert!((0..10_000).all(|number| asked.note(after(number), id(number))));
    assert_eq!(asked.len(), MAX_ASKED);
    assert!(!asked.note(after(10_000), id(9_999)));
    assert!(asked.note(after(10_001), id(0)), "it was asked longest ago, and is forgotten");
}

fn place(number: u8, bucket: u64, ip: IpAddr, inbound: bool) -> Place {
    Place { id: NodeId::new(&[number; 32]), bucket, ip, inbound }
}

#[test]
fn nodes_of_one_prefix_get_two_places_in_a_bucket_and_ten_in_the_table() {
    let of_prefix =
        |number: u8, bucket| place(number, bucket, ip(0x0102_0300 + u32::from(number)), true);
    let bucket: Vec<_> = (0..5).map(|number| of_prefix(number, 256)).collect();
    assert_eq!(too_many(bucket, None).len(), 5 - MAX_PER_PREFIX_IN_BUCKET);
    let table: Vec<_> =
        (0..30).map(|number| of_prefix(number, 230 + u64::from(number / 2))).collect();
    assert_eq!(too_many(table, None).len(), 30 - MAX_PER_PREFIX);
    // IPv6, which the crate's own limits do not look at.
    let v6 = |number: u8| {
        let ip = format!("2a00:1:2:{number}::1").parse().unwrap();
        place(number, 256, ip, true)
    };
    assert_eq!(too_many((0..5).map(v6).collect(), None).len(), 5 - MAX_PER_PREFIX_IN_BUCKET);
}

#[test]
fn local_networks_are_exempt() {
    let local = |number: u8| place(number, 256, ip(0x7f00_0001), true);
    assert!(too_many((0..16).map(local).collect(), None).is_empty());
}

#[test]
fn the_newcomer_goes_and_then_who_came_by_himself() {
    let at = |number: u8, inbound| place(number, 256, ip(0x0102_0300 + u32::from(number)), inbound);
    let newest = NodeId::new(&[3; 32]);
    let places = vec![at(3, false), at(1, true), at(2, true)];
    assert_eq!(too_many(places, Some(newest)), [newest]);
    let places = vec![at(1, true), at(2, false), at(4, false)];
    assert_eq!(too_many(places, None), [NodeId::new(&[1; 32])]);
}

#[test]
fn nobody_is_taken_at_an_address_that_nobody_has() {
    let key = NodeKey::from_entropy([7; 32]);
    let at =
        |number| to_crate(&build_record(&key, 1, Some(ip(number)), 1, 2, &[]).unwrap()).unwrap();
    let (world, local, special) = (at(0x0102_0304), at(0xc0a8_0101), at(0xe000_0001));
    assert_eq!([&world, &local, &special].map(anybody), [true, true, false]);
    assert_eq!([&world, &local, &special].map(public_only), [true, false, false]);
}
