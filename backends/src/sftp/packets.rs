//! Rewrites the packets of servers that the SFTP library would not understand.
//!
//! russh-sftp 3.0.1 accepts only the status numbers 0 to 8, wants a text and a language in every
//! status, and wants handles in UTF-8. Anything else ends its reader, and with it the session.
//! Servers send more. A Hetzner Storage Box answers 11 for a name that is taken; others and Windows
//! servers answer 10 to 31 (the numbers of later drafts of the protocol). Old servers leave out the
//! text, and handles are any bytes. So this stream stands between the channel and the library:
//!
//! * Every status gets a number that the library knows, and the text `<the server's number> <its text>`
//!   ([`number_and_text`] takes it apart).
//! * A handle that is not plain text becomes [`MARK`] and its bytes in hexadecimal. Requests with such a
//!   handle get the bytes back.
//!
//! All other packets pass unchanged and without a copy.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A packet's length and kind.
const HEAD: usize = 5;
/// The longest packet that is rewritten: a status or a handle.
const LONGEST: usize = 64 * 1024;
/// The longest handle (draft-ietf-secsh-filexfer-02, section 6.2).
const LONGEST_HANDLE: usize = 256;
/// The longest text of a status that is passed on.
const LONGEST_TEXT: usize = 4096;
/// Before a handle that is written in hexadecimal.
const MARK: u8 = 1;

/// What a server answers.
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
/// Requests that begin with a handle: close, read, write, fstat, fsetstat, readdir.
const WITH_HANDLE: [u8; 6] = [4, 5, 6, 8, 10, 12];
/// A request that begins with a name, and after it, for [`SYNC`], has a handle.
const EXTENDED: u8 = 200;
const SYNC: &[u8] = b"fsync@openssh.com";
/// The largest number of a status that the library knows, and what it calls a failure of no known kind.
const LARGEST_KNOWN: u32 = 8;
const FAILURE: u32 = 4;

/// A stream whose packets the library understands.
pub(super) struct Packets<S> {
    inner: S,
    incoming: Incoming,
    outgoing: OutgoingPackets,
}

/// What the server sends.
#[derive(Default)]
struct Incoming {
    /// The packet that is being gathered, and how long it will be.
    packet: Vec<u8>,
    wanted: usize,
    /// What goes to the library next, and how much of it went.
    ready: Vec<u8>,
    gone: usize,
    /// How many bytes after that pass as they are.
    passing: usize,
}

/// What the library sends. It writes one packet at a time.
#[derive(Default)]
struct OutgoingPackets {
    /// A rewritten beginning, how much of it was sent, and of how many bytes it is made.
    head: Vec<u8>,
    sent: usize,
    taken: usize,
    /// How many bytes of this packet still pass as they are.
    passing: usize,
}

impl<S> Packets<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, incoming: Incoming::default(), outgoing: OutgoingPackets::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Packets<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { inner, incoming, .. } = self.get_mut();
        loop {
            if incoming.give(buffer) || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if incoming.passing > 0 {
                let room = incoming.passing.min(buffer.remaining());
                let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
                ready!(Pin::new(&mut *inner).poll_read(context, &mut part))?;
                let read = part.filled().len();
                buffer.advance(read);
                incoming.passing -= read;
                return Poll::Ready(Ok(()));
            }
            let mut bytes = [0; 1024];
            let room = incoming.missing().min(bytes.len());
            let mut part = ReadBuf::new(&mut bytes[..room]);
            ready!(Pin::new(&mut *inner).poll_read(context, &mut part))?;
            if part.filled().is_empty() {
                // The library tells an end between packets from one inside.
                incoming.ready = std::mem::take(&mut incoming.packet);
                incoming.give(buffer);
                return Poll::Ready(Ok(()));
            }
            incoming.packet.extend_from_slice(part.filled());
            if incoming.missing() == 0 {
                incoming.complete()?;
            }
        }
    }
}

impl Incoming {
    /// Copies bytes that are ready into the caller's buffer; false if there were none.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let rest = &self.ready[self.gone..];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.gone += count;
        if self.gone == self.ready.len() {
            self.ready.clear();
            self.gone = 0;
        }
        count > 0
    }

    fn missing(&self) -> usize {
        self.wanted.max(HEAD) - self.packet.len()
    }

    /// What was gathered is a head, or a whole packet.
    fn complete(&mut self) -> io::Result<()> {
        if self.wanted == 0 {
            let (len, kind) = head(&self.packet).ok_or_else(|| bad("an empty packet"))?;
            if !matches!(kind, STATUS | HANDLE) {
                self.passing = len - 1;
                self.ready.append(&mut self.packet);
                return Ok(());
            }
            if len > LONGEST {
                return Err(bad("a status or a handle of more than 64 KiB"));
            }
            self.wanted = 4 + len;
            if self.missing() > 0 {
                return Ok(());
            }
        }
        let body = &self.packet[HEAD..];
        self.ready = match self.packet[4] {
            STATUS => status(body)?,
            _ => handle(body)?,
        };
        self.packet.clear();
        self.wanted = 0;
        Ok(())
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Packets<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { inner, outgoing, .. } = self.get_mut();
        if outgoing.head.is_empty() && outgoing.passing == 0 {
            outgoing.begin(bytes)?;
        }
        if outgoing.head.is_empty() {
            let part = &bytes[..bytes.len().min(outgoing.passing)];
            let sent = ready!(Pin::new(inner).poll_write(context, part))?;
            outgoing.passing -= sent;
            return Poll::Ready(Ok(sent));
        }
        // Report the bytes as written only after their rewritten form is sent: the library does not
        // flush.
        while outgoing.sent < outgoing.head.len() {
            let rest = &outgoing.head[outgoing.sent..];
            let sent = ready!(Pin::new(&mut *inner).poll_write(context, rest))?;
            if sent == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            outgoing.sent += sent;
        }
        outgoing.head.clear();
        outgoing.sent = 0;
        Poll::Ready(Ok(outgoing.taken))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

impl OutgoingPackets {
    /// Looks at the beginning of a packet.
    fn begin(&mut self, packet: &[u8]) -> io::Result<()> {
        let Some((len, kind)) = head(packet) else {
            self.passing = packet.len();
            return Ok(());
        };
        self.passing = 4 + len;
        let Some(at) = place_of_handle(kind, packet) else {
            return Ok(());
        };
        let Some(shown) = text_at(packet, at) else {
            return Ok(());
        };
        let Some((&MARK, hex)) = shown.split_first() else {
            return Ok(());
        };
        let raw = unhex(hex).ok_or_else(|| bad("a handle that nobody gave"))?;
        self.taken = at + 4 + shown.len();
        let shorter = shown.len() - raw.len();
        self.head.extend((long(len) - long(shorter)).to_be_bytes());
        self.head.extend_from_slice(&packet[4..at]);
        put_text(&mut self.head, &raw);
        self.passing = 4 + len - self.taken;
        Ok(())
    }
}

/// The number and the text of a status that went through [`Packets`]; none of any other text.
pub(super) fn number_and_text(text: &str) -> Option<(u32, &str)> {
    let (number, text) = text.split_once(' ')?;
    Some((number.parse().ok()?, text))
}

/// A status for the library.
fn status(body: &[u8]) -> io::Result<Vec<u8>> {
    let (Some(id), Some(number)) = (number_at(body, 0), number_at(body, 4)) else {
        return Err(bad("a status without a number"));
    };
    // Servers of the first versions leave it out.
    let said = text_at(body, 8).unwrap_or_default();
    let said = String::from_utf8_lossy(&said[..said.len().min(LONGEST_TEXT)]);
    let known = if number > LARGEST_KNOWN { FAILURE } else { number };
    let mut packet = vec![STATUS];
    packet.extend(id.to_be_bytes());
    packet.extend(known.to_be_bytes());
    put_text(&mut packet, format!("{number} {said}").as_bytes());
    put_text(&mut packet, b"");
    Ok(framed(&packet))
}

/// A handle for the library.
fn handle(body: &[u8]) -> io::Result<Vec<u8>> {
    let (Some(id), Some(raw)) = (number_at(body, 0), text_at(body, 4)) else {
        return Err(bad("an answer without a handle"));
    };
    if raw.len() > LONGEST_HANDLE {
        return Err(bad("a handle of more than 256 bytes"));
    }
    let is_plain = raw.first() != Some(&MARK) && std::str::from_utf8(raw).is_ok();
    let mut packet = vec![HANDLE];
    packet.extend(id.to_be_bytes());
    if is_plain {
        put_text(&mut packet, raw);
    } else {
        put_text(&mut packet, &hexed(raw));
    }
    Ok(framed(&packet))
}

fn framed(packet: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(packet.len() + 4);
    put_text(&mut framed, packet);
    framed
}

/// The length and the kind of a packet.
fn head(packet: &[u8]) -> Option<(usize, u8)> {
    let len = usize::try_from(number_at(packet, 0)?).ok()?;
    Some((len, *packet.get(4)?)).filter(|_| len > 0)
}

/// Where a request has its handle.
fn place_of_handle(kind: u8, packet: &[u8]) -> Option<usize> {
    const AFTER_ID: usize = HEAD + 4;
    if WITH_HANDLE.contains(&kind) {
        return Some(AFTER_ID);
    }
    let is_sync = kind == EXTENDED && text_at(packet, AFTER_ID)? == SYNC;
    is_sync.then_some(AFTER_ID + 4 + SYNC.len())
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// A length and so many bytes.
fn text_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let len = usize::try_from(number_at(bytes, at)?).ok()?;
    let begin = at + 4;
    bytes.get(begin..begin.checked_add(len)?)
}

fn put_text(packet: &mut Vec<u8>, text: &[u8]) {
    packet.extend(long(text.len()).to_be_bytes());
    packet.extend_from_slice(text);
}

/// A length that a packet's bounds keep small.
fn long(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn hexed(raw: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| DIGITS[usize::from(half & 15)];
    let pairs = raw.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]);
    std::iter::once(MARK).chain(pairs).collect()
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8]| u8::try_from(digit(pair[0])? * 16 + digit(*pair.get(1)?)?).ok();
    text.chunks(2).map(byte).collect()
}

fn bad(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the server sends {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::runtime::block_on;

    fn packet(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
        let mut body = vec![kind];
        body.extend(fields.concat());
        framed(&body)
    }

    fn text(bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        put_text(&mut text, bytes);
        text
    }

    /// What the library reads of what a server sends, in parts of some length.
    fn read(sent: Vec<u8>, part: usize) -> io::Result<Vec<u8>> {
        block_on(async move {
            let (mut server, client) = tokio::io::duplex(part);
            let sending = tokio::spawn(async move {
                // A reader that stopped at an error is no matter.
                let _ = server.write_all(&sent).await;
            });
            // The library asks for a few bytes at a time, too.
            let mut client = Packets::new(client);
            let (mut read, mut bytes) = (Vec::new(), vec![0; part.min(200)]);
            let result = loop {
                match client.read(&mut bytes).await {
                    Ok(0) => break Ok(read),
                    Ok(count) => read.extend_from_slice(&bytes[..count]),
                    Err(error) => break Err(error),
                }
            };
            drop(client);
            sending.await.unwrap();
            result
        })
        .unwrap()
    }

    /// What a server gets of a packet that the library writes.
    fn written(packets: &[Vec<u8>], part: usize) -> Vec<u8> {
        block_on(async {
            let (mut server, client) = tokio::io::duplex(part);
            let packets = packets.to_vec();
            let sending = tokio::spawn(async move {
                let mut client = Packets::new(client);
                for packet in packets {
                    client.write_all(&packet).await.unwrap();
                }
            });
            let mut got = Vec::new();
            server.read_to_end(&mut got).await.unwrap();
            sending.await.unwrap();
            got
        })
        .unwrap()
    }

    fn status_packet(number: u32, more: &[&[u8]]) -> Vec<u8> {
        let fields = [&7u32.to_be_bytes()[..], &number.to_be_bytes()];
        packet(STATUS, &[&fields[..], more].concat())
    }

    #[test]
    fn every_number_becomes_one_that_the_library_knows() {
        for number in (0..=32).chain([100, u32::MAX]) {
            let sent = status_packet(number, &[&text(b"why"), &text(b"en")]);
            let read = read(sent, 3).unwrap();
            let known = if number <= 8 { number } else { 4 };
            let said = format!("{number} why");
            assert_eq!(number_and_text(&said), Some((number, "why")));
            let expected = status_packet(known, &[&text(said.as_bytes()), &text(b"")]);
            assert_eq!(read, expected, "{number}");
        }
    }

    #[test]
    fn a_status_may_have_no_text_a_broken_or_a_long_one() {
        for (more, said) in [
            (vec![], "3 ".to_owned()),
            (text(b"x"), "3 x".to_owned()),
            (vec![0, 0, 0, 9, b'x'], "3 ".to_owned()),
            (text(b"\xff"), "3 \u{fffd}".to_owned()),
            (text(&[b'x'; 9000]), format!("3 {}", "x".repeat(LONGEST_TEXT))),
        ] {
            let read = read(status_packet(3, &[&more]), 100).unwrap();
            assert_eq!(read, status_packet(3, &[&text(said.as_bytes()), &text(b"")]));
        }
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for sent in [
            vec![0, 0, 0, 0, 0],
            packet(STATUS, &[&[0; 7]]),
            packet(HANDLE, &[&[0; 7]]),
            packet(HANDLE, &[&[0; 4], &text(&[b'x'; LONGEST_HANDLE + 1])]),
            packet(STATUS, &[&vec![0; LONGEST]]),
        ] {
            let error = read(sent, 4096).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        }
    }

    #[test]
    fn packets_follow_one_another() {
        let answer = |number, said: &[u8]| status_packet(number, &[&text(said), &text(b"")]);
        let other = packet(105, &[&[1; 40]]);
        let sent = [answer(0, b""), answer(11, b"x"), other.clone(), answer(1, b"y")].concat();
        let expected = [answer(0, b"0 "), answer(4, b"11 x"), other, answer(1, b"1 y")].concat();
        for part in 1..100 {
            assert_eq!(read(sent.clone(), part).unwrap(), expected, "{part}");
        }
    }

    #[test]
    fn an_end_inside_a_packet_stays_one() {
        let whole = status_packet(3, &[&text(b"x"), &text(b"")]);
        for len in [0, 3, 5, 12] {
            assert_eq!(read(whole[..len].to_vec(), 64).unwrap(), whole[..len]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever a handle is, the server gets it back, and all else passes as it is.
        #[test]
        fn handles_come_back(
            raw in proptest::collection::vec(any::<u8>(), 0..=LONGEST_HANDLE),
            data in proptest::collection::vec(any::<u8>(), 0..3000),
            part in 1_usize..200,
        ) {
            let id = 9_u32.to_be_bytes();
            let other = packet(103, &[&id, &text(&data)]);
            let sent = [packet(HANDLE, &[&id, &text(&raw)]), other.clone()].concat();
            let read = read(sent, part).unwrap();
            let (len, _) = head(&read).unwrap();
            prop_assert_eq!(&read[4 + len..], &other[..]);
            let shown = text_at(&read, HEAD + 4).unwrap().to_vec();
            prop_assert!(std::str::from_utf8(&shown).is_ok());
            let requests = |handle: &[u8]| -> Vec<Vec<u8>> {
                let (handle, offset) = (text(handle), [0; 8]);
                let mut requests: Vec<_> = WITH_HANDLE
                    .iter()
                    .map(|kind| packet(*kind, &[&id, &handle, &offset, &text(&data)]))
                    .collect();
                requests.push(packet(EXTENDED, &[&id, &text(SYNC), &handle]));
                requests.push(packet(EXTENDED, &[&id, &text(b"other@x"), &text(&data)]));
                requests.push(packet(3, &[&id, &text(b"/path"), &data]));
                requests
            };
            prop_assert_eq!(written(&requests(&shown), part), requests(&raw).concat());
        }
    }
}
