//! Extraction of tars of ordinary files, without trust in them.
//!
//! A tar comes from a repository, and its names may say anything. Nothing outside the target folder
//! is touched. Names are split into their parts, and each folder is opened from its parent without
//! following links. Symbolic links are made unchanged, after the last file. A member that cannot be
//! extracted in this way is an error that names it. So is a hard link, a device or a FIFO:
//! seawall's tars never have them.
//!
//! The tars are those that [`crate::seafile::files::write_tar`] writes: ustar, GNU long names and
//! long links, and pax records for names, links, owners and times. This module knows nothing of
//! compression, encryption or where tars come from. The verb `restore` calls it.

mod attributes;
mod claims;
mod error;
mod folders;
mod members;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use attributes::{Attributes, dress, dress_link};
use error::{failed, read_failed, refused, write_failed};
use folders::UnpackFolders;
use members::{MemberKind, TarMember};

pub use error::{Error, Refusal};

/// How members are extracted.
#[derive(Debug, Clone, Default)]
pub struct UnpackOptions {
    /// User and group to set on everything; only root may choose others than its own. `u32::MAX`
    /// leaves the user or the group unchanged.
    pub owner: Option<(u32, u32)>,
    /// If [`Self::owner`] is `None`: whether to keep the owners that the tar names. Only root can
    /// do this. Without either, everything belongs to the user who restores.
    pub keep_owner: bool,
    /// Bounds on what a tar may ask for.
    pub limits: TarLimits,
}

/// Bounds on what a tar may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarLimits {
    /// Longest name and longest target of a link, in bytes.
    pub path_bytes: usize,
    /// The most members in all tars of an [`Unpacker`] together.
    pub members: u64,
    /// The most bytes of content in all tars of an [`Unpacker`] together.
    pub bytes: u64,
}

impl Default for TarLimits {
    fn default() -> Self {
        Self { path_bytes: 4096, members: 10_000_000, bytes: u64::MAX }
    }
}

/// The counts of what was extracted, and what was changed or refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Regular files.
    pub files: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Folders that the tars list.
    pub folders: u64,
    /// Links.
    pub links: u64,
    /// Members whose setuid or setgid bit was removed.
    pub dropped_bits: Vec<PathBuf>,
    /// Links that were not made, and why: something else has the name, or a folder on the way is a
    /// link or a file.
    pub refused_links: Vec<(PathBuf, Refusal)>,
}

/// Extracts one tar into a folder, which is made if need be.
pub fn unpack(tar: impl Read, target: &Path, options: &UnpackOptions) -> Result<Unpacked, Error> {
    let mut unpacker = Unpacker::new(target, options)?;
    unpacker.unpack(tar)?;
    let done = unpacker.finish()?;
    match done.refused_links.first() {
        Some((path, refusal)) => Err(refused(path, *refusal)),
        None => Ok(done),
    }
}

/// Reads one tar to its end as [`unpack`] would, and writes nothing. Returns the number of members.
///
/// Does not see faults between members: two members with one name, or a folder that is also a file.
pub fn inspect(tar: impl Read, limits: &TarLimits) -> Result<u64, Error> {
    let mut members = 0;
    let mut bytes: u64 = 0;
    members::read(tar, limits, &mut 0, |member, content| {
        members += 1;
        let MemberKind::File { len } = member.kind else {
            return Ok(());
        };
        bytes = bytes.saturating_add(len);
        if bytes > limits.bytes {
            return Err(refused(&member.path, Refusal::Bytes));
        }
        match io::copy(content, &mut io::sink()) {
            Ok(read) if read < len => Err(io::ErrorKind::UnexpectedEof.into()),
            other => other.map(drop),
        }
        .map_err(read_failed(&member.path))
    })?;
    Ok(members)
}

/// Extracts several tars into one folder.
///
/// A file gets its name only when it is complete. Until [`Self::finish`], folders are closed to
/// others (mode 0700) and links are missing. Call it after the last tar: so no file is written
/// through a link, and no later file changes a folder's time. Nothing is synced to disk; the caller
/// of a restore does that once.
#[derive(Debug)]
pub struct Unpacker {
    options: UnpackOptions,
    folders: UnpackFolders,
    /// Listed folders, whose attributes are set at the end.
    listed: BTreeMap<PathBuf, Attributes>,
    links: BTreeMap<PathBuf, (PathBuf, Attributes)>,
    members: u64,
    unpacked: Unpacked,
    buffer: Vec<u8>,
}

impl Unpacker {
    /// Opens the target folder, or makes it. Follows links on the way to it, but none inside.
    pub fn new(target: &Path, options: &UnpackOptions) -> Result<Self, Error> {
        let folders = std::fs::create_dir_all(target)
            .and_then(|()| UnpackFolders::open(target))
            .map_err(|source| Error::Target { path: target.to_path_buf(), source })?;
        Ok(Self {
            options: options.clone(),
            folders,
            listed: BTreeMap::new(),
            links: BTreeMap::new(),
            members: 0,
            unpacked: Unpacked::default(),
            buffer: vec![0; 128 << 10],
        })
    }

    /// Extracts one tar and reads to the end of the reader. After an error, what was extracted is
    /// kept.
    pub fn unpack(&mut self, tar: impl Read) -> Result<(), Error> {
        let limits = self.options.limits.clone();
        let mut members = self.members;
        let read = members::read(tar, &limits, &mut members, |member, content| {
            self.member(member, content)
        });
        self.members = members;
        read
    }

    /// Makes the links, then sets modes, owners and times of folders, inner ones first. The result
    /// lists the links that were refused; everything else is kept.
    pub fn finish(mut self) -> Result<Unpacked, Error> {
        for (path, (target, attributes)) in std::mem::take(&mut self.links) {
            match self.link(&path, &target, attributes) {
                Ok(()) => self.unpacked.links += 1,
                Err(Error::Refused { refusal, .. }) => {
                    self.unpacked.refused_links.push((path, refusal));
                }
                Err(error) => return Err(error),
            }
        }
        let listed = std::mem::take(&mut self.listed);
        let made: BTreeSet<PathBuf> = self.folders.take_made();
        let all: BTreeSet<&PathBuf> = listed.keys().chain(&made).collect();
        for path in all.into_iter().rev() {
            self.finish_folder(path, listed.get(path).copied())?;
        }
        Ok(self.unpacked)
    }

    fn member(&mut self, member: TarMember, content: &mut dyn Read) -> Result<(), Error> {
        let TarMember { path, kind, mut attributes } = member;
        if attributes.mode & 0o6000 != 0 && !matches!(kind, MemberKind::Link { .. }) {
            attributes.mode &= !0o6000;
            self.unpacked.dropped_bits.push(path.clone());
        }
        match kind {
            MemberKind::File { len } => self.file(&path, len, attributes, content)?,
            MemberKind::Folder => {
                self.folders.enter(&path).map_err(failed(&path))?;
                self.unpacked.folders += 1;
                self.listed.insert(path, attributes);
            }
            MemberKind::Link { target } => {
                if self.links.contains_key(&path) {
                    return Err(refused(&path, Refusal::Exists));
                }
                self.links.insert(path, (target, attributes));
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        path: &Path,
        len: u64,
        attributes: Attributes,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        if len > self.options.limits.bytes - self.unpacked.bytes {
            return Err(refused(path, Refusal::Bytes));
        }
        let mut place = self.folders.new_file(path).map_err(failed(path))?;
        copy(path, len, content, place.file(), &mut self.buffer)?;
        dress(place.file(), attributes, &self.options, true).map_err(write_failed(path))?;
        place.finish().map_err(failed(path))?;
        self.unpacked.files += 1;
        self.unpacked.bytes += len;
        Ok(())
    }

    fn link(&mut self, path: &Path, target: &Path, attributes: Attributes) -> Result<(), Error> {
        let (folder, name) = self.folders.place_of(path).map_err(failed(path))?;
        rustix::fs::symlinkat(target, folder, name)
            .and_then(|()| dress_link(folder, name, attributes, &self.options))
            .map_err(|error| failed(path)(error.into()))
    }

    /// Finishes a folder. One that no tar lists, made only for what lies in it, gets mode 0755, and
    /// its time is left alone.
    fn finish_folder(&mut self, path: &Path, listed: Option<Attributes>) -> Result<(), Error> {
        let folder = self.folders.enter(path).map_err(failed(path))?;
        let with_time = listed.is_some();
        let attributes = listed.unwrap_or(Attributes::UNLISTED);
        dress(folder, attributes, &self.options, with_time).map_err(write_failed(path))
    }
}

/// Copies a member's content. Content shorter than announced is an error.
fn copy(
    path: &Path,
    len: u64,
    content: &mut dyn Read,
    file: &mut File,
    buffer: &mut [u8],
) -> Result<(), Error> {
    let mut left = len;
    while left > 0 {
        let read = content.read(buffer).and_then(|read| match read {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        });
        let read = read.map_err(read_failed(path))?;
        file.write_all(&buffer[..read]).map_err(write_failed(path))?;
        left = left.saturating_sub(read as u64);
    }
    Ok(())
}
