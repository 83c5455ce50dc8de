//! TLS sessions: bytes instead of a handshake, and packets of any sort inside a session.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use chainmesh_identity::NodeKey;
use chainmesh_identity::certificate::{Authority, ValidityPeriod};
use chainmesh_identity::tls::rustls::pki_types::UnixTime;
use chainmesh_identity::tls::rustls::time_provider::TimeProvider;
use chainmesh_identity::tls::{Credentials, TlsMaterial, Trust, Versions};
use chainmesh_proto::session::connection::LocalNode;
use chainmesh_proto::session::tls::{RAW_PACKET, TlsLocal};
use chainmesh_proto::session::{Handshake, MAX_UNPACKED, Progress, Session, SessionKind};

/// 2020 to 2100.
const VALID: ValidityPeriod =
    ValidityPeriod { not_before: 1_577_836_800, not_after: 4_102_444_800 };

#[derive(Debug)]
struct Standing;

impl TimeProvider for Standing {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000)))
    }
}

fn key(number: u8) -> NodeKey {
    NodeKey::from_entropy([number; 32])
}

fn node(number: u8) -> LocalNode {
    let authority = Authority::create("fuzz", key(9), VALID, [9; 16]).expect("a good name");
    let key = key(number);
    let certificate =
        authority.issue_node("node", key.public_key(), VALID, [number; 16]).expect("a good name");
    let credentials = Credentials::of_node(vec![certificate], &key).expect("its own key");
    let trust = Trust::new(&[authority.certificate().clone()]).expect("a CA");
    LocalNode {
        key,
        client_name: "fuzz".into(),
        listen_port: 0,
        modules: Vec::new(),
        kind: SessionKind::Tls,
        tls: Some(TlsLocal {
            material: TlsMaterial::new(credentials, trust),
            versions: Versions::Both,
            time: Arc::new(Standing),
        }),
    }
}

/// Any bytes to somebody who waits for a handshake, at either end.
pub fn tls_handshake(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let local = node(1);
    let mut out = BytesMut::new();
    let begun = match mode & 1 {
        0 => Handshake::accept(&local, [1; 32], &mut out),
        _ => Handshake::dial(&local, None, [1; 32], &mut out),
    };
    let mut end = begun.expect("it has certificates");
    let piece = usize::from(mode >> 1).max(1) * 8;
    let mut input = BytesMut::new();
    for piece in rest.chunks(piece) {
        input.extend_from_slice(piece);
        match end.advance(&local.key, &mut input, &mut out) {
            Ok(Progress::Wait(next)) => end = next,
            Ok(Progress::Done(..)) => unreachable!("nobody has shown a certificate"),
            Err(_) => return,
        }
    }
}

/// Two open sessions.
fn sessions() -> [Session; 2] {
    let locals = [node(1), node(2)];
    let [mut ours, mut theirs] = [BytesMut::new(), BytesMut::new()];
    let mut dialler =
        Some(Handshake::dial(&locals[0], None, [1; 32], &mut ours).expect("certificates"));
    let mut acceptor =
        Some(Handshake::accept(&locals[1], [2; 32], &mut theirs).expect("certificates"));
    let mut open: [Option<Session>; 2] = [None, None];
    while open.iter().any(Option::is_none) {
        if let Some(end) = dialler.take() {
            match end.advance(&locals[0].key, &mut theirs, &mut ours) {
                Ok(Progress::Wait(end)) => dialler = Some(end),
                Ok(Progress::Done(session, _)) => open[0] = Some(session),
                Err(error) => unreachable!("an honest handshake: {error}"),
            }
        }
        if let Some(end) = acceptor.take() {
            match end.advance(&locals[1].key, &mut ours, &mut theirs) {
                Ok(Progress::Wait(end)) => acceptor = Some(end),
                Ok(Progress::Done(session, _)) => open[1] = Some(session),
                Err(error) => unreachable!("an honest handshake: {error}"),
            }
        }
    }
    open.map(|session| session.expect("both are open"))
}

/// What a certified peer sends: any bytes in good records, and damaged records.
pub fn tls_stream(data: &[u8]) {
    let Some(([mode, at], rest)) = data.split_first_chunk() else { return };
    let [mut writer, mut reader] = sessions();
    let mut wire = BytesMut::new();
    for piece in rest.chunks(usize::from(mode >> 1).max(1) * 4) {
        writer.write(RAW_PACKET, piece, &mut wire);
    }
    if mode & 1 == 1
        && let Some(byte) = wire.get_mut(usize::from(*at) * 3)
    {
        *byte ^= 0x40;
    }
    let mut read = 0;
    while let Ok(Some(message)) = reader.read(&mut wire, MAX_UNPACKED) {
        read += message.payload.len();
    }
    assert!(read <= rest.len(), "more was read than was written");
}
