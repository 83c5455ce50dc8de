//! What a broadcast costs for each member, in the machine of the mesh alone: no sockets, no
//! encryption. The payload is shared by all; each member has a header of its own.
//!
//! `chainmesh-mesh [ROUNDS]`. One line of JSON for each number of members and each size.

use std::collections::VecDeque;
use std::time::Instant as Clock;

use bytes::{Bytes, BytesMut};
use chainmesh_identity::NodeKey;
use chainmesh_identity::certificate::CertificateIdentity;
use chainmesh_proto::mesh::{Broadcast, Input, MODULE_SEND, Mesh, MeshConfig, Output, SessionId};
use chainmesh_proto::module::PeerKind;
use chainmesh_proto::time::Instant;
use core::time::Duration;

/// A mesh of one node in the middle with a session to each of the others. The sessions of the
/// middle are numbered like the others, which call theirs 0.
struct Star {
    machines: Vec<Mesh>,
    now: Instant,
}

fn identity(number: usize) -> CertificateIdentity {
    let mut entropy = [1; 32];
    entropy[..8].copy_from_slice(&(number as u64 + 1).to_be_bytes());
    NodeKey::from_entropy(entropy).peer_id().into()
}

impl Star {
    fn new(members: usize) -> Self {
        let now = Instant::from_micros(1);
        let machine = |number| Mesh::new(MeshConfig::new(identity(number)), [number as u8; 32]);
        let mut star = Self { machines: (0..=members).map(machine).collect(), now };
        let kind = PeerKind::Own;
        for number in 1..=members {
            let session = SessionId(number as u64);
            let opened = Input::Opened { session, peer: identity(number), kind };
            star.machines[0].handle(now, opened);
            let opened = Input::Opened { session: SessionId(0), peer: identity(0), kind };
            star.machines[number].handle(now, opened);
        }
        // Statuses are told every second, routes every three.
        for _ in 0..50 {
            star.settle();
            star.now = star.now + Duration::from_millis(100);
            let now = star.now;
            for machine in &mut star.machines {
                while machine.poll_timeout().is_some_and(|at| at <= now) {
                    machine.handle_timeout(now);
                }
            }
        }
        star.settle();
        star
    }

    /// Delivers all frames until there are none.
    fn settle(&mut self) {
        let mut frames = VecDeque::new();
        loop {
            for number in 0..self.machines.len() {
                while let Some(output) = self.machines[number].poll() {
                    frames.extend(frame(number, output));
                }
            }
            let Some(frame) = frames.pop_front() else { return };
            self.deliver(frame);
        }
    }

    fn deliver(&mut self, (from, session, frame): Frame) {
        let (to, session) = match from {
            0 => (session.0 as usize, SessionId(0)),
            from => (0, SessionId(from as u64)),
        };
        self.machines[to].handle(self.now, Input::Frame { session, frame });
    }

    /// One broadcast: nanoseconds, and how many copies it was. Then each member confirms it.
    fn broadcast(&mut self, payload: &Bytes) -> (f64, usize) {
        let group = Bytes::from_static(b"group0");
        let message = Broadcast { group, module: MODULE_SEND, payload: payload.clone() };
        let id = self.machines[0].next_id();
        let mut outputs = Vec::with_capacity(self.machines.len());
        let started = Clock::now();
        self.machines[0].handle(self.now, Input::Broadcast { id, message });
        while let Some(output) = self.machines[0].poll() {
            outputs.push(output);
        }
        let time = started.elapsed().as_nanos() as f64;
        let frames: Vec<Frame> = outputs.into_iter().filter_map(|out| frame(0, out)).collect();
        let copies = frames.len();
        frames.into_iter().for_each(|frame| self.deliver(frame));
        self.settle();
        (time, copies)
    }
}

/// Who sent it, over which session, and what.
type Frame = (usize, SessionId, Bytes);

fn frame(from: usize, output: Output) -> Option<Frame> {
    let Output::Transmit { session, head, payload, .. } = output else { return None };
    let mut frame = BytesMut::from(&head[..]);
    frame.extend_from_slice(&payload);
    Some((from, session, frame.freeze()))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn main() {
    let rounds: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2000);
    for size in [128, 1024, 65_536, 1 << 20] {
        let payload = Bytes::from(vec![7; size]);
        let mut one = 0.0;
        for members in [1, 10, 50] {
            let mut star = Star::new(members);
            let mut times = Vec::with_capacity(rounds);
            for _ in 0..rounds {
                let (time, copies) = star.broadcast(&payload);
                assert_eq!(copies, members, "a broadcast that does not reach everybody");
                times.push(time);
            }
            let time = median(times);
            if members == 1 {
                one = time;
            }
            let extra = (time - one) / (members.max(2) - 1) as f64;
            println!(
                "{{\"what\":\"broadcast\",\"members\":{members},\"size\":{size},\"ns\":{time:.0},\
                 \"ns_per_extra_member\":{:.0}}}",
                if members == 1 { 0.0 } else { extra },
            );
        }
    }
}
