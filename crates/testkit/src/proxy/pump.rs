//! The bytes of one connection: read, held back, changed, passed on.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::settings::{Direction, Flow, Settings, Shared};

/// Largest read, and what a piece on its way has at most.
const PIECE: usize = 16 * 1024;

/// Pieces on their way at once; a full line holds the reader back.
const ON_THE_WAY: usize = 64;

/// A piece of the stream and when it arrives; nothing stands for the end of the stream.
type Piece = (Instant, Option<Vec<u8>>);

/// Carries until both directions have ended by FIN; an error means RST.
pub(super) async fn both_ways(
    client: &TcpStream,
    server: &TcpStream,
    shared: &Shared,
) -> io::Result<()> {
    let to_server = one_way(client, server, Direction::ToServer, shared);
    let to_client = one_way(server, client, Direction::ToClient, shared);
    tokio::try_join!(to_server, to_client).map(drop)
}

async fn one_way(
    from: &TcpStream,
    to: &TcpStream,
    direction: Direction,
    shared: &Shared,
) -> io::Result<()> {
    let (line, arriving) = mpsc::channel(ON_THE_WAY);
    let read = read(from, line, Line::new(direction, shared));
    let write = write(to, arriving, Line::new(direction, shared));
    tokio::try_join!(read, write).map(drop)
}

/// What one half of a direction knows.
struct Line<'a> {
    direction: Direction,
    shared: &'a Shared,
    settings: watch::Receiver<Settings>,
}

impl<'a> Line<'a> {
    fn new(direction: Direction, shared: &'a Shared) -> Self {
        Self { direction, shared, settings: shared.watch() }
    }

    fn flow(&mut self) -> Flow {
        self.settings.borrow_and_update().flows[self.direction.index()]
    }

    async fn changed(&mut self) -> io::Result<()> {
        self.settings.changed().await.map_err(|_| io::ErrorKind::ConnectionAborted.into())
    }

    /// The settings of this moment, once nothing is to be held back any more.
    async fn unstalled(&mut self) -> io::Result<Flow> {
        loop {
            let flow = self.flow();
            if !flow.stalled {
                return Ok(flow);
            }
            self.changed().await?;
        }
    }
}

async fn read(
    from: &TcpStream,
    line: mpsc::Sender<Piece>,
    mut settings: Line<'_>,
) -> io::Result<()> {
    let mut offset = 0;
    let mut buffer = vec![0; PIECE];
    loop {
        settings.unstalled().await?;
        // Room first: what was read must get on its way, whatever is set meanwhile.
        let Ok(place) = line.reserve().await else { return Ok(()) };
        let readable = tokio::select! {
            readable = from.readable() => { readable?; true }
            changed = settings.changed() => { changed?; false }
        };
        // A stall may have been set while nothing came.
        let flow = settings.flow();
        if !readable || flow.stalled {
            continue;
        }
        let read = match from.try_read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            read => read?,
        };
        settings.shared.count(settings.direction, read, 0);
        let mut piece = buffer[..read].to_vec();
        corrupt(&mut piece, offset, &flow, &settings);
        offset += read as u64;
        let arrives = Instant::now() + flow.delay;
        if read == 0 {
            if !flow.discarding {
                place.send((arrives, None));
                return Ok(());
            }
            // The end is not passed on now, and there is nothing more to read.
            while settings.flow().discarding {
                settings.changed().await?;
            }
            place.send((Instant::now(), None));
            return Ok(());
        }
        if !flow.discarding {
            place.send((arrives, Some(piece)));
        }
    }
}

fn corrupt(piece: &mut [u8], offset: u64, flow: &Flow, line: &Line<'_>) {
    if let Some(at) = flow.corrupt_at.and_then(|at| at.checked_sub(offset))
        && let Some(byte) = usize::try_from(at).ok().and_then(|at| piece.get_mut(at))
    {
        *byte ^= 1;
    }
    if let Some(byte) = piece.first_mut()
        && line.shared.corrupt_next[line.direction.index()].swap(false, Relaxed)
    {
        *byte ^= 1;
    }
}

async fn write(
    to: &TcpStream,
    mut line: mpsc::Receiver<Piece>,
    mut settings: Line<'_>,
) -> io::Result<()> {
    let mut closed = false;
    loop {
        let piece = tokio::select! {
            piece = line.recv() => piece,
            changed = settings.changed() => {
                changed?;
                closed = close(to, closed, settings.flow())?;
                continue;
            }
        };
        let Some((arrives, piece)) = piece else { return Ok(()) };
        tokio::time::sleep_until(arrives).await;
        let flow = settings.unstalled().await?;
        closed = close(to, closed, flow)?;
        match piece {
            Some(_) if closed || flow.discarding => {}
            Some(piece) => pass(to, &piece, &mut settings).await?,
            None => return if closed { Ok(()) } else { shut_down(to) },
        }
    }
}

/// Sends FIN when it is wanted now and was not sent before; says whether it was sent.
fn close(to: &TcpStream, closed: bool, flow: Flow) -> io::Result<bool> {
    if flow.half_closed && !closed {
        shut_down(to)?;
    }
    Ok(closed || flow.half_closed)
}

fn shut_down(to: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(to).shutdown(std::net::Shutdown::Write)
}

/// Writes a piece, as fast as it may go; a stall stops it between two writes.
async fn pass(to: &TcpStream, piece: &[u8], settings: &mut Line<'_>) -> io::Result<()> {
    let mut left = piece;
    while !left.is_empty() {
        let flow = settings.unstalled().await?;
        // A twentieth of a second at a time.
        let most = flow.rate.map_or(left.len(), |rate| left.len().min((rate / 20).max(1) as usize));
        to.writable().await?;
        let written = match to.try_write(&left[..most]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            written => written?,
        };
        left = &left[written..];
        settings.shared.count(settings.direction, 0, written);
        if let Some(rate) = flow.rate {
            tokio::time::sleep(Duration::from_secs_f64(written as f64 / rate as f64)).await;
        }
    }
    Ok(())
}
