//! Who is to blame for what.

use core::time::Duration;

use chainmesh_wire::devp2p::Capability;

use super::*;
use crate::module::ModuleError;

fn module(reason: DisconnectReason) -> CloseCause {
    let capability = Capability::new("echo", 1).unwrap();
    CloseCause::Module { capability, error: ModuleError::with_reason(reason, "a reason") }
}

#[test]
fn a_broken_rule_is_a_breach_in_a_session_and_a_failed_handshake_before() {
    let broken = [
        module(DisconnectReason::SubprotocolError),
        CloseCause::Protocol(ProtocolFault::UnknownCode(99)),
        CloseCause::Session(SessionError::BadCode),
        CloseCause::Session(SessionError::Frame(FrameError::TooLarge { size: 9, limit: 1 })),
    ];
    for cause in &broken {
        assert_eq!(Offence::of_close(cause, true), Some(Offence::Breach), "{cause}");
        assert_eq!(Offence::of_close(cause, false), Some(Offence::FailedHandshake), "{cause}");
    }
}

#[test]
fn nobody_is_blamed_for_the_network_a_goodbye_or_other_software() {
    let innocent = [
        CloseCause::Local(DisconnectReason::SubprotocolError),
        CloseCause::Remote(DisconnectReason::TooManyPeers),
        CloseCause::Network(None),
        CloseCause::IdleTimeout(Duration::from_secs(20)),
        CloseCause::SlowReader,
        CloseCause::Protocol(ProtocolFault::Useless),
        CloseCause::Protocol(ProtocolFault::Version(3)),
        module(DisconnectReason::IncompatibleVersion),
        module(DisconnectReason::UselessPeer),
        module(DisconnectReason::ClientQuitting),
    ];
    for cause in &innocent {
        for was_session in [false, true] {
            assert_eq!(Offence::of_close(cause, was_session), None, "{cause}");
        }
    }
}

#[test]
fn a_damaged_frame_weighs_less_than_a_breach() {
    let cause = CloseCause::Session(SessionError::Frame(FrameError::BodyMac));
    let offence = Offence::of_close(&cause, true).unwrap();
    assert_eq!(offence, Offence::BrokenSession);
    assert!(offence.weight() < Offence::Breach.weight());
}
