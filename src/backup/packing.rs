//! The pipeline of a backup: objects go in, packs arrive at the destination.
//!
//! One thread packs commits and fs objects as the walk hands them over. Several threads read,
//! verify and pack blocks. Further threads put finished packs, as many at a time as the destination
//! takes. Memory is bounded: at most one pack and one object for each worker, and one pack for each
//! put.

mod open;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use open::OpenPack;
use seawall_backends::put_same;

use super::heartbeat::Heartbeat;
use super::salvaged::SalvagedObjects;
use crate::crypt::Content;
use crate::host;
use crate::host::catalog::{Catalog, NewPack};
use crate::object::{Object, Sha256};
use crate::repository::names::{self, PackKind};
use crate::repository::pack::{self, MemberName, Pack};
use crate::repository::{self, Repository};
use crate::seafile::check::ObjectFault;
use crate::seafile::folders::ObjectFolders;
use crate::walk::{self, BadObject, Need, ObjectDamage};

/// Stored bytes at which a pack is finished.
pub const PACK_BYTES: u64 = 32 << 20;
/// Bytes of a frame before compression.
const FRAME_BYTES: usize = 1 << 20;
/// How many names of blocks may wait for a worker. A library's folders hold many files, then many
/// folders.
const QUEUE: usize = 4096;
/// Commits and fs objects are handed over in batches of this many objects, or this many bytes. Most
/// are tiny, and it costs more to wake a thread than to read one.
const BATCH: usize = 128;
const BATCH_BYTES: usize = 64 << 10;
/// How many batches may wait.
const TREE_QUEUE: usize = 16;

/// What the workers share.
struct PipelineShared {
    repository: Repository,
    catalog: Arc<Catalog>,
    source: Arc<ObjectFolders>,
    /// Pro with `skip_block_hash`: a block's id may be random.
    random_block_ids: bool,
    level: i32,
    walked: bool,
    failure: Mutex<Option<PackingError>>,
    failed: AtomicBool,
    troubles: Mutex<Vec<ObjectTrouble>>,
    salvaged: Arc<SalvagedObjects>,
    totals: Mutex<PackingTotals>,
    heartbeat: Arc<Heartbeat>,
}

/// What was stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct PackingTotals {
    /// Packs put.
    pub packs: u64,
    /// Their bytes.
    pub packed_bytes: u64,
    /// Objects in them.
    pub objects: u64,
    /// Bytes of these objects in the source.
    pub object_bytes: u64,
    /// Blocks whose id proves nothing (Pro's `skip_block_hash`).
    pub unverifiable: u64,
}

impl PackingTotals {
    /// Adds what another pipeline stored.
    pub fn add(&mut self, other: Self) {
        self.packs += other.packs;
        self.packed_bytes += other.packed_bytes;
        self.objects += other.objects;
        self.object_bytes += other.object_bytes;
        self.unverifiable += other.unverifiable;
    }
}

/// A block that was there when the walk looked, and turned out to be bad or gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectTrouble {
    /// The block.
    pub object: Object,
    /// What is wrong.
    pub trouble: ObjectDamage,
    /// Whether that is damage. It is not if only history that may be collected needs the block.
    pub need: Need,
}

/// A commit or fs object to pack, or bad bytes to keep aside.
struct TreeItem {
    name: MemberName,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct TreeBatch {
    items: Vec<TreeItem>,
    bytes: usize,
}

/// How the pipeline is set up.
#[derive(Debug, Clone, Copy)]
pub struct PackingSettings {
    /// Threads that read and pack blocks.
    pub workers: usize,
    /// The zstd level.
    pub level: i32,
    /// Pro with `skip_block_hash`.
    pub random_block_ids: bool,
    /// Whether a walk leads to the objects, so that they close with the run. Otherwise they were
    /// listed.
    pub walked: bool,
}

/// A running pipeline.
pub struct Packer {
    shared: Arc<PipelineShared>,
    trees: Option<Sender<Vec<TreeItem>>>,
    /// The batch that is being filled.
    batch: Mutex<TreeBatch>,
    blocks: Option<Sender<(Object, Need)>>,
    /// The threads that pack, then those that put.
    threads: Vec<JoinHandle<()>>,
}

/// Why the pipeline stopped.
#[derive(Debug, thiserror::Error)]
pub enum PackingError {
    /// The destination, the catalog or a pack failed.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The source cannot be reached. A block that is missing is no such error.
    #[error("cannot read the installation's objects")]
    Source(#[source] std::io::Error),
}

impl From<repository::Error> for PackingError {
    fn from(error: repository::Error) -> Self {
        Self::Host(error.into())
    }
}

impl From<pack::Error> for PackingError {
    fn from(error: pack::Error) -> Self {
        repository::Error::from(error).into()
    }
}

impl From<seawall_backends::Error> for PackingError {
    fn from(error: seawall_backends::Error) -> Self {
        repository::Error::from(error).into()
    }
}

type Result<T, E = PackingError> = std::result::Result<T, E>;

/// The pipeline has stopped; [`Packer::finish`] tells why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipelineStopped;

impl Packer {
    /// Starts the threads.
    pub fn start(
        repository: &Repository,
        catalog: &Arc<Catalog>,
        source: &Arc<ObjectFolders>,
        heartbeat: &Arc<Heartbeat>,
        salvaged: &Arc<SalvagedObjects>,
        settings: PackingSettings,
    ) -> Self {
        let shared = Arc::new(PipelineShared {
            repository: repository.clone(),
            catalog: Arc::clone(catalog),
            source: Arc::clone(source),
            random_block_ids: settings.random_block_ids,
            level: settings.level,
            walked: settings.walked,
            failure: Mutex::new(None),
            failed: AtomicBool::new(false),
            troubles: Mutex::new(Vec::new()),
            totals: Mutex::new(PackingTotals::default()),
            heartbeat: Arc::clone(heartbeat),
            salvaged: Arc::clone(salvaged),
        });
        let (trees, tree_items) = bounded(TREE_QUEUE);
        let (blocks, block_items) = bounded(QUEUE);
        let (packs, finished) = bounded::<(PackKind, Pack)>(1);
        let mut threads = vec![shared.spawn({
            let packs = packs.clone();
            move |shared| shared.pack_trees(&tree_items, &packs)
        })];
        for _ in 0..settings.workers.max(1) {
            let (items, packs) = (block_items.clone(), packs.clone());
            threads.push(shared.spawn(move |shared| shared.pack_blocks(&items, &packs)));
        }
        for _ in 0..repository.connections() {
            let finished = finished.clone();
            threads.push(shared.spawn(move |shared| shared.put_packs(&finished)));
        }
        Self { shared, trees: Some(trees), batch: Mutex::default(), blocks: Some(blocks), threads }
    }

    /// Packs a verified commit or fs object.
    pub fn keep(&self, object: Object, bytes: Vec<u8>) -> Result<(), PipelineStopped> {
        self.send_tree(TreeItem { name: MemberName { object, damaged: false }, bytes })
    }

    /// Keeps bytes that failed their check, outside of the paths of objects.
    pub fn salvage(&self, object: Object, bytes: Vec<u8>) -> Result<(), PipelineStopped> {
        self.send_tree(TreeItem { name: MemberName { object, damaged: true }, bytes })
    }

    fn send_tree(&self, item: TreeItem) -> Result<(), PipelineStopped> {
        self.check()?;
        let full = {
            let mut batch = lock(&self.batch);
            batch.bytes += item.bytes.len();
            batch.items.push(item);
            (batch.items.len() >= BATCH || batch.bytes >= BATCH_BYTES)
                .then(|| std::mem::take(&mut *batch))
        };
        full.map_or(Ok(()), |batch| self.send_batch(batch))
    }

    fn send_batch(&self, batch: TreeBatch) -> Result<(), PipelineStopped> {
        let trees = self.trees.as_ref().ok_or(PipelineStopped)?;
        trees.send(batch.items).map_err(|_| PipelineStopped)
    }

    /// Reads, verifies and packs a block.
    pub fn keep_block(&self, object: Object, need: Need) -> Result<(), PipelineStopped> {
        self.check()?;
        self.blocks
            .as_ref()
            .ok_or(PipelineStopped)?
            .send((object, need))
            .map_err(|_| PipelineStopped)
    }

    fn check(&self) -> Result<(), PipelineStopped> {
        if self.shared.failed.load(Ordering::Relaxed) { Err(PipelineStopped) } else { Ok(()) }
    }

    /// Waits until everything is stored.
    pub fn finish(mut self) -> Result<(PackingTotals, Vec<ObjectTrouble>)> {
        self.join()?;
        if let Some(error) = lock(&self.shared.failure).take() {
            return Err(error);
        }
        Ok((*lock(&self.shared.totals), std::mem::take(&mut lock(&self.shared.troubles))))
    }

    fn join(&mut self) -> Result<()> {
        let last = std::mem::take(&mut *lock(&self.batch));
        // If the thread takes no more batches, it has failed, and its error is returned below.
        let _ = self.send_batch(last);
        self.trees = None;
        self.blocks = None;
        let mut result = Ok(());
        for thread in self.threads.drain(..) {
            result = thread
                .join()
                .map_err(|_| repository::Error::Worker("a thread that packs objects"))
                .and(result);
        }
        Ok(result?)
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        self.shared.failed.store(true, Ordering::Relaxed);
        // The walk failed, so errors of the threads do not matter any more.
        let _ = self.join();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PipelineShared {
    fn spawn(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<()> + Send + 'static,
    ) -> JoinHandle<()> {
        let shared = Arc::clone(self);
        std::thread::spawn(move || {
            if let Err(error) = work(&shared) {
                lock(&shared.failure).get_or_insert(error);
                shared.failed.store(true, Ordering::Relaxed);
            }
        })
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    fn pack_trees(
        &self,
        batches: &Receiver<Vec<TreeItem>>,
        packs: &Sender<(PackKind, Pack)>,
    ) -> Result<()> {
        let mut open = OpenPack::new(self, PackKind::Trees, packs)?;
        for batch in batches {
            if self.has_failed() {
                return Ok(());
            }
            for TreeItem { name, bytes } in batch {
                open.add(name, &bytes)?;
            }
        }
        open.finish()
    }

    fn pack_blocks(
        &self,
        items: &Receiver<(Object, Need)>,
        packs: &Sender<(PackKind, Pack)>,
    ) -> Result<()> {
        let mut open = OpenPack::new(self, PackKind::Blocks, packs)?;
        for (object, need) in items {
            if self.has_failed() {
                return Ok(());
            }
            match self.read_block(&object)? {
                Ok(bytes) => open.add(MemberName { object, damaged: false }, &bytes)?,
                Err(BadObject { trouble, bytes }) => {
                    if let Some(bytes) = bytes
                        && self.salvaged.is_new(object, Sha256::of(&bytes))
                    {
                        open.add(MemberName { object, damaged: true }, &bytes)?;
                    }
                    lock(&self.troubles).push(ObjectTrouble { object, trouble, need });
                }
            }
        }
        open.finish()
    }

    /// Reads a block, and checks its bytes against its name.
    fn read_block(&self, object: &Object) -> Result<Result<Vec<u8>, BadObject>> {
        let read =
            walk::read_checked(self.source.as_ref(), object).map_err(PackingError::Source)?;
        Ok(match read {
            Ok((_, bytes)) => Ok(bytes),
            Err(BadObject {
                trouble: ObjectDamage::Bad(ObjectFault::WrongId { .. }),
                bytes: Some(bytes),
            }) if self.random_block_ids => {
                lock(&self.totals).unverifiable += 1;
                Ok(bytes)
            }
            Err(bad) => Err(bad),
        })
    }

    fn put_packs(&self, packs: &Receiver<(PackKind, Pack)>) -> Result<()> {
        for (kind, pack) in packs {
            if self.has_failed() {
                return Ok(());
            }
            self.put_pack(kind, pack)?;
        }
        Ok(())
    }

    fn put_pack(&self, kind: PackKind, pack: Pack) -> Result<()> {
        let Pack { bytes, contents } = pack;
        let stored = self.repository.seal_file(Content::Data, bytes)?;
        let name = Sha256::of(&stored);
        let size = stored.len() as u64;
        // Recorded before the put: if its answer is lost, the next run finds the pack and adopts
        // it.
        self.catalog.add_pending(&NewPack {
            name,
            kind,
            size,
            contents: &contents,
            walked: self.walked,
        })?;
        let key = names::pack(kind, &name, self.repository.seal());
        put_same(self.repository.backend().as_ref(), &key, &stored)?;
        self.catalog.mark_stored(&name)?;
        self.heartbeat.beat()?;
        let mut totals = lock(&self.totals);
        totals.packs += 1;
        totals.packed_bytes += size;
        Ok(())
    }
}
