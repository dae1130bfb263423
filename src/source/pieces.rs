//! Passes bytes in pieces from a thread that writes them to another thread.

use std::io::{self, Write};
use std::sync::mpsc::SyncSender;

/// The least length of a piece, in bytes; only the last may be shorter.
const PIECE: usize = 1 << 20;

/// A writer that collects bytes into pieces and sends them to another thread. Call [`Pieces::send`]
/// at the end.
pub(super) struct Pieces {
    sender: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
}

impl Pieces {
    /// A writer without any bytes yet.
    pub(super) fn new(sender: SyncSender<Vec<u8>>) -> Self {
        Self { sender, piece: Vec::new() }
    }

    /// Sends the bytes that were collected. Fails if the other thread has ended.
    pub(super) fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        self.sender.send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
