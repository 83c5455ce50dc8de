//! What a connection of either port does until it ends: the face is asked what it wants, bytes are
//! read and written in turns, commands of the broker come in between.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use chainmesh_net::amop::{QUEUE_BYTES, SdkCommand, SdkLink};
use chainmesh_proto::time::Instant;
use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::clients::Refused;
use super::ports::End;

/// Bytes of frames that wait to be written above which no more are made of the link's commands.
const WRITING: usize = 256 * 1024;
/// Bytes of answers that wait to be written above which nothing more is read from the client: who
/// does not read what it asked for has to wait with more.
const ANSWERS: usize = 1024 * 1024;

/// How long a client has to take the end of its connection.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// Bytes that wait to be written.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Backlog {
    pub(super) bytes: usize,
    /// Those of them that the client asked for.
    pub(super) answers: usize,
}

impl Backlog {
    pub(super) const fn add(&mut self, bytes: usize, answer: bool) {
        self.bytes += bytes;
        self.answers += if answer { bytes } else { 0 };
    }

    pub(super) const fn remove(&mut self, bytes: usize, answer: bool) {
        self.bytes -= bytes;
        self.answers -= if answer { bytes } else { 0 };
    }
}

/// One of the two protocols, on its socket.
pub(super) trait Talk {
    /// What is read at once.
    type Read;

    /// Reads. An end that the client made is an end like another.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Read, End>>;

    /// Ready when something was written; pending also when there is nothing to be written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>>;

    /// Ready when a call was answered; pending also when there is none.
    fn poll_call(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether a call is being answered: nothing is read meanwhile.
    fn is_answering(&self) -> bool;

    /// What waits to be written.
    fn backlog(&self) -> Backlog;

    /// Takes what was read.
    fn came(&mut self, now: Instant, read: Self::Read) -> Result<(), End>;

    /// Takes what the broker says.
    fn command(&mut self, now: Instant, command: SdkCommand) -> Result<(), End>;

    /// Does what the face wants.
    fn carry_out(&mut self, link: &mut SdkLink) -> Result<(), End>;

    /// When the face wants to be woken.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Wakes it.
    fn handle_timeout(&mut self, now: Instant);
}

/// A timer that outlives the turns. A deadline that moves away with each of them is not followed:
/// it is looked at when the old one is over.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    async fn until(&mut self, deadline: Option<tokio::time::Instant>) {
        let Some(deadline) = deadline else { return core::future::pending().await };
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            sleep.as_mut().await;
            if sleep.deadline() >= deadline {
                break;
            }
            sleep.as_mut().reset(deadline);
        }
        self.0 = None;
    }
}

/// What happened on the socket.
enum Moved<R> {
    Read(R),
    /// Written, or there is something new to be written.
    Written,
}

/// Speaks with a client until one of the two ends it, or it may not stay.
pub(super) async fn run<T: Talk>(
    talk: &mut T,
    mut link: SdkLink,
    mut refused: oneshot::Receiver<Refused>,
) -> End {
    let mut alarm = Alarm::default();
    // Reading and writing take turns.
    let mut reads_first = false;
    loop {
        reads_first = !reads_first;
        if let Err(end) = turn(talk, &mut link, &mut refused, &mut alarm, reads_first).await {
            return end;
        }
    }
}

async fn turn<T: Talk>(
    talk: &mut T,
    link: &mut SdkLink,
    refused: &mut oneshot::Receiver<Refused>,
    alarm: &mut Alarm,
    reads_first: bool,
) -> Result<(), End> {
    talk.carry_out(link)?;
    let waiting = talk.backlog();
    let takes = waiting.bytes < WRITING;
    let reads = waiting.answers < ANSWERS && link.answers() < QUEUE_BYTES;
    let reads = reads && !talk.is_answering();
    let deadline = talk.poll_timeout().map(|at| link.at(at));
    tokio::select! {
        moved = poll_fn(|cx| move_once(talk, link.now(), cx, reads, reads_first)) => match moved? {
            Moved::Read(read) => talk.came(link.now(), read),
            Moved::Written => Ok(()),
        },
        command = link.next(), if takes => take_all(talk, link, command),
        Ok(error) = refused => Err(End::NotTrusted(error)),
        last = link.last() => talk.command(link.now(), last),
        () = alarm.until(deadline) => {
            talk.handle_timeout(link.now());
            Ok(())
        }
    }
}

/// Takes this command and those that wait behind it, as long as there is room for what they become:
/// it is written together.
fn take_all<T: Talk>(talk: &mut T, link: &mut SdkLink, first: SdkCommand) -> Result<(), End> {
    let mut next = Some(first);
    while let Some(command) = next {
        talk.command(link.now(), command)?;
        talk.carry_out(link)?;
        next = if talk.backlog().bytes < WRITING { link.try_next() } else { None };
    }
    Ok(())
}

fn move_once<T: Talk>(
    talk: &mut T,
    now: Instant,
    cx: &mut Context<'_>,
    reads: bool,
    reads_first: bool,
) -> Poll<Result<Moved<T::Read>, End>> {
    if talk.poll_call(now, cx).is_ready() {
        return Poll::Ready(Ok(Moved::Written));
    }
    for read in [reads_first, !reads_first] {
        let moved = match read {
            false => talk.poll_write(cx).map_ok(|()| Moved::Written),
            true if reads => talk.poll_read(cx).map_ok(Moved::Read),
            true => Poll::Pending,
        };
        if moved.is_ready() {
            return moved;
        }
    }
    Poll::Pending
}
