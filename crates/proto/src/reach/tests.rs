//! Rounds, majorities, and the limits of what is done for others.

use core::time::Duration;

use chainmesh_identity::NodeKey;
use chainmesh_wire::reach::{DialMe, Dialled, Outcome};
use proptest::prelude::*;

use super::*;

const PORT: u16 = 30303;

fn id(number: u8) -> PeerId {
    NodeKey::from_entropy([number; 32]).peer_id()
}

struct Bed {
    now: Instant,
    machine: Reach,
    outputs: Vec<Output>,
    /// What was said of it.
    verdicts: Vec<Verdict>,
}

impl Bed {
    fn new(port: u16) -> Self {
        let now = Instant::from_micros(1);
        Self { now, machine: Reach::new(port, [5; 32]), outputs: Vec::new(), verdicts: Vec::new() }
    }

    fn collect(&mut self) {
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Verdict(verdict) => self.verdicts.push(verdict),
                output => self.outputs.push(output),
            }
        }
    }

    fn handle(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        self.collect();
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.machine.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.machine.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
    }

    fn up(&mut self, number: u8, ip: [u8; 4], dialled: bool) {
        let session = SessionId(number.into());
        let address = SocketAddr::from((ip, 5000));
        self.handle(Input::PeerUp { session, id: id(number), address, dialled });
    }

    /// The peer of a number, at an address of its own /24.
    fn peer(&mut self, number: u8) {
        self.up(number, [50, 1, number, 9], true);
    }

    fn hear(&mut self, number: u8, message: Message) {
        self.handle(Input::Message { session: SessionId(number.into()), message });
    }

    fn ask(&mut self, number: u8, port: u16) {
        self.hear(number, Message::DialMe(DialMe { request_id: 1, port }));
    }

    /// The questions that were sent since somebody looked last.
    fn questions(&mut self) -> Vec<(u8, DialMe)> {
        let outputs = core::mem::take(&mut self.outputs);
        let questions = outputs.into_iter().filter_map(|output| match output {
            Output::Send { session, message: Message::DialMe(question) } => {
                Some((u8::try_from(session.0).unwrap(), question))
            }
            _ => None,
        });
        questions.collect()
    }

    fn say(&mut self, number: u8, question: DialMe, outcome: Outcome) {
        let DialMe { request_id, port } = question;
        let ip = [60, 2, 3, 4].into();
        self.hear(number, Message::Dialled(Dialled { request_id, outcome, ip, port }));
    }

    /// A round in which the peers that are asked say these things.
    fn round(&mut self, outcomes: &[Outcome]) {
        let mut outcomes = outcomes.iter();
        loop {
            let questions = self.questions();
            if questions.is_empty() {
                break;
            }
            for (number, question) in questions {
                let outcome = outcomes.next().copied().unwrap_or(Outcome::NotTried);
                self.say(number, question, outcome);
            }
        }
    }

    fn verdict(&self) -> Verdict {
        self.machine.snapshot().verdict
    }

    fn dials(&self) -> Vec<(DialId, SocketAddr, PeerId)> {
        let dials = self.outputs.iter().filter_map(|output| match output {
            Output::Dial { dial, address, id } => Some((*dial, *address, *id)),
            _ => None,
        });
        dials.collect()
    }

    fn answers(&self) -> Vec<(u64, Outcome)> {
        let answers = self.outputs.iter().filter_map(|output| match output {
            Output::Send { session, message: Message::Dialled(said) } => {
                Some((session.0, said.outcome))
            }
            _ => None,
        });
        answers.collect()
    }
}

#[test]
fn three_peers_of_different_networks_are_asked_and_the_majority_counts() {
    let mut bed = Bed::new(PORT);
    for number in 1..=8 {
        bed.peer(number);
    }
    assert_eq!(bed.questions(), [], "the others may still come");
    bed.pass(SETTLE);
    let questions = bed.questions();
    assert_eq!(questions.len(), ASKED);
    assert!(questions.iter().all(|(_, question)| question.port == PORT));
    let outcomes = [Outcome::Reached, Outcome::TimedOut, Outcome::Reached];
    for ((number, question), outcome) in questions.into_iter().zip(outcomes) {
        bed.say(number, question, outcome);
    }
    let verdict = Verdict::Yes { reached: 2, tried: 3 };
    assert_eq!(bed.verdict(), verdict);
    assert_eq!(verdict.to_string(), "yes (2 of 3 peers)");
    assert_eq!(bed.verdicts, [verdict]);
    assert_eq!(bed.machine.snapshot().seen(), Some([60, 2, 3, 4].into()));
    // An hour later again; the same answer is not said again.
    bed.pass(ROUND_INTERVAL);
    bed.round(&[Outcome::Reached, Outcome::Reached, Outcome::Reached]);
    assert_eq!(bed.verdict(), Verdict::Yes { reached: 3, tried: 3 });
    bed.pass(ROUND_INTERVAL);
    bed.round(&[Outcome::TimedOut, Outcome::TimedOut, Outcome::Reached]);
    assert_eq!(bed.verdicts, [verdict, bed.verdict()], "only what is another thing to do");
    let text = bed.verdict().to_string();
    assert!(text.starts_with("no (1 of 3 peers): ") && text.contains("TCP port 30303"), "{text}");
}

#[test]
fn those_who_did_not_try_are_no_voice_and_others_are_asked() {
    let mut bed = Bed::new(PORT);
    for number in 1..=8 {
        bed.peer(number);
    }
    bed.pass(SETTLE);
    let [no, odd] = [Outcome::NotTried, Outcome::Unknown(77)];
    bed.round(&[no, odd, no, Outcome::Refused, Outcome::Refused, Outcome::Reached]);
    let obstacle = Outcome::Refused;
    assert_eq!(bed.verdict(), Verdict::No { reached: 1, tried: 3, obstacle, port: PORT });
}

#[test]
fn one_owner_is_one_voice_and_those_we_dialled_go_first() {
    let mut bed = Bed::new(PORT);
    for number in 1..=20 {
        bed.up(number, [66, 6, 6, number], false);
    }
    bed.peer(100);
    bed.pass(SETTLE);
    let asked: Vec<u8> = bed.questions().into_iter().map(|(number, _)| number).collect();
    assert_eq!((asked[0], asked.len()), (100, 2), "{asked:?}");
}

#[test]
fn silence_and_departure_end_a_round_without_a_verdict() {
    let mut bed = Bed::new(PORT);
    bed.peer(1);
    bed.peer(2);
    bed.pass(SETTLE);
    assert_eq!(bed.questions().len(), 2);
    bed.handle(Input::PeerDown { session: SessionId(1) });
    bed.pass(ANSWER_TIMEOUT);
    assert_eq!((bed.verdict(), bed.machine.snapshot().checked), (Verdict::Unknown, Some(bed.now)));
    bed.pass(RETRY_INTERVAL);
    let questions = bed.questions();
    assert_eq!(questions.len(), 1);
    bed.say(questions[0].0, questions[0].1, Outcome::Reached);
    assert_eq!(bed.verdict(), Verdict::Yes { reached: 1, tried: 1 });
    // Nobody could say anything the next time: what was known stays.
    bed.pass(FEW_INTERVAL);
    bed.round(&[]);
    assert_eq!(bed.verdict(), Verdict::Yes { reached: 1, tried: 1 });
}

#[test]
fn an_answer_that_nobody_asked_for_counts_for_nothing() {
    let mut bed = Bed::new(PORT);
    bed.peer(1);
    bed.peer(2);
    bed.say(1, DialMe { request_id: 0, port: PORT }, Outcome::TimedOut);
    bed.pass(SETTLE);
    let questions = bed.questions();
    let wrong = |number: u8, of: DialMe| (number, DialMe { request_id: of.request_id + 9, ..of });
    let (number, question) = wrong(questions[0].0, questions[0].1);
    bed.say(number, question, Outcome::TimedOut);
    assert!(bed.machine.snapshot().statements.is_empty());
    bed.say(questions[0].0, questions[0].1, Outcome::Reached);
    bed.say(questions[0].0, questions[0].1, Outcome::Reached);
    assert_eq!(bed.machine.snapshot().statements.len(), 1, "a second answer to a question");
}

#[test]
fn a_new_address_is_checked_soon() {
    let mut bed = Bed::new(PORT);
    bed.peer(1);
    bed.pass(SETTLE);
    bed.round(&[Outcome::Reached]);
    bed.handle(Input::Moved);
    assert_eq!(bed.questions(), [], "its peers would say that it is too soon");
    bed.pass(RETRY_INTERVAL);
    assert_eq!(bed.questions().len(), 1);
}

#[test]
fn a_node_that_does_not_listen_asks_nobody_and_dials_for_others() {
    let mut bed = Bed::new(0);
    bed.peer(1);
    bed.handle(Input::Moved);
    bed.pass(ROUND_INTERVAL);
    assert_eq!(bed.outputs, []);
    bed.ask(1, 4000);
    let address = SocketAddr::from(([50, 1, 1, 9], 4000));
    assert_eq!(bed.dials(), [(DialId(0), address, id(1))]);
    bed.handle(Input::Dialled { dial: DialId(0), outcome: Outcome::AnotherNode });
    assert_eq!(bed.answers(), [(1, Outcome::AnotherNode)]);
}

#[test]
fn each_identity_and_each_address_is_dialled_once_in_five_minutes() {
    let mut bed = Bed::new(0);
    bed.peer(1);
    bed.up(2, [50, 1, 1, 9], false);
    bed.ask(1, 4000);
    bed.handle(Input::Dialled { dial: DialId(0), outcome: Outcome::Reached });
    bed.ask(1, 4000);
    bed.ask(2, 4001);
    assert_eq!(bed.dials().len(), 1);
    assert_eq!(bed.answers()[1..], [(1, Outcome::NotTried), (2, Outcome::NotTried)]);
    bed.pass(DIAL_INTERVAL);
    bed.ask(2, 4001);
    assert_eq!(bed.dials().len(), 2);
}

#[test]
fn few_are_dialled_at_once_and_a_driver_that_forgets_frees_its_place() {
    let mut bed = Bed::new(0);
    for number in 1..=6 {
        bed.peer(number);
        bed.ask(number, 4000);
    }
    assert_eq!(bed.dials().len(), MAX_DIALS);
    assert_eq!(bed.answers().len(), 2);
    bed.pass(DIAL_TIMEOUT);
    assert_eq!(bed.machine.snapshot().dialling, 0);
    let overdue = bed.answers().into_iter().filter(|(_, said)| *said == Outcome::TimedOut);
    assert_eq!(overdue.count(), MAX_DIALS);
    // What the driver says too late is of no use to anybody.
    bed.outputs.clear();
    bed.handle(Input::Dialled { dial: DialId(0), outcome: Outcome::Reached });
    assert_eq!(bed.outputs, []);
}

#[test]
fn low_ports_and_addresses_of_nobody_are_not_dialled() {
    let mut bed = Bed::new(0);
    bed.peer(1);
    for port in [0, 22, 25, 1024] {
        bed.ask(1, port);
    }
    bed.up(2, [0, 0, 0, 0], false);
    bed.up(3, [224, 0, 0, 1], false);
    bed.ask(2, 4000);
    bed.ask(3, 4000);
    assert_eq!((bed.dials().len(), bed.answers().len()), (0, 6));
}

#[test]
fn only_peers_on_loopback_are_dialled_on_loopback_and_as_often_as_identities_allow() {
    let mut bed = Bed::new(0);
    for number in 1..=3 {
        bed.up(number, [127, 0, 0, 1], false);
        bed.ask(number, 4000 + u16::from(number));
        bed.ask(number, 4000);
    }
    let dials = bed.dials();
    assert_eq!(dials.len(), 3);
    assert!(dials.iter().all(|(_, address, _)| address.ip().is_loopback()));
}

#[test]
fn peers_and_memories_have_limits() {
    let mut bed = Bed::new(0);
    for number in 0..u64::try_from(MAX_PEERS).unwrap() + 50 {
        let [.., a, b] = number.to_be_bytes();
        let mut bytes = [1; 64];
        (bytes[0], bytes[1]) = (a, b);
        let (id, address) = (PeerId::from(bytes), SocketAddr::from(([50, a, b, 1], 5000)));
        let session = SessionId(number);
        bed.handle(Input::PeerUp { session, id, address, dialled: false });
        let message = Message::DialMe(DialMe { request_id: 1, port: 4000 });
        bed.handle(Input::Message { session, message });
        for (dial, ..) in bed.dials() {
            bed.handle(Input::Dialled { dial, outcome: Outcome::Reached });
        }
        bed.outputs.clear();
    }
    let report = bed.machine.snapshot();
    assert_eq!(report.peers, MAX_PEERS);
    let dialled: u64 = report.dialled.values().sum();
    assert_eq!(dialled, u64::try_from(MAX_REMEMBERED / 2).unwrap());
    // Five minutes later there is room again.
    bed.pass(DIAL_INTERVAL);
    bed.ask(1, 4000);
    assert_eq!(bed.dials().len(), 1);
}

proptest! {
    #[test]
    fn any_steps_keep_the_limits(
        steps in prop::collection::vec((0_u8..8, 0_u8..12, any::<u8>(), any::<u16>()), 0..200)
    ) {
        let mut bed = Bed::new(PORT);
        for (what, number, value, port) in steps {
            match what {
                0 => bed.peer(number),
                1 => bed.up(number, [127, 0, 0, 1], value % 2 == 0),
                2 => bed.handle(Input::PeerDown { session: SessionId(number.into()) }),
                3 => bed.ask(number, port),
                4 => {
                    let question = DialMe { request_id: value.into(), port };
                    bed.say(number, question, Outcome::from_number(value % 8));
                }
                5 => bed.handle(Input::Dialled {
                    dial: DialId(value.into()),
                    outcome: Outcome::from_number(value % 8),
                }),
                6 => bed.handle(Input::Moved),
                _ => bed.pass(Duration::from_secs(u64::from(port) / 16)),
            }
            let report = bed.machine.snapshot();
            prop_assert!(report.dialling <= MAX_DIALS);
            prop_assert!(report.statements.len() <= MAX_ASKED);
            prop_assert!(bed.machine.timers.len() <= MAX_DIALS + 2);
            for (_, address, _) in bed.dials() {
                let own = address.ip() == IpAddr::from([127, 0, 0, 1])
                    || matches!(address.ip(), IpAddr::V4(ip) if ip.octets()[..2] == [50, 1]);
                prop_assert!(own && address.port() > MAX_LOW_PORT);
            }
            bed.outputs.clear();
        }
    }
}
