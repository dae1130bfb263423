//! The sight of a verification. It knows nothing, stores nothing, and has worker threads read every
//! block.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::inventory::Inventory;
use crate::object::Object;
use crate::seafile::check::ObjectFault;
use crate::seafile::folders::ObjectFolders;
use crate::walk::{
    self, BadObject, GroupOutcome, KnownObject, LibraryGroup, Need, ObjectDamage, Rescue, Sight,
    Walk, WalkError,
};

/// How many blocks may wait for a worker.
const QUEUE: usize = 256;

/// A block that existed when the walk looked, and that a worker found bad or gone.
pub(super) type BlockTrouble = (Object, ObjectDamage);

/// The result of walking some groups.
pub(super) struct WalkedGroups {
    /// What the walk of each group found.
    pub outcomes: Vec<GroupOutcome>,
    /// The bad blocks that workers found.
    pub blocks: Vec<BlockTrouble>,
    /// Bytes read.
    pub bytes: u64,
    /// How many blocks have ids that prove nothing.
    pub unverifiable: u64,
}

/// How blocks are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockReading {
    /// How many threads.
    pub workers: usize,
    /// Pro's `skip_block_hash`: the id of a block proves nothing.
    pub random_block_ids: bool,
}

/// The workers stopped because the source is out of reach. Their error has the reason.
#[derive(Debug)]
pub(super) struct Stopped;

/// Walks groups, and returns once every block was read. After each group's walk the inventory lists
/// its stores, while it is known what the walk reached.
pub(super) fn look(
    source: &ObjectFolders,
    groups: &[LibraryGroup<'_>],
    reading: BlockReading,
    mut inventory: Option<&mut Inventory>,
) -> io::Result<WalkedGroups> {
    let readers = SharedReaders {
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
        let sight = VerifySight { readers: &readers, blocks: sender };
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
    Ok(WalkedGroups {
        outcomes,
        blocks: readers.troubles.into_inner().unwrap_or_else(PoisonError::into_inner),
        bytes: readers.bytes.into_inner(),
        unverifiable: readers.unverifiable.into_inner(),
    })
}

/// What the walk and its workers share.
struct SharedReaders<'a> {
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

impl SharedReaders<'_> {
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

    /// Reads and verifies a block; `None`: it is good, or its id proves nothing.
    fn judge(&self, object: &Object) -> io::Result<Option<ObjectDamage>> {
        let read = walk::read_checked(self.source, object)?;
        let bytes = match &read {
            Ok((_, bytes)) => Some(bytes),
            Err(bad) => bad.bytes.as_ref(),
        };
        let length = bytes.map_or(0, Vec::len) as u64;
        self.bytes.fetch_add(length, Ordering::Relaxed);
        Ok(match read {
            Ok(_) => None,
            Err(BadObject { trouble: ObjectDamage::Bad(ObjectFault::WrongId { .. }), .. })
                if self.random_block_ids =>
            {
                self.unverifiable.fetch_add(1, Ordering::Relaxed);
                None
            }
            Err(bad) => Some(bad.trouble),
        })
    }
}

/// The walk's side: it sends each block to the workers.
struct VerifySight<'a> {
    readers: &'a SharedReaders<'a>,
    blocks: Sender<Object>,
}

impl Sight for VerifySight<'_> {
    type Error = Stopped;

    fn known(&self, _: &Object) -> Result<Option<KnownObject>, Stopped> {
        Ok(None)
    }

    fn visit(&self, _: &Object) -> Result<(), Stopped> {
        Ok(())
    }

    fn keep(&self, _: Object, bytes: Vec<u8>) -> Result<(), Stopped> {
        self.readers.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn keep_block(&self, object: Object, _: Need) -> Result<(), Stopped> {
        if self.readers.has_failed.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        self.blocks.send(object).map_err(|_| Stopped)
    }

    fn salvage(&self, _: Object, bytes: Vec<u8>) -> Result<(), Stopped> {
        self.readers.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn rescue(&self, _: &Object) -> Result<Rescue, Stopped> {
        Ok(Rescue::Nothing)
    }
}
