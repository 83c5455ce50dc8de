//! JSON-RPC over HTTP/1.1, as lean as it can be: one request after the other on one connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;

/// A connection that is kept.
pub(crate) struct Http {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
    out: Vec<u8>,
}

impl Http {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream: BufReader::new(stream), address, out: Vec::new() })
    }

    /// Sends a request, and returns the answer.
    pub(crate) fn post(&mut self, body: &[u8]) -> Result<Vec<u8>, Failure> {
        self.out.clear();
        write!(
            self.out,
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        )?;
        self.out.extend_from_slice(body);
        self.stream.get_mut().write_all(&self.out)?;
        let mut length = None;
        let mut line = String::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err("the node closed the connection".into());
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.trim().parse()?);
            }
        }
        let mut answer = vec![0; length.ok_or("an answer without a length")?];
        self.stream.read_exact(&mut answer)?;
        Ok(answer)
    }
}
