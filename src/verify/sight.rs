//! The sight of a verification: it knows nothing beforehand, keeps nothing, and has every block read
//! by worker threads.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::inventory::Inventory;
use crate::object::Object;
use crate::seafile::check::Fault;
use crate::seafile::folders::ObjectFolders;
use crate::walk::{
    self, BadObject, Group, Known, Need, Outcome, Rescue, Sight, Trouble, Walk, WalkError,
};

/// Blocks that may wait for a worker.
const QUEUE: usize = 256;

/// A block that was there when the walk looked, and turned out to be bad or gone.
pub(super) type BlockTrouble = (Object, Trouble);

/// What a walk of some groups led to.
pub(super) struct Looked {
    /// What the walk of each group found.
    pub outcomes: Vec<Outcome>,
    /// What the workers found.
    pub blocks: Vec<BlockTrouble>,
    /// Bytes read.
    pub bytes: u64,
    /// Blocks whose ids prove nothing.
    pub unverifiable: u64,
}

/// How blocks are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Threads.
    pub workers: usize,
    /// Pro with `skip_block_hash`.
    pub random_block_ids: bool,
}

/// The workers have stopped, and have said why.
#[derive(Debug)]
pub(super) struct Stopped;

/// Walks groups, and returns once every block is read. The inventory lists each group's stores
/// while what its walk reached is known.
pub(super) fn look(
    source: &ObjectFolders,
    groups: &[Group<'_>],
    reading: Reading,
    mut inventory: Option<&mut Inventory>,
) -> io::Result<Looked> {
    let readers = Readers {
        source,
        random_block_ids: reading.random_block_ids,
        bytes: AtomicU64::new(0),
        unverifiable: AtomicU64::new(0),
        has_failed: AtomicBool::new(false),
        troubles: Mutex::default(),
        failure: Mutex::default(),
    };
    let (sender, receiver) = bounded(QUEUE);
    let outcomes = thread::scope(|scope| {
        for _ in 0..reading.workers.max(1) {
            let receiver = receiver.clone();
            scope.spawn(|| readers.read_all(receiver));
        }
        drop(receiver);
        let sight = VerifySight {
            readers: &readers,
            blocks: sender,
        };
        let walk = Walk::new(source, &sight);
        groups
            .iter()
            .map(|group| {
                let (outcome, reached) = walk.group_reaching(group)?;
                if let Some(inventory) = inventory.as_deref_mut() {
                    inventory.group(source, group, &reached);
                }
                Ok(outcome)
            })
            .collect::<Result<Vec<_>, _>>()
    });
    if let Some(error) = lock(&readers.failure).take() {
        return Err(error);
    }
    let outcomes = outcomes.map_err(|error| match error {
        WalkError::Source(error) => error,
        WalkError::Sight(Stopped) => io::Error::other("the threads that read blocks stopped"),
    })?;
    Ok(Looked {
        outcomes,
        blocks: readers
            .troubles
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner),
        bytes: readers.bytes.into_inner(),
        unverifiable: readers.unverifiable.into_inner(),
    })
}

/// What walk and workers share.
struct Readers<'a> {
    source: &'a ObjectFolders,
    random_block_ids: bool,
    bytes: AtomicU64,
    unverifiable: AtomicU64,
    has_failed: AtomicBool,
    troubles: Mutex<Vec<BlockTrouble>>,
    failure: Mutex<Option<io::Error>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Readers<'_> {
    fn read_all(&self, blocks: Receiver<Object>) {
        for object in blocks {
            match self.judge(&object) {
                Ok(None) => {}
                Ok(Some(trouble)) => lock(&self.troubles).push((object, trouble)),
                Err(error) => {
                    lock(&self.failure).get_or_insert(error);
                    self.has_failed.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
    }

    /// Reads and verifies a block.
    fn judge(&self, object: &Object) -> io::Result<Option<Trouble>> {
        let read = walk::read_checked(self.source, object)?;
        let bytes = match &read {
            Ok((_, bytes)) => Some(bytes),
            Err(bad) => bad.bytes.as_ref(),
        };
        let length = bytes.map_or(0, Vec::len) as u64;
        self.bytes.fetch_add(length, Ordering::Relaxed);
        Ok(match read {
            Ok(_) => None,
            Err(BadObject {
                trouble: Trouble::Bad(Fault::WrongId { .. }),
                ..
            }) if self.random_block_ids => {
                self.unverifiable.fetch_add(1, Ordering::Relaxed);
                None
            }
            Err(bad) => Some(bad.trouble),
        })
    }
}

/// The sight itself.
struct VerifySight<'a> {
    readers: &'a Readers<'a>,
    blocks: Sender<Object>,
}

impl Sight for VerifySight<'_> {
    type Error = Stopped;

    fn known(&self, _: &Object) -> Result<Option<Known>, Stopped> {
        Ok(None)
    }

    fn visit(&self, _: &Object) -> Result<(), Stopped> {
        Ok(())
    }

    fn keep(&self, _: Object, bytes: Vec<u8>) -> Result<(), Stopped> {
        self.readers
            .bytes
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn keep_block(&self, object: Object, _: Need) -> Result<(), Stopped> {
        if self.readers.has_failed.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        self.blocks.send(object).map_err(|_| Stopped)
    }

    fn salvage(&self, _: Object, bytes: Vec<u8>) -> Result<(), Stopped> {
        self.readers
            .bytes
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn rescue(&self, _: &Object) -> Result<Rescue, Stopped> {
        Ok(Rescue::Nothing)
    }
}
