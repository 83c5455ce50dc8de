//! How much is sent to whom, and how much is taken from whom.

use chainmesh_wire::discv4::{Endpoint, HEADER, Ping, Seal, seal};

use super::*;

/// What a stranger can make us send to an address that is perhaps not his.
#[test]
fn an_unproven_address_gets_less_than_three_times_what_it_sent() {
    for other in [Other::new(1), Other::at(1, "2a00:1:2:3::4".parse().unwrap())] {
        let mut machine = Discovery::new(config(), [1; 32]);
        machine.handle_timeout(Instant::from_micros(1));
        // The shortest Ping that there is.
        let none = Endpoint::new([0, 0, 0, 0].into(), 0, 0);
        let ping = Ping { version: 0, from: none, to: none, expiration: UNIX, enr_seq: None };
        let datagram = seal(&Packet::Ping(ping), &other.key, Seal::Signed).unwrap().bytes;
        assert!(datagram.len() > HEADER);
        let mut now = Instant::from_micros(10);
        machine.handle(now, Input::Datagram { from: other.address, bytes: datagram.clone() });
        let mut answered = 0;
        for _ in 0..100 {
            while let Some(output) = machine.poll() {
                if let Output::Send { to, bytes } = output {
                    assert_eq!(to, other.address);
                    answered += bytes.len();
                }
            }
            now = now + Duration::from_millis(100);
            machine.handle_timeout(now);
        }
        assert!(answered < 3 * datagram.len(), "{answered} for {}", datagram.len());
        assert!(answered > datagram.len(), "a Pong and a Ping: the protocol wants both");
    }
}

#[test]
fn of_one_address_so_many_packets_are_taken_and_no_more() {
    let mut bed = Bed::new(config());
    let (other, third) = (Other::new(1), Other::new(2));
    for _ in 0..u64::from(PACKET_BURST) + 50 {
        bed.hear(&other, &other.ping());
    }
    assert_eq!(bed.dropped(DropReason::RateLimited), 50);
    bed.hear(&third, &third.ping());
    assert_eq!(bed.dropped(DropReason::RateLimited), 50, "others are not concerned");
    bed.pass(Duration::from_secs(1));
    for _ in 0..2 * PACKETS_PER_SECOND {
        bed.hear(&other, &other.ping());
    }
    assert_eq!(bed.dropped(DropReason::RateLimited), 50 + u64::from(PACKETS_PER_SECOND));
}

#[test]
fn one_customer_of_a_provider_has_one_ipv6_allowance() {
    let mut bed = Bed::new(config());
    for n in 0..u64::from(PACKET_BURST) + 7 {
        let address = format!("2a00:1:2:3::{n:x}").parse().unwrap();
        bed.hear(&Other::at(1, address), &Other::new(1).ping());
    }
    assert_eq!(bed.dropped(DropReason::RateLimited), 7);
}

#[test]
fn all_that_proved_nothing_share_one_allowance_and_the_proven_have_their_own() {
    let mut bed = Bed::new(config());
    let known = Other::new(1_000_000);
    bed.bond(&known);
    let rubbish = [0; 200];
    for n in 0..u64::from(UNPROVEN_PACKETS_PER_SECOND) + 100 {
        bed.datagram(SocketAddr::new(ip(n), 1), &rubbish);
    }
    let limited = bed.dropped(DropReason::RateLimited);
    assert!((100..=102).contains(&limited), "{limited}: two are of the bond");
    bed.hear(&known, &known.find_node());
    assert_eq!(bed.kinds_to(known.address), [4]);
}

#[test]
fn addresses_beyond_those_that_are_counted_share_one_allowance() {
    let mut limiter = Limiter::new(20, 100);
    let now = Instant::from_micros(5_000_000);
    let count = u64::try_from(MAX_COUNTED_ADDRESSES).unwrap();
    for n in 0..count {
        assert!(limiter.allow(now, ip(n), true));
    }
    let taken = (count..count + 1000).filter(|n| limiter.allow(now, ip(*n), true)).count();
    assert_eq!(taken, 100);
    assert_eq!(limiter.counted(), MAX_COUNTED_ADDRESSES);
    // When those who are counted have been quiet, there is room again.
    let later = now + Duration::from_secs(10);
    assert!(limiter.allow(later, ip(count), true));
    assert_eq!(limiter.counted(), 1);
}

#[test]
fn pings_under_way_to_one_unproven_address_are_few() {
    let mut bed = Bed::new(config());
    for n in 1..=20 {
        let other = Other::at(n, ip(1));
        bed.hear(&other, &other.ping());
    }
    let sent = bed.take_sent();
    let pings = sent.iter().filter(|(_, opened)| opened.packet.kind() == 1).count();
    assert_eq!(pings, MAX_UNPROVEN_PINGS_PER_ADDRESS);
    assert_eq!(sent.len() - pings, 20, "each gets its Pong");
}
