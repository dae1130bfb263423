//! What one thread writes and another takes, in pieces.

use std::io::{self, Write};
use std::sync::mpsc::SyncSender;

/// The length of a piece.
const PIECE: usize = 1 << 20;

/// Collects what is written into pieces for another thread.
pub(super) struct Pieces {
    sender: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
}

impl Pieces {
    /// Nothing yet.
    pub(super) fn new(sender: SyncSender<Vec<u8>>) -> Self {
        Self {
            sender,
            piece: Vec::new(),
        }
    }

    /// Hands over what there is.
    pub(super) fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        self.sender
            .send(piece)
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
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
