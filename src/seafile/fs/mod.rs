//! Fs objects: folders, and files as lists of blocks, in both forms that Seafile ever wrote.
//!
//! Since Seafile 3 they are zlib streams of JSON (module `json`). Before that they were binary
//! (`binary`). The first byte tells which. Names are turned into text for people to read; ids are
//! always computed from the bytes. `check` calls this and compares the id. Code that walks a tree
//! calls it too.

mod binary;
mod inflate;
mod json;

use super::{FormatError, parse_json, sha1};
use crate::object::ObjectId;
use serde::Deserialize;

/// The longest inflated fs object that is read. It is enough for 80 TB of blocks of 8 MB, or 3
/// million entries.
pub const MAX_INFLATED_BYTES: usize = 512 << 20;

/// The bits of a mode that tell folders from files, and the values they have for each.
const TYPE_BITS: u32 = 0o170_000;
const FOLDER_BITS: u32 = 0o040_000;
const FILE_BITS: u32 = 0o100_000;

/// A folder, or a file's list of blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FsObject {
    /// What a file consists of.
    File(FileObject),
    /// What a folder holds.
    Folder(FolderObject),
}

/// The blocks of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileObject {
    /// The file's length. In an encrypted library this is the length of the plain text.
    pub size: u64,
    /// The ids of its blocks, in order.
    pub blocks: Vec<ObjectId>,
}

/// The entries of one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderObject {
    /// The entries as they are stored: by name, descending.
    pub entries: Vec<FolderEntry>,
}

/// A file or folder in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FolderEntry {
    /// Its fs object; [`ObjectId::EMPTY`] if it is empty.
    pub id: ObjectId,
    /// Unix mode. Seafile writes 16384 for folders and 33188 for files.
    pub mode: u32,
    /// Its name, which is untrusted: it may hold `/` or be `..`. Bytes that are not UTF-8 are
    /// replaced.
    pub name: String,
    /// A file's length, if the folder records it.
    pub size: Option<u64>,
    /// When it was last changed, in seconds since 1970, if the folder records it.
    pub mtime: Option<i64>,
    /// Who last changed it, if the folder records it.
    pub modifier: Option<String>,
}

impl FolderEntry {
    /// Whether it is a folder.
    pub const fn is_folder(&self) -> bool {
        self.mode & TYPE_BITS == FOLDER_BITS
    }

    /// Whether it is a file. Seafile writes no entry that is neither file nor folder, and ignores
    /// such an entry.
    pub const fn is_file(&self) -> bool {
        self.mode & TYPE_BITS == FILE_BITS
    }
}

/// The kind of an fs object, by the number that both forms use.
enum FsObjectType {
    File,
    Folder,
}

impl TryFrom<u32> for FsObjectType {
    type Error = FormatError;

    fn try_from(number: u32) -> Result<Self, FormatError> {
        match number {
            1 => Ok(Self::File),
            3 => Ok(Self::Folder),
            other => Err(FormatError::UnknownType(other)),
        }
    }
}

/// Reads an fs object and computes the id that these bytes have.
pub fn parse(bytes: &[u8]) -> Result<(FsObject, ObjectId), FormatError> {
    match bytes.first() {
        None => Err(FormatError::Empty),
        Some(0x78) => inflate::with_inflated(bytes, MAX_INFLATED_BYTES, json::parse)?,
        Some(0) => binary::parse(bytes),
        Some(&other) => Err(FormatError::UnknownForm(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_byte_decides() {
        assert_eq!(parse(b""), Err(FormatError::Empty));
        assert_eq!(parse(b"{}"), Err(FormatError::UnknownForm(b'{')));
        assert_eq!(parse(&[0; 400]), Err(FormatError::UnknownType(0)));
        assert_eq!(parse(b"x"), Err(FormatError::Truncated));
    }

    #[test]
    fn modes_tell_folders_from_files() {
        let entry = |mode| FolderEntry {
            id: ObjectId::EMPTY,
            mode,
            name: String::new(),
            size: None,
            mtime: None,
            modifier: None,
        };
        assert!(entry(16384).is_folder() && !entry(16384).is_file());
        assert!(entry(33188).is_file() && !entry(33188).is_folder());
        let link = entry(0o120_777);
        assert!(!link.is_file() && !link.is_folder());
        assert!(!entry(0o060_000).is_folder(), "a block device");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in any::<Vec<u8>>(), first in 0usize..3) {
            bytes.insert(0, [0, 0x78, 7][first]);
            let _ = parse(&bytes);
        }
    }
}
