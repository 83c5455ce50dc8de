//! Two nodes.

use chainmesh_identity::Host;
use chainmesh_proto::peers::{
    Direction, Input, NodeKind, Outcome, PeerState, RefuseReason, TargetKey,
};
use chainmesh_proto::session::SessionKind;
use chainmesh_sim::invariants::Broken;
use chainmesh_wire::devp2p::DisconnectReason;

use super::*;

#[test]
fn two_nodes_connect_over_either_kind_of_session() -> Result<(), Broken> {
    for session in [SessionKind::Clear, SessionKind::Rlpx] {
        let mut world = World::new(1, WorldConfig { session, ..CLEAR });
        let [a, b] = two_nodes(&mut world);
        world.want(b, a, NodeKind::Boot);
        assert!(world.run_until(seconds(1), |world| world.connected(a, b))?, "{session:?}");
        let report = world.manager(a).expect("runs").snapshot();
        let info = &report.peers[0];
        assert_eq!(info.state, PeerState::Connected);
        assert_eq!(info.direction, Some(Direction::Inbound));
        assert_eq!(
            (info.client.as_str(), info.capabilities.join(",")),
            ("sim/node-1", "sim/1".into())
        );
        // The heartbeat keeps an idle session alive.
        let steps = world.steps();
        world.run_for(seconds(600))?;
        assert!(world.connected(a, b));
        assert!(world.steps() > steps + 40, "there is a heartbeat");
        assert_eq!(world.manager(b).expect("runs").snapshot().counters.dials, 1);
    }
    Ok(())
}

#[test]
fn a_target_with_a_wrong_key_never_becomes_a_peer() -> Result<(), Broken> {
    for session in [SessionKind::Clear, SessionKind::Rlpx] {
        let mut world = World::new(1, WorldConfig { session, ..CLEAR });
        let [a, b] = two_nodes(&mut world);
        let mut target = world.target(a);
        let claimed = NodeKey::from_entropy([9; 32]).peer_id();
        target.id = Some(claimed);
        world.want_target(b, target, NodeKind::Static);
        world.run_for(seconds(10))?;
        assert!(!world.sees(a, b) && !world.sees(b, a));
        let report = world.manager(b).expect("runs").snapshot();
        let info = report.peers.iter().find(|info| info.id == Some(claimed)).expect("a target");
        assert!(info.dials >= 2, "it is tried again");
        if session == SessionKind::Clear {
            let found = world.id(a);
            assert_eq!(info.history[0].outcome, Outcome::UnexpectedIdentity { found });
        }
    }
    Ok(())
}

/// By its address, under another ID.
#[test]
fn a_node_that_dials_itself_does_so_once() -> Result<(), Broken> {
    let mut world = World::new(1, CLEAR);
    let [a, _] = two_nodes(&mut world);
    let mut target = world.target(a);
    target.id = Some(NodeKey::from_entropy([9; 32]).peer_id());
    world.want_target(a, target, NodeKind::Static);
    world.run_for(seconds(600))?;
    let report = world.manager(a).expect("runs").snapshot();
    assert_eq!(report.counters.dials, 1);
    assert_eq!(report.peers[0].state, PeerState::OwnAddress);
    Ok(())
}

#[test]
fn a_host_name_without_an_address_is_tried_again_for_ever() -> Result<(), Broken> {
    let mut world = World::new(1, CLEAR);
    let [a, b] = two_nodes(&mut world);
    let mut target = world.target(b);
    target.host = Host::Name("nowhere.example".to_owned());
    world.want_target(a, target, NodeKind::Static);
    world.run_for(seconds(600))?;
    let dials = world.manager(a).expect("runs").snapshot().counters.dials;
    assert!((12..30).contains(&dials), "{dials} dials in ten minutes");
    Ok(())
}

#[test]
fn what_an_operator_disconnects_comes_back_and_what_is_removed_does_not() -> Result<(), Broken> {
    let mut world = World::new(1, CLEAR);
    let [a, b] = two_nodes(&mut world);
    world.want(a, b, NodeKind::Static);
    assert!(world.run_until(seconds(1), |world| world.connected(a, b))?);
    let id = world.id(b);
    world.tell(a, Input::Disconnect { id, reason: DisconnectReason::Requested });
    assert!(world.run_until(seconds(1), |world| !world.sees(a, b) && !world.sees(b, a))?);
    assert!(world.run_until(seconds(3), |world| world.connected(a, b))?);
    world.tell(a, Input::RemoveNode { key: TargetKey::Id(id) });
    world.run_for(seconds(300))?;
    assert!(!world.sees(a, b) && !world.sees(b, a));
    Ok(())
}

#[test]
fn a_node_that_shuts_down_says_so_and_refuses_newcomers() -> Result<(), Broken> {
    let mut world = World::new(1, CLEAR);
    let [a, b] = two_nodes(&mut world);
    world.want(a, b, NodeKind::Static);
    assert!(world.run_until(seconds(1), |world| world.connected(a, b))?);
    world.tell(b, Input::Shutdown);
    world.run_for(seconds(30))?;
    assert!(!world.sees(a, b) && !world.sees(b, a));
    let history = &world.manager(a).expect("runs").snapshot().peers[0].history;
    assert!(matches!(
        history[0].outcome,
        Outcome::Ended { reason: DisconnectReason::ClientQuitting, .. }
    ));
    let refused = world.manager(b).expect("runs").snapshot().counters.refused;
    assert!(refused.get(&RefuseReason::ShuttingDown).is_some_and(|count| *count > 0));
    Ok(())
}
