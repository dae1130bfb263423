//! One worker of a restore: fetches a pack, proves each wanted member, and writes it.

use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;

use rustix::fs::FileType;

use super::error::{Error, loss};
use super::folders::{self, TargetFolders};
use super::packs::{PackTask, PackTrouble, RestoreJob, RestoredObjects, TargetContent};
use super::places::ObjectPlaces;
use crate::object::{Kind, Object};
use crate::proof::{Proof, prove, prove_id};
use crate::repository::pack::{self, Member, MemberPlace};
use crate::repository::reader;
use crate::repository::remains::Remains;
use crate::repository::segment::Line;

/// Permissions of objects, as Seafile's server makes them.
pub const OBJECT_MODE: u32 = 0o600;

/// A worker that writes objects.
pub struct ObjectWriter<'a> {
    job: RestoreJob<'a>,
    places: ObjectPlaces<'a>,
    /// What it did so far.
    pub done: RestoredObjects,
}

/// A member to write, and the object as which it is written.
type WantedMember<'t> = (Object, &'t Member);

impl<'a> ObjectWriter<'a> {
    /// Begins without work.
    pub fn new(job: RestoreJob<'a>) -> Self {
        Self {
            job,
            places: ObjectPlaces::new(job.target.folders()),
            done: RestoredObjects::default(),
        }
    }

    /// Writes the wanted members of a pack. A lost pack is no error.
    pub fn pack(&mut self, task: &PackTask) -> Result<(), Error> {
        let wanted = self.missing(task)?;
        if wanted.is_empty() {
            return Ok(());
        }
        let line = task.line();
        let repository = self.job.index.repository();
        match reader::read_listed_pack(repository, line.kind, &line.pack, line.size) {
            Ok(bytes) => self.members(task, &wanted, &bytes),
            Err(error) => {
                let problem = loss(repository, error)?;
                self.trouble(task, problem);
                self.remains(task, &wanted)
            }
        }
    }

    /// Writes the wanted members that are still good in a bad pack. The others are missing in the
    /// end, and are counted then.
    fn remains(&mut self, task: &PackTask, wanted: &[WantedMember<'_>]) -> Result<(), Error> {
        let (repository, line) = (self.job.index.repository(), task.line());
        let remains = match Remains::fetch(repository, line.kind, &line.pack, line.size) {
            Ok(Some(remains)) => remains,
            Ok(None) => return Ok(()),
            Err(error) => return loss(repository, error).map(drop),
        };
        for chunk in wanted.chunk_by(|a, b| frame_of(a.1) == frame_of(b.1)) {
            let number = frame_of(chunk[0].1) as usize;
            let Some(frame) = line.contents.frames.get(number) else {
                continue;
            };
            let left = remains.frame(frame);
            // Only the frame's checksum speaks for a block with a random id.
            let random_block_ids = self.job.random_block_ids && left.is_whole;
            let mut sorted = chunk.to_vec();
            sorted.sort_unstable_by_key(|(object, _)| *object);
            for (object, member) in sorted {
                let proved = pack::member_bytes(&left.plain, member)
                    .map_err(|error| error.to_string())
                    .and_then(|bytes| Ok((bytes, prove(member, bytes, random_block_ids)?)));
                if let Ok((bytes, proof)) = proved {
                    self.write_proved(&object, bytes, proof)?;
                    self.done.remains.add(object.kind, bytes.len() as u64);
                }
            }
        }
        Ok(())
    }

    fn write_proved(&mut self, object: &Object, bytes: &[u8], proof: Proof) -> Result<(), Error> {
        self.write(object, bytes).map_err(self.job.target.failed(&object.path()))?;
        self.done.unverifiable += u64::from(proof == Proof::Unverifiable);
        Ok(())
    }

    fn trouble(&mut self, task: &PackTask, problem: String) {
        let PackTask { list, line, .. } = *task;
        self.done.troubles.push(PackTrouble { list, line, problem });
    }

    /// The wanted members that are not in the target yet.
    fn missing<'t>(&mut self, task: &'t PackTask) -> Result<Vec<WantedMember<'t>>, Error> {
        let members = &task.line().contents.members;
        let mut missing = Vec::with_capacity(task.members.len());
        for number in &task.members {
            let member = &members[*number as usize];
            let Some(object) = self.job.survey.destination(&member.name.object) else {
                continue;
            };
            if self.is_present(&object, member)? {
                if self.job.there != TargetContent::Ours {
                    self.done.present.add(object.kind, len(member));
                }
            } else {
                missing.push((object, member));
            }
        }
        Ok(missing)
    }

    /// Whether the object is in the target already, whole. What is not whole is removed.
    fn is_present(&mut self, object: &Object, member: &Member) -> Result<bool, Error> {
        if self.job.there == TargetContent::Nothing {
            return Ok(false);
        }
        let place = self.places.find(object);
        let present = place.and_then(|place| match (place, self.job.there) {
            (None, _) => Ok(false),
            (Some((folder, name)), TargetContent::Unproved) => {
                let folders = self.job.target.folders();
                is_whole(folders, folder, &name, object, Some(len(member)))
            }
            (Some((folder, name)), TargetContent::Completed) => {
                let folders = self.job.target.folders();
                Ok(has_length(folder, &name, object, len(member))?
                    || is_whole(folders, folder, &name, object, Some(len(member)))?)
            }
            (Some((folder, name)), _) => Ok(folders::stat(folder, &name)?.is_some()),
        });
        present.map_err(self.job.target.failed(&object.path()))
    }

    fn members(
        &mut self,
        task: &PackTask,
        wanted: &[WantedMember<'_>],
        bytes: &[u8],
    ) -> Result<(), Error> {
        for chunk in wanted.chunk_by(|a, b| frame_of(a.1) == frame_of(b.1)) {
            let plain = match frame(task.line(), frame_of(chunk[0].1), bytes) {
                Ok(plain) => plain,
                Err(error) => {
                    self.trouble(task, error.to_string());
                    continue;
                }
            };
            // Objects of one folder are written one after the other, so that it is opened once.
            let mut sorted = chunk.to_vec();
            sorted.sort_unstable_by_key(|(object, _)| *object);
            for (object, member) in sorted {
                self.member(task, &object, member, &plain)?;
            }
        }
        Ok(())
    }

    fn member(
        &mut self,
        task: &PackTask,
        object: &Object,
        member: &Member,
        plain: &[u8],
    ) -> Result<(), Error> {
        let proved = pack::member_bytes(plain, member)
            .map_err(|error| format!("{object}: {error}"))
            .and_then(|bytes| Ok((bytes, prove(member, bytes, self.job.random_block_ids)?)));
        match proved {
            Ok((bytes, proof)) => self.write_proved(object, bytes, proof),
            Err(problem) => {
                self.trouble(task, problem);
                Ok(())
            }
        }
    }

    fn write(&mut self, object: &Object, bytes: &[u8]) -> io::Result<()> {
        let (folder, name) = self.places.make(object)?;
        let folders = self.job.target.folders();
        // An object that is there already was stored later, and stays.
        if folders.put_object(folder, &name, OBJECT_MODE, bytes)? {
            self.done.written.add(object.kind, bytes.len() as u64);
        }
        Ok(())
    }
}

/// Reads a frame from a pack's bytes, and decompresses it.
fn frame(line: &Line, number: u32, bytes: &[u8]) -> Result<Vec<u8>, pack::Error> {
    let outside = pack::Error::Malformed("a frame outside of the pack");
    let Some(frame) = line.contents.frames.get(number as usize) else {
        return Err(outside);
    };
    let start = usize::try_from(frame.offset).unwrap_or(usize::MAX);
    let end = usize::try_from(frame.len).ok().and_then(|len| start.checked_add(len));
    match end.and_then(|end| bytes.get(start..end)) {
        Some(stored) => pack::read_frame(stored, frame),
        None => Err(outside),
    }
}

/// Whether a file is the whole object. If so, it gets the right owner; otherwise it is removed.
pub fn is_whole(
    folders: &TargetFolders,
    folder: BorrowedFd<'_>,
    name: &str,
    object: &Object,
    len: Option<u64>,
) -> io::Result<bool> {
    let Some(stat) = folders::stat(folder, name)? else {
        return Ok(false);
    };
    // A commit's length may differ: its bytes may come from a later place in the index.
    let is_len =
        object.kind == Kind::Commit || len.is_none_or(|len| u64::try_from(stat.st_size) == Ok(len));
    if is_len && let Ok(mut file) = folders::open_file(folder, name) {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if prove_id(object, &bytes, false).is_ok() {
            if folders.is_strange(&stat) {
                folders.give(&file)?;
            }
            return Ok(true);
        }
    }
    folders::remove(folder, name)?;
    Ok(false)
}

/// Whether a file is there and as long as it should be. `false` for a commit, so that it is read:
/// its bytes may come from another place in the index.
fn has_length(folder: BorrowedFd<'_>, name: &str, object: &Object, len: u64) -> io::Result<bool> {
    let stat = folders::stat(folder, name)?;
    Ok(object.kind != Kind::Commit
        && stat.is_some_and(|stat| {
            FileType::from_raw_mode(stat.st_mode).is_file()
                && u64::try_from(stat.st_size) == Ok(len)
        }))
}

fn frame_of(member: &Member) -> u32 {
    match member.place {
        MemberPlace::Data { frame, .. } => frame,
        MemberPlace::Link { .. } => u32::MAX,
    }
}

fn len(member: &Member) -> u64 {
    match member.place {
        MemberPlace::Data { len, .. } => len,
        MemberPlace::Link { .. } => 0,
    }
}
