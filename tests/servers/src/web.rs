//! As much HTTP as tests need: a server that answers as a function says, and a plain request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::process::address;

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `PUT`.
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A parameter of the query, as sent.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// 200.
    pub status: u16,
    /// More headers than the length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The length to claim, if not the body's: then the connection is kept open (too long) or ends.
    pub claims: Option<usize>,
    /// Whether the connection ends without any answer.
    pub hangs_up: bool,
    /// Whether, with `claims`, nothing more comes and the connection stays.
    pub stalls: bool,
}

impl Answer {
    /// An answer with a body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    /// With a header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Serves until the process ends; returns the port.
pub fn serve(answer: impl Fn(Request) -> Answer + Send + Sync + 'static) -> u16 {
    crate::wait::step("serve HTTP");
    let listener = TcpListener::bind(address(0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                // A client that goes away ends its own connection only.
                let _ = converse(stream.unwrap(), &*answer);
            });
        }
    });
    port
}

fn converse(
    stream: TcpStream,
    answer: &(dyn Fn(Request) -> Answer + Send + Sync),
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(request) = read(&mut reader)? {
        let is_head = request.method == "HEAD";
        let answer = answer(request);
        if answer.hangs_up {
            return Ok(());
        }
        let len = answer.claims.unwrap_or(answer.body.len());
        let mut text = format!("HTTP/1.1 {} X\r\ncontent-length: {len}\r\n", answer.status);
        for (name, value) in &answer.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        if !is_head {
            bytes.extend(&answer.body);
        }
        writer.write_all(&bytes)?;
        if answer.stalls {
            // Until the client gives up.
            let _ = reader.read(&mut [0]);
            return Ok(());
        }
        if answer.claims.is_some() && !is_head {
            return Ok(());
        }
    }
    Ok(())
}

fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            None => break,
        }
    }
    let mut request = Request { method, target, headers, body: Vec::new() };
    let len = request.header("content-length").unwrap_or("0").parse();
    request.body = vec![0; len.unwrap_or(0)];
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}

/// A part of a URL without percent signs.
pub fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

/// A `PUT` without a body that has to succeed.
pub fn put(port: u16, path: &str) {
    let mut stream = TcpStream::connect(address(port)).unwrap();
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
}
