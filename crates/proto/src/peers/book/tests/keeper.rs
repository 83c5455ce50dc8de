//! What the coupling of book and manager writes down of conduct.

use core::time::Duration;

use super::*;
use crate::peers::book::{Bookkeeper, ConnectionFacts};
use crate::peers::{
    Direction, Input, NodeKind, Offence, PeerEvent, PeerManager, PeerManagerConfig,
};
use crate::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

fn numbered(number: u16) -> PeerId {
    let mut bytes = [7; 64];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    PeerId::from(bytes)
}

fn keeper() -> Bookkeeper {
    Bookkeeper::new(AddressBook::new(PeerId::from([255; 64]), [3; 32]), true)
}

fn banned(keeper: &mut Bookkeeper, at: u64, id: PeerId) {
    let event = PeerEvent::Banned { id, score: -100, offence: None, lasts: HOUR };
    keeper.write_down(at, &event, ConnectionFacts::default());
}

#[test]
fn bans_for_conduct_end_by_themselves_and_displace_none_of_the_operators() {
    let mut keeper = keeper();
    let at = 1_700_000_000;
    keeper.book.ban(at, &numbered(5000), Some(at + 10), "by the operator").unwrap();
    for number in 0..300 {
        banned(&mut keeper, at + u64::from(number), numbered(number));
    }
    let count = keeper.book.records().filter(|record| record.ban.is_some()).count();
    assert_eq!(count, 256 + 1);
    assert!(keeper.book.is_banned(at, &numbered(5000)));
    // Those that would have ended first have made room.
    assert!(!keeper.book.is_banned(at + 300, &numbered(43)));
    assert!(keeper.book.is_banned(at + 300, &numbered(44)));
    let later = at + 300 + HOUR.as_secs();
    keeper.book.lift_bans(later);
    assert_eq!(keeper.book.records().filter(|record| record.ban.is_some()).count(), 0);
}

#[test]
fn an_offence_is_told_with_its_weight_the_score_and_the_cause_escaped() {
    let mut keeper = keeper();
    let id = numbered(1);
    let enode = Enode::new(id, [203, 0, 113, 7].into(), 30303);
    keeper.book.add(1, &enode, AddressOrigin::Inbound, None);
    keeper.cause = Some("a reason\u{1b}[31m\n".into());
    let direction = Some(Direction::Inbound);
    let event = PeerEvent::Misbehaved { id, offence: Offence::Breach, score: -50, direction };
    keeper.write_down(2, &event, ConnectionFacts::default());
    let record = keeper.book.get(&id).unwrap();
    assert_eq!(
        record.incidents.back().unwrap().text,
        "breach of protocol, -50 points, score -50 (a reason\\u{1b}[31m\\n)"
    );
    assert_eq!(record.last_error(), None, "nothing has ended");
}

#[test]
fn a_newcomer_takes_the_place_of_one_that_cannot_be_dialled() {
    let mut keeper = keeper();
    let source = Some([203, 0, 113, 7].into());
    // As many as one small network may have.
    for number in 0..32 {
        let mut enode = Enode::new(numbered(number), [203, 0, 113, 7].into(), 30303);
        (enode.tcp_port, enode.udp_port) = (0, 0);
        keeper.book.add(1, &enode, AddressOrigin::Inbound, source);
        assert!(keeper.book.get(&numbered(number)).is_some(), "{number}");
    }
}

/// It was dialled again at the next start only.
#[test]
fn a_boot_node_is_dialled_again_when_its_ban_is_lifted() {
    let mut keeper = keeper();
    let local = PeerId::from([255; 64]);
    let mut manager = PeerManager::new(PeerManagerConfig::new(local, 10), [1; 32]);
    let (boot, trusted) = (node(1), node(2));
    let configured = [(trusted.clone(), NodeKind::Trusted)];
    let now = Instant::ZERO;
    keeper.begin(&mut manager, now, NOW, core::slice::from_ref(&boot), &configured);
    for enode in [&boot, &trusted] {
        keeper.book.ban(NOW, &enode.id, None, "for a while").unwrap();
        manager.handle(now, Input::Ban { id: enode.id });
        assert!(!manager.has_target(&enode.id));
        keeper.book.unban(&enode.id);
        keeper.let_in_again(&mut manager, now, enode.id);
    }
    let kinds: Vec<_> = manager.snapshot().peers.iter().map(|peer| peer.kind).collect();
    assert_eq!(kinds, [Some(NodeKind::Boot), Some(NodeKind::Trusted)]);
}
