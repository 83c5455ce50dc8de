//! What a hostile name does to the outputs: nothing.

use std::net::IpAddr;

use chainmesh_identity::NodeKey;
use chainmesh_net::discovery::Contact;
use chainmesh_wire::discv4::Endpoint;

use super::super::super::ping::show::client;
use super::super::graph::Greeting;
use super::*;

fn network(name: &str) -> Network {
    let mut network = Network::new(10);
    for number in 1..=3 {
        let id = NodeKey::from_entropy([number; 32]).peer_id();
        let endpoint = Endpoint::new(IpAddr::from([9, 9, 9, number]), 30303, 30303);
        let contact = Contact { endpoint, id };
        if number == 1 {
            network.begin_at(contact);
        } else {
            network.told(0, contact);
        }
    }
    let node = &mut network.nodes[0];
    (node.state, node.told) = (State::Answered, 1);
    let capabilities = vec!["eth/68".to_owned()];
    let greeting =
        Greeting { client: Some(client(name)), capabilities, status: None, problem: None };
    node.greeting = Some(greeting);
    network
}

#[test]
fn a_name_cannot_leave_its_quotes_nor_steer_a_terminal() {
    let hostile = "x\"];\n n0 -> n1 [label=\"\u{1b}[2J\\";
    let network = network(hostile);
    let dot = dot(&network);
    let arrows = dot.lines().filter(|line| line.contains("->") && !line.contains("label"));
    assert_eq!(arrows.count(), 2, "{dot}");
    assert_eq!(dot.lines().count(), 2 + 3 + 2 + 1, "{dot}");
    for text in [dot, summary(&network, None), document(&network, None).to_string()] {
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}

#[test]
fn the_summary_counts_what_there_is() {
    let network = network("Geth/v1.13.15-stable/linux-amd64/go1.26");
    let text = summary(&network, None);
    assert!(text.contains("3 found, 1 answered, 0 silent, 2 not asked"), "{text}");
    assert!(text.contains("1  Geth/v1.13.15-stable\n"), "{text}");
    let document = document(&network, None);
    assert_eq!(document["summary"]["edges"], 2);
    assert_eq!(document["edges"], json!([[0, 1], [0, 2]]));
    assert_eq!(document["nodes"][0]["client"], "Geth/v1.13.15-stable/linux-amd64/go1.26");
    assert_eq!(document["complete"], true);
}
