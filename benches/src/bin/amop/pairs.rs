//! Publishers at the first server, each with its subscriber at the second one.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::link::{Link, Place};
use crate::protocol::Event;
use crate::servers::Servers;

/// Time before anything is counted.
const WARM_UP: Duration = Duration::from_millis(700);
/// How long an answer to the first message is waited for, before it is sent again.
const PROBE: Duration = Duration::from_millis(200);
/// How long it is tried.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether it is over.
const TICK: Duration = Duration::from_millis(100);
/// Messages that are written at once, at most.
const BATCH: usize = 64;

/// To whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// To one subscriber, which answers with two bytes.
    Unicast,
    /// To all subscribers of the topic, which is one; the next is sent when one has arrived.
    Multicast,
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) pattern: Pattern,
    pub(crate) pairs: usize,
    /// Messages of each pair that are under way.
    pub(crate) window: usize,
    /// Bytes of a message.
    pub(crate) size: usize,
    pub(crate) time: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Messages a second, of all pairs together.
    pub(crate) per_second: f64,
    /// Microseconds: from sending to the answer (unicast), or to the arrival (multicast).
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// CPU time of both servers for one message, microseconds.
    pub(crate) cpu: f64,
    /// Answers that were none.
    pub(crate) failed: u64,
    /// The code of one of them.
    pub(crate) code: i32,
}

/// Whether it is counted: 0 not yet, 1 yes, 2 over.
#[derive(Default)]
pub(crate) struct Phase(AtomicU8);

impl Phase {
    pub(crate) fn set(&self, phase: u8) {
        self.0.store(phase, Relaxed);
    }

    pub(crate) fn counts(&self) -> bool {
        self.0.load(Relaxed) == 1
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Relaxed) == 2
    }
}

/// Times in microseconds, and failures.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) times: Vec<u32>,
    failed: u64,
    /// Of the last failure.
    code: i32,
}

impl Tally {
    pub(crate) fn note(&mut self, time: Duration) {
        self.times.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.failed += other.failed;
        self.code = if other.code == 0 { self.code } else { other.code };
    }

    /// The time below which this share (in hundredths) of them is.
    pub(crate) fn at(&mut self, share: usize) -> f64 {
        self.times.sort_unstable();
        let at = (self.times.len() * share / 100).min(self.times.len().saturating_sub(1));
        self.times.get(at).map_or(f64::NAN, |time| f64::from(*time))
    }
}

/// The time since the start of this process, which messages carry.
fn stamp(start: Instant, payload: &mut [u8]) {
    payload[..8].copy_from_slice(&(start.elapsed().as_nanos() as u64).to_be_bytes());
}

/// The time since a message was stamped.
pub(crate) fn age(start: Instant, payload: &[u8]) -> Option<Duration> {
    let sent = u64::from_be_bytes(*payload.first_chunk()?);
    Some(start.elapsed().saturating_sub(Duration::from_nanos(sent)))
}

/// A stamped message of this size.
pub(crate) fn stamped(start: Instant, size: usize) -> Vec<u8> {
    let mut payload = vec![0x5a; size.max(8)];
    stamp(start, &mut payload);
    payload
}

struct Publisher {
    link: Link,
    topic: String,
}

/// Waits until a message of the publisher is answered by a subscriber.
async fn probe(link: &mut Link, topic: &str) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let (protocol, client) = (link.protocol, link.client);
        protocol.request(client, u64::MAX, topic, &Bytes::from_static(&[0; 8]), &mut link.out);
        link.flush().await?;
        let answered = async {
            loop {
                if let Event::Answer { code, .. } = link.next().await? {
                    return Ok::<_, io::Error>(code == 0);
                }
            }
        };
        match tokio::time::timeout(PROBE, answered).await {
            Ok(Ok(true)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Ok(Ok(false)) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    Err(io::Error::other("no message reached the subscriber"))
}

/// A connection from which messages on this topic reach a subscriber.
pub(crate) async fn publisher_for(place: &Place, topic: &str) -> io::Result<Link> {
    let mut link = Link::open(place, false).await?;
    if let Some(inbox) = link.protocol.inbox(link.client) {
        link.subscribe(&[&inbox]).await?;
    }
    probe(&mut link, topic).await?;
    Ok(link)
}

/// A publisher and its subscriber, which answers already.
struct Pair {
    publisher: Publisher,
    arrived: Arc<Semaphore>,
    subscriber: JoinHandle<io::Result<Tally>>,
}

async fn pair(
    places: [Place; 2],
    load: Load,
    start: Instant,
    phase: Arc<Phase>,
) -> io::Result<Pair> {
    let mut link = Link::open(&places[1], false).await?;
    let topic = format!("bench{}", link.client);
    link.subscribe(&[&topic]).await?;
    let arrived = Arc::new(Semaphore::new(load.window));
    let reading = subscribe(link, topic.clone(), start, phase, Arc::clone(&arrived));
    let subscriber = tokio::spawn(reading);
    let link = publisher_for(&places[0], &topic).await?;
    Ok(Pair { publisher: Publisher { link, topic }, arrived, subscriber })
}

/// Measures one load.
pub(crate) async fn run(
    servers: &Servers,
    places: &[Place; 2],
    load: Load,
) -> io::Result<Measured> {
    let phase = Arc::new(Phase::default());
    let start = Instant::now();
    let (mut opening, mut tasks) = (JoinSet::new(), JoinSet::new());
    for _ in 0..load.pairs {
        opening.spawn(pair(places.clone(), load, start, Arc::clone(&phase)));
    }
    let mut ready = Vec::new();
    while let Some(opened) = opening.join_next().await {
        ready.push(opened??);
    }
    // All are connected before the first one begins.
    for Pair { publisher, arrived, subscriber } in ready {
        let phase = Arc::clone(&phase);
        tasks.spawn(async move {
            let mut tally = match load.pattern {
                Pattern::Unicast => ask(publisher, load, phase).await?,
                Pattern::Multicast => tell(publisher, load, start, phase, arrived).await?,
            };
            tally.add(subscriber.await??);
            Ok::<_, io::Error>(tally)
        });
    }
    tokio::time::sleep(WARM_UP).await;
    let (cpu, began) = (servers.cpu()?, Instant::now());
    phase.set(1);
    tokio::time::sleep(load.time).await;
    phase.set(2);
    let (cpu, took) = (servers.cpu()? - cpu, began.elapsed().as_secs_f64());
    let mut tally = Tally::default();
    while let Some(done) = tasks.join_next().await {
        tally.add(done??);
    }
    let count = tally.times.len() as f64;
    Ok(Measured {
        per_second: count / took,
        p50: tally.at(50),
        p99: tally.at(99),
        cpu: cpu * 1e6 / count,
        failed: tally.failed,
        code: tally.code,
    })
}

/// Keeps a window of requests under way.
async fn ask(publisher: Publisher, load: Load, phase: Arc<Phase>) -> io::Result<Tally> {
    let Publisher { mut link, topic } = publisher;
    let payload = Bytes::from(vec![0x5a; load.size]);
    let (mut tally, mut under_way, mut number) = (Tally::default(), HashMap::new(), 0);
    while !phase.is_over() {
        while under_way.len() < load.window {
            number += 1;
            link.protocol.request(link.client, number, &topic, &payload, &mut link.out);
            under_way.insert(number, Instant::now());
        }
        // At the end the subscriber may be gone before its answer.
        let first = tokio::time::timeout(TICK, link.next()).await;
        let Ok(first) = first else { continue };
        let mut event = Some(first?);
        while let Some(it) = event {
            if let Event::Answer { number, code } = it
                && let Some(sent) = under_way.remove(&number)
            {
                match (phase.counts(), code) {
                    (false, _) => {}
                    (true, 0) => tally.note(sent.elapsed()),
                    (true, code) => {
                        tally.failed += 1;
                        tally.code = code;
                    }
                }
            }
            event = link.try_next()?;
        }
    }
    Ok(tally)
}

/// Sends as many as have arrived.
async fn tell(
    publisher: Publisher,
    load: Load,
    start: Instant,
    phase: Arc<Phase>,
    arrived: Arc<Semaphore>,
) -> io::Result<Tally> {
    let Publisher { mut link, topic } = publisher;
    let mut payload = stamped(start, load.size);
    while !phase.is_over() {
        tokio::select! {
            permit = arrived.acquire() => {
                permit.map_err(io::Error::other)?.forget();
                let mut count = 1;
                while count < BATCH && arrived.try_acquire().map(|permit| permit.forget()).is_ok() {
                    count += 1;
                }
                for _ in 0..count {
                    stamp(start, &mut payload);
                    link.protocol.multicast(link.client, &topic, &payload, &mut link.out);
                }
                link.flush().await?;
            }
            // A node of 2.x answers.
            event = link.next() => drop(event?),
            () = tokio::time::sleep(TICK) => {}
        }
    }
    Ok(Tally::default())
}

/// Reads, and answers what is to be answered.
async fn subscribe(
    mut link: Link,
    topic: String,
    start: Instant,
    phase: Arc<Phase>,
    arrived: Arc<Semaphore>,
) -> io::Result<Tally> {
    let (mut tally, mut answers) = (Tally::default(), BytesMut::new());
    while !phase.is_over() {
        let first = tokio::time::timeout(TICK, link.next()).await;
        let Ok(first) = first else { continue };
        let mut event = Some(first?);
        while let Some(it) = event {
            if let Event::Message { answer_to, payload } = it {
                match answer_to {
                    Some(to) => link.protocol.answer(&to, &topic, &mut answers),
                    None => {
                        arrived.add_permits(1);
                        if let (true, Some(age)) = (phase.counts(), age(start, &payload)) {
                            tally.note(age);
                        }
                    }
                }
            }
            event = link.try_next()?;
        }
        link.out.extend_from_slice(&answers);
        answers.clear();
        link.flush().await?;
    }
    Ok(tally)
}
