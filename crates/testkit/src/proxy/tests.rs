//! Each fault, seen from both ends with plain sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use super::Direction::{ToClient, ToServer};
use super::*;
use crate::wait;

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long is looked whether nothing comes.
const MOMENT: Duration = Duration::from_millis(50);

struct Bed {
    listener: TcpListener,
    proxy: Proxy,
}

impl Bed {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).unwrap();
        Self { listener, proxy }
    }

    fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.proxy.address()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        client
    }

    /// A connection, both ends of it.
    fn pair(&self) -> (TcpStream, TcpStream) {
        let client = self.client();
        let (server, _) = self.listener.accept().unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        (client, server)
    }
}

fn receive(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Whether nothing comes for a moment: neither a byte nor an end.
fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(MOMENT)).unwrap();
    let silent =
        matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    silent
}

#[test]
fn without_faults_everything_passes_and_is_counted() {
    let bed = Bed::new();
    let (mut client, mut server) = bed.pair();
    let sent: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    let received = std::thread::scope(|scope| {
        scope.spawn(|| {
            client.write_all(&sent).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        received
    });
    assert!(received == sent);
    server.write_all(b"answer").unwrap();
    drop(server);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"answer");
    let traffic = bed.proxy.traffic(ToServer);
    assert_eq!((traffic.read, traffic.passed), (300_000, 300_000));
    assert_eq!(bed.proxy.traffic(ToClient).passed, 6);
    wait::until("both have closed", || bed.proxy.connections().open == 0);
    assert_eq!(bed.proxy.connections().accepted, 1);
}

#[test]
fn a_delay_holds_in_one_direction() {
    let bed = Bed::new();
    let (mut client, mut server) = bed.pair();
    bed.proxy.delay(ToServer, Duration::from_millis(200));
    let began = Instant::now();
    client.write_all(b"1").unwrap();
    receive(&mut server, 1);
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    bed.proxy.heal();
    client.write_all(b"2").unwrap();
    assert_eq!(receive(&mut server, 1), b"2");
}

#[test]
fn a_throttled_line_passes_so_many_bytes_a_second() {
    let bed = Bed::new();
    let (mut client, mut server) = bed.pair();
    bed.proxy.throttle(ToServer, Some(100_000));
    let began = Instant::now();
    client.write_all(&[7; 50_000]).unwrap();
    receive(&mut server, 50_000);
    // The last piece (a twentieth of a second) is not waited for.
    assert!(began.elapsed() >= Duration::from_millis(440), "{:?}", began.elapsed());
}

#[test]
fn a_stalled_line_fills_and_loses_nothing() {
    let bed = Bed::new();
    let (mut client, mut server) = bed.pair();
    bed.proxy.stall(ToServer);
    client.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut sent: u64 = 0;
    let piece: Vec<u8> = (0..=250).collect();
    loop {
        // Whole pieces may be cut when the line is full: what follows does not matter.
        match client.write(&piece[(sent % 251) as usize..]) {
            Ok(written) => sent += written as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(is_silent(&mut server));
    assert_eq!(bed.proxy.traffic(ToServer).passed, 0);
    // The other direction goes on.
    server.write_all(b"still here").unwrap();
    assert_eq!(receive(&mut client, 10), b"still here");
    bed.proxy.heal();
    client.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    server.read_to_end(&mut received).unwrap();
    assert_eq!(received.len() as u64, sent);
    assert!(received.iter().enumerate().all(|(at, byte)| at % 251 == usize::from(*byte)));
}

#[test]
fn what_is_discarded_is_gone_and_the_end_comes_later() {
    let bed = Bed::new();
    let (mut client, mut server) = bed.pair();
    bed.proxy.discard(ToServer);
    client.write_all(b"lost").unwrap();
    wait::until("it was taken", || bed.proxy.traffic(ToServer).read == 4);
    client.shutdown(Shutdown::Write).unwrap();
    assert!(is_silent(&mut server));
    bed.proxy.heal();
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    assert_eq!(bed.proxy.traffic(ToServer).passed, 0);
}

#[test]
fn nobody_hears_the_other_on_a_half_open_line() {
    let bed = Bed::new();
    let (mut client, mut server) = bed.pair();
    bed.proxy.half_open();
    server.write_all(b"unheard").unwrap();
    assert!(is_silent(&mut client));
    drop(client);
    assert!(is_silent(&mut server));
    // A new connection is taken, and leads nowhere.
    let mut late = bed.client();
    late.write_all(b"hello?").unwrap();
    bed.listener.set_nonblocking(true).unwrap();
    assert!(is_silent(&mut late));
    assert_eq!(bed.listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    bed.listener.set_nonblocking(false).unwrap();
    // Once it is healed, the server learns that the client has gone.
    bed.proxy.heal();
    let ended = server.read(&mut [0]);
    assert!(matches!(&ended, Ok(0) | Err(_)), "{ended:?}");
    let (mut accepted, _) = bed.listener.accept().unwrap();
    assert_eq!(receive(&mut accepted, 6), b"hello?");
}

#[test]
fn a_cut_is_a_reset_at_both_ends_and_new_connections_work() {
    let bed = Bed::new();
    let (mut client, mut server) = bed.pair();
    client.write_all(b"x").unwrap();
    receive(&mut server, 1);
    bed.proxy.cut();
    for end in [&mut client, &mut server] {
        assert_eq!(end.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    let (mut client, mut server) = bed.pair();
    client.write_all(b"y").unwrap();
    assert_eq!(receive(&mut server, 1), b"y");
}

#[test]
fn one_half_can_be_closed() {
    let bed = Bed::new();
    let (mut client, mut server) = bed.pair();
    client.write_all(b"x").unwrap();
    receive(&mut server, 1);
    bed.proxy.half_close(ToServer);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    // What the client says is lost, what the server says is not.
    client.write_all(b"lost").unwrap();
    server.write_all(b"heard").unwrap();
    assert_eq!(receive(&mut client, 5), b"heard");
    drop(client);
    wait::until("the proxy has closed, too", || {
        server.write_all(b"anybody?").is_err() && bed.proxy.connections().open == 0
    });
}

#[test]
fn one_byte_is_another_one() {
    let bed = Bed::new();
    let (mut client, mut server) = bed.pair();
    bed.proxy.corrupt_at(ToServer, 5);
    client.write_all(&[0; 4]).unwrap();
    assert_eq!(receive(&mut server, 4), [0; 4]);
    client.write_all(&[0; 4]).unwrap();
    assert_eq!(receive(&mut server, 4), [0, 1, 0, 0]);
    bed.proxy.corrupt_next(ToClient);
    server.write_all(&[8]).unwrap();
    server.write_all(&[8]).unwrap();
    assert_eq!(receive(&mut client, 2), [9, 8]);
}

#[test]
fn new_connections_are_refused_and_old_ones_stay() {
    let bed = Bed::new();
    let (mut client, mut server) = bed.pair();
    bed.proxy.refuse(true);
    let refused = TcpStream::connect(bed.proxy.address()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    client.write_all(b"x").unwrap();
    assert_eq!(receive(&mut server, 1), b"x");
    bed.proxy.refuse(false);
    let (mut client, mut server) = bed.pair();
    client.write_all(b"y").unwrap();
    assert_eq!(receive(&mut server, 1), b"y");
}

#[test]
fn a_server_that_is_gone_is_a_reset_and_another_one_can_take_over() {
    let bed = Bed::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    bed.proxy.redirect(gone);
    assert!(bed.client().read(&mut [0]).is_err());
    bed.proxy.redirect(other.local_addr().unwrap());
    let mut client = bed.client();
    other.accept().unwrap().0.write_all(b"other").unwrap();
    assert_eq!(receive(&mut client, 5), b"other");
}
