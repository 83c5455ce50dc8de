//! Questions to single nodes that the owner asks for.

use chainmesh_identity::record::{build_record, record_peer_id};
use chainmesh_wire::discv4::EnrResponse;

use super::network::Net;
use super::*;

const NODES: usize = 40;

fn answers(events: &[DiscoveryEvent]) -> Vec<(QuestionId, Option<Answer>)> {
    let done = events.iter().filter_map(|event| match event {
        DiscoveryEvent::QueryDone { query, answer } => Some((*query, answer.clone())),
        _ => None,
    });
    done.collect()
}

fn ask(bed: &mut Bed, other: &Other, question: Question) -> QuestionId {
    let query = bed.machine.next_question();
    bed.handle(Input::Query { query, contact: other.contact(), question });
    query
}

fn neighbors() -> Question {
    Question::Neighbors { target: key(77).peer_id() }
}

/// The last datagram of this type that was sent to a node.
fn sent_to(bed: &mut Bed, other: &Other, kind: u8) -> Option<B256> {
    let sent = bed.take_sent();
    let fitting = sent.iter().filter(|(to, o)| *to == other.address && o.packet.kind() == kind);
    fitting.map(|(_, opened)| opened.hash).next_back()
}

#[test]
fn what_a_node_says_is_handed_on_as_it_is() {
    let mut net = Net::new(NODES);
    net.pass(Duration::from_secs(30));
    let own = net.machines[1].local_id();
    let contact =
        net.machines[2].snapshot().table.iter().find(|e| e.contact.id == own).unwrap().contact;
    let target = key(1000).peer_id();
    let near = net.machines[0].next_question();
    net.handle(0, Input::Query { query: near, contact, question: Question::Neighbors { target } });
    let record = net.machines[0].next_question();
    net.handle(0, Input::Query { query: record, contact, question: Question::Record });
    net.pass(Duration::from_secs(5));
    let events: Vec<_> =
        net.events.iter().filter(|(n, _)| *n == 0).map(|(_, event)| event.clone()).collect();
    let answers = answers(&events);
    assert_eq!(answers.len(), 2, "{answers:?}");
    for (query, answer) in answers {
        match answer {
            Some(Answer::Neighbors(nodes)) => {
                assert_eq!(query, near);
                assert_eq!(nodes.len(), BUCKET_SIZE);
                let distance = |c: &Contact| {
                    super::super::table::distance(&c.id.node_hash(), &target.node_hash())
                };
                assert!(nodes.is_sorted_by_key(distance));
            }
            Some(Answer::Record(said)) => {
                assert_eq!(query, record);
                assert_eq!(record_peer_id(&said), own);
            }
            None => panic!("no answer to {query:?}"),
        }
    }
}

#[test]
fn the_node_has_to_prove_itself_before_it_is_asked() {
    let mut bed = Bed::new(config());
    let other = Other::new(1);
    let query = ask(&mut bed, &other, neighbors());
    assert_eq!(bed.kinds_to(other.address), [1], "a Ping, and nothing else");
    bed.pass(Duration::from_secs(60));
    assert_eq!(answers(&bed.events), [(query, None)]);
    let kinds = bed.kinds_to(other.address);
    assert!(kinds.iter().all(|kind| *kind == 1), "{kinds:?}");
}

#[test]
fn a_node_that_answers_no_question_is_asked_twice() {
    let mut bed = Bed::new(config());
    let other = Other::new(1);
    bed.bond(&other);
    bed.take_sent();
    let query = ask(&mut bed, &other, Question::Record);
    let mut requests = 0;
    for _ in 0..100 {
        for (to, opened) in bed.take_sent() {
            match opened.packet {
                Packet::Ping(_) if to == other.address => {
                    let _ = bed.hear(&other, &pong_to(opened.hash));
                }
                Packet::EnrRequest(_) if to == other.address => requests += 1,
                _ => {}
            }
        }
        bed.pass(Duration::from_millis(100));
    }
    assert_eq!(requests, 2);
    assert_eq!(answers(&bed.events), [(query, None)]);
}

#[test]
fn a_record_of_somebody_else_is_no_answer() {
    let mut bed = Bed::new(config());
    let (other, third) = (Other::new(1), Other::new(2));
    bed.bond(&other);
    let query = ask(&mut bed, &other, Question::Record);
    bed.pass(Duration::from_millis(600));
    let request_hash = sent_to(&mut bed, &other, 5).expect("the request");
    let record = |of: &Other| {
        Box::new(build_record(&of.key, 3, Some(of.address.ip()), 1, 30303, &[]).unwrap())
    };
    let wrong = EnrResponse { request_hash, record: record(&third) };
    bed.hear(&other, &Packet::EnrResponse(wrong));
    assert_eq!(answers(&bed.events), []);
    let right = record(&other);
    bed.hear(&other, &Packet::EnrResponse(EnrResponse { request_hash, record: right.clone() }));
    assert_eq!(answers(&bed.events), [(query, Some(Answer::Record(right)))]);
}

#[test]
fn questions_have_a_limit_and_each_ends_once() {
    let mut bed = Bed::new(config());
    let mut asked = Vec::new();
    for n in 0..MAX_QUESTIONS + 10 {
        let other = Other::new(u64::try_from(n).unwrap() + 1);
        asked.push(ask(&mut bed, &other, neighbors()));
    }
    let refused = answers(&bed.events);
    let expected: Vec<_> = asked[MAX_QUESTIONS..].iter().map(|query| (*query, None)).collect();
    assert_eq!(refused, expected);
    bed.pass(Duration::from_secs(60));
    let mut ended: Vec<_> = answers(&bed.events).into_iter().map(|(query, _)| query).collect();
    ended.sort_unstable();
    assert_eq!(ended, asked);
    // All of it is free again.
    bed.events.clear();
    let other = Other::new(1);
    ask(&mut bed, &other, neighbors());
    assert_eq!(answers(&bed.events), [], "it is under way");
}

#[test]
fn a_machine_that_does_not_look_around_asks_nobody_by_itself() {
    let mut config = config();
    config.look_around = false;
    config.boot_nodes.push(Other::new(1).contact());
    let mut bed = Bed::new(config);
    bed.pass(Duration::from_secs(3600));
    assert!(bed.take_sent().is_empty());
    assert_eq!(bed.machine.poll_timeout(), None);
}
