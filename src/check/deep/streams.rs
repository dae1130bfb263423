//! Decodes every dump and every tar of ordinary files to its end, each once.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use seawall_backends::Key;

use super::spool::failed;
use super::{DeepPass, pointers};
use crate::causes::chain;
use crate::check::data::Patience;
use crate::check::naming::trouble;
use crate::check::needs::NeedReading;
use crate::check::report::ProblemKind;
use crate::database::mysql::DumpText;
use crate::database::{self, Pointers};
use crate::object::Sha256;
use crate::repository::manifest::{self, Database, FileGroup, Manifest, Part};
use crate::repository::names::{self, SnapshotId};
use crate::repository::pool;
use crate::repository::stream::{self, Broken, StreamDigest};
use crate::repository::{Error, Repository, Result};
use crate::source::databases::SEAFILE;
use crate::unpack::{self, TarLimits};

/// What some parts form together.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stream {
    Dump(Database),
    Files(FileGroup),
}

/// A stream, and the snapshots whose manifests describe it so.
struct StreamTask {
    stream: Stream,
    snapshots: Vec<SnapshotId>,
}

/// Why a stream is not what its manifest says.
enum StreamFault {
    /// Its parts are good, but together they are not what the manifest says.
    Content(String),
    /// One of its parts could not be read.
    Part(Error),
    /// A temporary file could not be made or written.
    Spool(Error),
}

impl Stream {
    fn parts(&self) -> &[Part] {
        match self {
            Self::Dump(database) => &database.parts,
            Self::Files(group) => &group.parts,
        }
    }

    /// Its name in messages.
    fn name(&self) -> String {
        match self {
            Self::Dump(database) => format!("the dump of {}", database.role),
            Self::Files(group) => format!("the files of {}", group.label),
        }
    }

    /// The streams of a manifest, without fields that do not change how the bytes are judged. So
    /// equal streams of several snapshots compare as equal.
    fn of(manifest: &Manifest) -> impl Iterator<Item = Self> {
        let dump = |database: &Database| {
            Self::Dump(Database { mode: None, owner: None, path: None, ..database.clone() })
        };
        let files = |group: &FileGroup| {
            Self::Files(FileGroup {
                fingerprint: Sha256::new([0; 32]),
                settled_before: 0,
                ..group.clone()
            })
        };
        let dumps = manifest.databases.iter().map(dump);
        dumps.chain(manifest.files.iter().map(files))
    }
}

impl DeepPass<'_> {
    /// Decodes every stream whose parts are all present.
    pub(super) fn streams(&mut self) -> Result<()> {
        let mut by_first: HashMap<Option<Key>, Vec<StreamTask>> = HashMap::new();
        for snapshot in self.snapshots {
            let Some(manifest) = self.spool.manifest(snapshot.id())? else {
                continue;
            };
            let is_seafile = |database: &Database| database.role == SEAFILE;
            if !manifest.databases.iter().any(is_seafile) {
                self.lie(snapshot.id(), "names no dump of seafile's database".into());
            }
            for stream in Stream::of(&manifest) {
                if stream.parts().is_empty() {
                    let detail = format!("says that {} has no parts", stream.name());
                    self.lie(snapshot.id(), detail);
                    continue;
                }
                let first = stream.parts().first().map(|part| part.key.clone());
                let known = by_first.entry(first).or_default();
                match known.iter_mut().find(|task| task.stream == stream) {
                    Some(task) => task.snapshots.push(snapshot.id()),
                    None => known.push(StreamTask { stream, snapshots: vec![snapshot.id()] }),
                }
            }
        }
        let is_there = |task: &StreamTask| {
            task.stream.parts().iter().all(|part| {
                let thing = self.needs.get(&part.key);
                thing.is_some_and(|thing| thing.trouble().is_none())
            })
        };
        let mut tasks: Vec<StreamTask> =
            by_first.into_values().flatten().filter(is_there).collect();
        tasks.sort_by(|a, b| a.stream.parts()[0].key.cmp(&b.stream.parts()[0].key));
        let (repository, folder) = (self.repository, self.spool.folder());
        let mut patience = Patience::default();
        pool::run(
            self.workers.min(tasks.len()),
            tasks.into_iter().map(Ok),
            |task| {
                let found = examine(repository, folder, &task.stream);
                (task, found)
            },
            |(task, found)| self.take_stream(&task, found, &mut patience),
        )
    }

    /// Reports that a manifest contradicts what was found.
    pub(super) fn lie(&mut self, snapshot: SnapshotId, detail: String) {
        let key = names::manifest(snapshot, self.repository.seal());
        self.problems.add(&key, ProblemKind::Contradiction, detail, vec![snapshot]);
    }

    fn take_stream(
        &mut self,
        task: &StreamTask,
        found: std::result::Result<Option<Pointers>, StreamFault>,
        patience: &mut Patience,
    ) -> Result<()> {
        match found {
            Err(StreamFault::Spool(error)) => return Err(error),
            Err(StreamFault::Part(error)) => return self.bad_part(task, error, patience),
            Ok(pointers) => {
                self.count(task);
                match &task.stream {
                    Stream::Dump(_) => self.deep.dumps += 1,
                    Stream::Files(_) => self.deep.file_groups += 1,
                }
                if let Some(pointers) = pointers {
                    self.compare_pointers(task, &pointers)?;
                }
            }
            Err(StreamFault::Content(problem)) => {
                self.count(task);
                if let Some(first) = task.stream.parts().first() {
                    let detail = format!("{}: {problem}", task.stream.name());
                    let snapshots = task.snapshots.clone();
                    self.problems.add(&first.key, ProblemKind::Undecodable, detail, snapshots);
                }
            }
        }
        Ok(())
    }

    /// Marks the parts of a stream as read and good.
    fn count(&mut self, task: &StreamTask) {
        for part in task.stream.parts() {
            if let Some(thing) = self.needs.get_mut(&part.key)
                && thing.reading == NeedReading::None
            {
                thing.reading = NeedReading::Good;
                self.read.add(part.size);
            }
        }
    }

    fn bad_part(&mut self, task: &StreamTask, error: Error, patience: &mut Patience) -> Result<()> {
        let (key, kind, detail) = match error {
            Error::Backend(error) => {
                let key = error.key().cloned();
                let Err((kind, detail)) = patience.judge::<()>(Err(error))? else {
                    return Ok(());
                };
                (key, kind, detail)
            }
            Error::Altered { key, problem } => (Some(key), ProblemKind::Altered, problem),
            error => {
                let (kind, detail) = trouble(error)?;
                (None, kind, detail)
            }
        };
        let first = task.stream.parts().first().map(|part| part.key.clone());
        let Some(key) = key.or(first) else {
            return Ok(());
        };
        if let Some(thing) = self.needs.get_mut(&key)
            && thing.reading == NeedReading::None
        {
            thing.reading = NeedReading::Bad(kind, detail.clone());
            self.bad(&key, kind, detail);
        }
        Ok(())
    }

    /// Compares the pointers of a dumped database with every manifest that names the dump.
    fn compare_pointers(&mut self, task: &StreamTask, pointers: &Pointers) -> Result<()> {
        for &snapshot in &task.snapshots {
            if let Some(manifest) = self.spool.manifest(snapshot)? {
                for difference in pointers::differences(&manifest, pointers) {
                    self.lie(snapshot, difference);
                }
            }
        }
        Ok(())
    }
}

/// Decodes a stream. Returns the pointers if it is the dump of Seafile's own database.
fn examine(
    repository: &Repository,
    folder: &Path,
    stream: &Stream,
) -> std::result::Result<Option<Pointers>, StreamFault> {
    match stream {
        Stream::Dump(database) => examine_dump(repository, folder, database),
        Stream::Files(group) => examine_files(repository, group).map(|()| None),
    }
}

fn examine_dump(
    repository: &Repository,
    folder: &Path,
    dump: &Database,
) -> std::result::Result<Option<Pointers>, StreamFault> {
    let spool_failed = |error: io::Error| StreamFault::Spool(failed(folder)(error));
    let mut file =
        tempfile::Builder::new().prefix("dump-").tempfile_in(folder).map_err(spool_failed)?;
    let copied = stream::read(repository, &dump.parts, |stream| {
        copy(stream, file.as_file_mut(), dump.size, spool_failed)
    });
    let seen = whole(copied)?;
    same(seen, dump.size, &dump.sha256)?;
    if dump.engine == manifest::MYSQL {
        let file = file.reopen().map_err(spool_failed)?;
        return examine_text(&mut BufReader::new(file), dump.role == SEAFILE);
    }
    if dump.engine != manifest::SQLITE {
        return Ok(None);
    }
    let complaints = database::check_copy(file.path());
    if let Some(first) = complaints.first()
        // A database that was damaged in the source is stored as it was.
        && dump.integrity.is_empty()
    {
        return Err(StreamFault::Content(format!("is no sound database: {first}")));
    }
    if dump.role != SEAFILE {
        return Ok(None);
    }
    match database::read_pointers(file.path()) {
        Ok(pointers) => Ok(Some(pointers)),
        Err(error) => Err(StreamFault::Content(chain(&error))),
    }
}

/// Examines the SQL text of a database that was on a server.
fn examine_text(
    file: &mut dyn BufRead,
    is_seafile: bool,
) -> std::result::Result<Option<Pointers>, StreamFault> {
    let text = DumpText::read(file).map_err(|error| StreamFault::Content(chain(&error)))?;
    if !text.is_complete() {
        let text = "its last line does not say that it is whole";
        return Err(StreamFault::Content(text.into()));
    }
    let pointers = is_seafile.then(|| text.pointers()).transpose();
    pointers.map_err(|error| StreamFault::Content(chain(&error)))
}

fn examine_files(
    repository: &Repository,
    group: &FileGroup,
) -> std::result::Result<(), StreamFault> {
    let mut members = 0;
    let inspected = stream::read(repository, &group.parts, |stream| {
        let limits = TarLimits { bytes: group.size, ..TarLimits::default() };
        members = unpack::inspect(stream, &limits)
            .map_err(|error| StreamFault::Content(chain(&error)))?;
        Ok(())
    });
    same(whole(inspected)?, group.size, &group.sha256)?;
    if members == group.members {
        Ok(())
    } else {
        let should = group.members;
        Err(StreamFault::Content(format!("has {members} members and should have {should}")))
    }
}

fn whole(
    read: std::result::Result<((), StreamDigest), Broken<StreamFault>>,
) -> std::result::Result<StreamDigest, StreamFault> {
    match read {
        Ok(((), seen)) => Ok(seen),
        Err(Broken::Part(error)) => Err(StreamFault::Part(error)),
        Err(Broken::Reader(fault)) => Err(fault),
    }
}

fn same(seen: StreamDigest, size: u64, sha256: &Sha256) -> std::result::Result<(), StreamFault> {
    let problem = if seen.len != size {
        format!("has {} bytes and should have {size}", seen.len)
    } else if seen.sha256 != *sha256 {
        "has another SHA-256 than the manifest says".to_owned()
    } else {
        return Ok(());
    };
    Err(StreamFault::Content(problem))
}

/// Copies a stream. Fails beyond `size` bytes, so that a hostile stream cannot fill the disk.
fn copy(
    stream: &mut dyn Read,
    file: &mut dyn Write,
    size: u64,
    spool_failed: impl Fn(io::Error) -> StreamFault,
) -> std::result::Result<(), StreamFault> {
    let mut buffer = vec![0; 256 << 10];
    let mut left = size;
    loop {
        let len = match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(StreamFault::Content(error.to_string())),
        };
        left = left.checked_sub(len as u64).ok_or_else(|| {
            StreamFault::Content(format!("is longer than the {size} bytes that it should have"))
        })?;
        file.write_all(&buffer[..len]).map_err(&spool_failed)?;
    }
}
