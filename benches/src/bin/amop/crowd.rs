//! Very many subscribers of one topic at the second server, of which some do not read.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::link::{Link, Place};
use crate::pairs::{Phase, Tally, age, publisher_for, stamped};
use crate::protocol::Event;
use crate::servers::Servers;

/// The topic that all follow.
const TOPIC: &str = "crowd";
/// A topic that only the slow ones follow: it fills their queues.
const FILLER: &str = "filler";
/// Messages for the slow ones, and the bytes of each: more than sockets and the node's queue hold.
const FILLERS: usize = 240;
const FILLER_SIZE: usize = 64 * 1024;
/// Messages a second for all.
const RATE: u32 = 20;
/// Time after which memory is looked at.
const SETTLE: Duration = Duration::from_secs(2);

/// How many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    pub(crate) readers: usize,
    pub(crate) slow: usize,
    pub(crate) size: usize,
    pub(crate) time: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Milliseconds from sending to the arrival at those that read, before and while the others'
    /// queues are full.
    pub(crate) before: [f64; 2],
    pub(crate) during: [f64; 2],
    /// Share of the messages that have arrived meanwhile.
    pub(crate) arrived: f64,
    /// Resident memory of the server: with the crowd, and at the end, MiB.
    pub(crate) resident: [f64; 2],
}

/// KiB of the second server's memory for each of so many subscribers.
pub(crate) async fn memory(servers: &Servers, place: &Place, count: usize) -> io::Result<f64> {
    let before = servers.resident()?;
    let mut links = Vec::with_capacity(count);
    for _ in 0..count {
        let mut link = Link::open(place, false).await?;
        link.subscribe(&[TOPIC]).await?;
        links.push(link);
    }
    tokio::time::sleep(SETTLE).await;
    Ok((servers.resident()? - before) / count as f64)
}

/// Measures the crowd.
pub(crate) async fn run(
    servers: &Servers,
    places: &[Place; 2],
    crowd: Crowd,
) -> io::Result<Measured> {
    let start = Instant::now();
    let phases = [Arc::new(Phase::default()), Arc::new(Phase::default())];
    let mut readers = JoinSet::new();
    for _ in 0..crowd.readers {
        let mut link = Link::open(&places[1], false).await?;
        link.subscribe(&[TOPIC]).await?;
        readers.spawn(read(link, start, phases.clone()));
    }
    let mut slow = Vec::new();
    let mut publisher = publisher_for(&places[0], TOPIC).await?;
    for _ in 0..crowd.slow {
        let mut link = Link::open(&places[1], true).await?;
        link.subscribe(&[TOPIC, FILLER]).await?;
        slow.push(link);
    }
    tokio::time::sleep(SETTLE).await;
    let resident = servers.resident()?;

    phases[0].set(1);
    publish(&mut publisher, start, crowd, 0).await?;
    // What is on its way arrives.
    tokio::time::sleep(SETTLE).await;
    phases[0].set(2);
    phases[1].set(1);
    let sent = publish(&mut publisher, start, crowd, FILLERS).await?;
    tokio::time::sleep(SETTLE).await;
    let at_end = servers.resident()?;
    phases[1].set(2);
    let mut tallies = [Tally::default(), Tally::default()];
    while let Some(reader) = readers.join_next().await {
        let [before, during] = reader??;
        tallies[0].add(before);
        tallies[1].add(during);
    }
    drop(slow);
    let arrived = tallies[1].times.len() as f64 / (sent * crowd.readers) as f64;
    let [before, during] = tallies.map(|mut tally| [tally.at(50) / 1e3, tally.at(99) / 1e3]);
    Ok(Measured { before, during, arrived, resident: [resident / 1024.0, at_end / 1024.0] })
}

/// Says something to all at an even pace, and in between something to the slow ones.
async fn publish(
    link: &mut Link,
    start: Instant,
    crowd: Crowd,
    fillers: usize,
) -> io::Result<usize> {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / RATE);
    let end = Instant::now() + crowd.time;
    let (mut sent, mut filled) = (0, 0);
    while Instant::now() < end {
        tokio::select! {
            _ = pace.tick() => {
                let (protocol, client) = (link.protocol, link.client);
                let payload = stamped(start, crowd.size);
                protocol.multicast(client, TOPIC, &payload, &mut link.out);
                sent += 1;
                // Within two seconds.
                for _ in 0..(fillers - filled).min(6) {
                    let filler = vec![0; FILLER_SIZE];
                    protocol.multicast(client, FILLER, &filler, &mut link.out);
                    filled += 1;
                }
                link.flush().await?;
            }
            event = link.next() => drop(event?),
        }
    }
    Ok(sent)
}

async fn read(mut link: Link, start: Instant, phases: [Arc<Phase>; 2]) -> io::Result<[Tally; 2]> {
    let mut tallies = [Tally::default(), Tally::default()];
    while !phases[1].is_over() {
        let came = tokio::time::timeout(Duration::from_millis(500), link.next()).await;
        let Ok(came) = came else { continue };
        match came? {
            Event::Message { answer_to: Some(to), .. } => {
                link.protocol.answer(&to, TOPIC, &mut link.out);
                link.flush().await?;
            }
            Event::Message { payload, .. } => {
                for (phase, tally) in phases.iter().zip(&mut tallies) {
                    if let (true, Some(age)) = (phase.counts(), age(start, &payload)) {
                        tally.note(age);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(tallies)
}
