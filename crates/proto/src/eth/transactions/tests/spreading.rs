//! Who is told of what.

use super::super::limits::MAX_SENT_WHOLE;
use super::*;

/// Who got what: peers with whole transactions, and peers with announcements.
fn told(outputs: &[GossipOutput]) -> (Vec<PeerId>, Vec<PeerId>) {
    let (mut whole, mut announced) = (Vec::new(), Vec::new());
    for output in outputs {
        match output {
            GossipOutput::Send { peers, .. } => whole.extend(peers),
            GossipOutput::Announce { peers, .. } => announced.extend(peers),
            other => panic!("{other:?}"),
        }
    }
    (whole, announced)
}

#[test]
fn the_square_root_of_the_peers_gets_a_transaction_whole_and_the_others_its_hash() {
    for (peers, expected) in [(1, 1), (2, 2), (9, 3), (10, 4), (50, 8)] {
        let mut test = Test::with_peers(peers);
        let outputs = test.handle(GossipInput::Pending(vec![pooled(1, 1, 200)]));
        let (whole, announced) = told(&outputs);
        assert_eq!((whole.len(), announced.len()), (expected, usize::from(peers) - expected));
        let again = test.handle(GossipInput::Pending(vec![pooled(1, 1, 200)]));
        assert_eq!(again, [], "everybody knows it");
    }
}

#[test]
fn the_transactions_of_a_sender_take_the_same_way() {
    let mut test = Test::with_peers(25);
    let (first, _) = told(&test.handle(GossipInput::Pending(vec![pooled(1, 7, 200)])));
    let (second, _) = told(&test.handle(GossipInput::Pending(vec![pooled(2, 7, 200)])));
    let (other, _) = told(&test.handle(GossipInput::Pending(vec![pooled(3, 8, 200)])));
    assert_eq!(first, second);
    assert_ne!(first, other);
}

#[test]
fn large_transactions_and_blobs_are_only_announced() {
    let mut test = Test::with_peers(4);
    let blob = PoolTransaction { kind: 3, ..pooled(2, 1, 200) };
    let all = vec![pooled(1, 1, MAX_SENT_WHOLE + 1), blob];
    let (whole, announced) = told(&test.handle(GossipInput::Pending(all)));
    assert_eq!((whole.len(), announced.len()), (0, 4), "one message to each");
}

#[test]
fn whoever_sent_or_announced_it_is_not_told() {
    let mut test = Test::with_peers(3);
    let one = transaction(1);
    test.receive(0, core::slice::from_ref(&one));
    test.announce(1, core::slice::from_ref(&one));
    let sender = Address::repeat_byte(1);
    let pending = PoolTransaction { hash: one.hash, sender, kind: 2, raw: one.raw };
    let (whole, announced) = told(&test.handle(GossipInput::Pending(vec![pending])));
    let told: Vec<_> = whole.into_iter().chain(announced).collect();
    assert_eq!(told, [peer(2)]);
}

#[test]
fn a_new_peer_is_told_what_is_in_the_pool() {
    let mut test = Test::with_peers(0);
    let offered: Vec<_> = (0..5000).map(|number| claim(&transaction(number))).collect();
    let input = GossipInput::PeerConnected { peer: peer(0), offered: offered.clone() };
    let announced: Vec<_> = test
        .handle(input)
        .into_iter()
        .flat_map(|output| match output {
            GossipOutput::Announce { transactions, .. } => transactions,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(announced, offered);
}

#[test]
fn many_transactions_are_sent_in_messages_of_a_bounded_size() {
    let mut test = Test::with_peers(1);
    let all: Vec<_> = (0..2000).map(|number| pooled(number, 1, 200)).collect();
    let outputs = test.handle(GossipInput::Pending(all));
    let sizes: Vec<usize> = outputs
        .iter()
        .map(|output| match output {
            GossipOutput::Send { transactions, .. } => transactions.iter().map(Bytes::len).sum(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 400_000);
    assert!(sizes.iter().all(|size| *size <= 110_000), "{sizes:?}");
}
