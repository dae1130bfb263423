//! Reads the members of a tar and checks their headers before anything is done with them.
//!
//! The tar crate parses the headers. Long names and pax records are read here instead, because a
//! hostile one may have any size and the crate would read it into memory whole.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tar::{Archive, Entry, EntryType};

use super::TarLimits;
use super::attributes::Attributes;
use super::claims::member;
use super::error::{Error, Refusal, read_failed, refused};

/// The largest block of pax records that is read: two names and some numbers fit.
const PAX_BYTES: usize = 64 << 10;

/// A member that can be extracted: its path consists of plain names, and it is of one of three
/// kinds.
#[derive(Debug)]
pub(super) struct TarMember {
    pub(super) path: PathBuf,
    pub(super) kind: MemberKind,
    pub(super) attributes: Attributes,
}

#[derive(Debug)]
pub(super) enum MemberKind {
    File { len: u64 },
    Folder,
    Link { target: PathBuf },
}

/// Gives each member with its content to `each`, until the end of the tar and of the reader. Counts
/// entries in `members`, extension records included.
///
/// A tar without an end mark is an error, even if it ends between two members.
pub(super) fn read<R: Read>(
    tar: R,
    limits: &TarLimits,
    members: &mut u64,
    mut each: impl FnMut(TarMember, &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut archive = Archive::new(tar);
    let mut after = PathBuf::new();
    let mut extensions = Extensions::default();
    let entries = archive.entries().map_err(read_failed(&after))?.raw(true);
    for entry in entries {
        let mut entry = entry.map_err(read_failed(&after))?;
        if *members >= limits.members {
            return Err(refused(&after, Refusal::Members));
        }
        *members += 1;
        if extensions.take(&mut entry, limits, &after)? {
            continue;
        }
        let member = member(&entry, std::mem::take(&mut extensions), limits)?;
        after.clone_from(&member.path);
        each(member, &mut entry)?;
    }
    if !extensions.is_empty() {
        return Err(refused(&after, Refusal::Extension));
    }
    read_end(archive.into_inner(), &after)
}

/// Checks what follows the first block of zeros: one more, and then nothing but zeros. The tar
/// crate also accepts the end of the reader as an end mark. In that case nothing is left to read
/// here, and this fails.
fn read_end<R: Read>(mut tar: R, after: &Path) -> Result<(), Error> {
    let mut block = [0; 512];
    tar.read_exact(&mut block).map_err(read_failed(after))?;
    let mut len = block.len();
    while len > 0 {
        if block[..len].iter().any(|&byte| byte != 0) {
            return Err(refused(after, Refusal::AfterEnd));
        }
        len = tar.read(&mut block).map_err(read_failed(after))?;
    }
    Ok(())
}

/// What extension records say about the member that follows them.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) name: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) pax: Option<Vec<u8>>,
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.name.is_none() && self.target.is_none() && self.pax.is_none()
    }

    /// Reads an extension record; `false` if the entry is a member itself.
    fn take<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        limits: &TarLimits,
        after: &Path,
    ) -> Result<bool, Error> {
        let (slot, most) = match entry.header().entry_type() {
            EntryType::GNULongName => (&mut self.name, limits.path_bytes.saturating_add(1)),
            EntryType::GNULongLink => (&mut self.target, limits.path_bytes.saturating_add(1)),
            EntryType::XHeader => (&mut self.pax, PAX_BYTES),
            _ => return Ok(false),
        };
        if slot.is_some() {
            return Err(refused(after, Refusal::Extension));
        }
        let len = entry.size();
        if len > most as u64 {
            return Err(refused(after, Refusal::Long));
        }
        let mut text = Vec::new();
        let read = match entry.read_to_end(&mut text) {
            Ok(read) if (read as u64) < len => Err(io::ErrorKind::UnexpectedEof.into()),
            other => other,
        };
        read.map_err(read_failed(after))?;
        *slot = Some(text);
        Ok(true)
    }
}
