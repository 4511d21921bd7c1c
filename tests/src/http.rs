//! A client that says exactly what it is told to: each request on a connection of its own, over a plain socket.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// How long an answer may take before the test has gone wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names, in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// What follows.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body, for people.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }
}

/// One request.
///
/// # Panics
/// Where nobody listens, or nothing that makes sense comes back.
pub fn ask(
    address: &str,
    method: &str,
    host: &str,
    path: &str,
    headers: &[&str],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    say(address, head.as_bytes(), body)
}

/// Says these bytes, and reads the answer to the end.
///
/// # Panics
/// Where nobody listens, or nothing that makes sense comes back.
pub fn say(address: &str, head: &[u8], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time can be set");
    stream.write_all(head).expect("a request can be sent");
    // A server that refuses a long body may close before it has read all of it.
    let _ = stream.write_all(body);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    parse(bytes).unwrap_or_else(|bytes| {
        panic!("no response: {}", String::from_utf8_lossy(&bytes));
    })
}

fn parse(mut bytes: Vec<u8>) -> Result<Answer, Vec<u8>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Err(bytes);
    };
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).map_err(|error| error.into_bytes())?;
    let mut lines = head.trim_end().split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.get(9..12)?.parse().ok())
        .ok_or_else(|| head.clone().into_bytes())?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(Answer {
        status,
        headers,
        body,
    })
}
