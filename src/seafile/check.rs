//! Checks whether the bytes of one object are the object that its name says.
//!
//! It opens no files and makes no decisions. The callers decide what a fault means (damage, a race,
//! Pro's random block ids), and check what else must hold: that all objects to which this one
//! points exist.

use super::commit::{Commit, CommitIdCheck};
use super::fs::{self, FileObject, FsObject};
use super::{FormatError, sha1};
use crate::object::{Kind, Object, ObjectId, Store};

/// What a good object holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectContent {
    /// A commit.
    Commit(Box<Commit>),
    /// A folder or a file's list of blocks.
    Fs(FsObject),
    /// A block. Any bytes can be a block.
    Block {
        /// The number of bytes; [`block_lengths_fit`] needs it.
        len: u64,
    },
}

/// Why bytes are not the object that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectFault {
    /// The file has no bytes: the usual result of a power cut.
    #[error("the file is empty")]
    Empty,
    /// The object is larger than any real one, or inflates to something larger.
    #[error("larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The bytes are not in the form of such an object.
    #[error("undecodable")]
    Undecodable(#[source] FormatError),
    /// The bytes belong to another object, or were changed.
    #[error("its content has the id {actual}")]
    WrongId {
        /// The id that these bytes have.
        actual: ObjectId,
    },
    /// A commit file claims to be another commit.
    #[error("the commit calls itself {actual}")]
    WrongCommitField {
        /// Its field `commit_id`.
        actual: ObjectId,
    },
}

impl ObjectFault {
    /// One stable word, for lists and exit reports.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge { .. } => "too-large",
            Self::Undecodable(_) => "undecodable",
            Self::WrongId { .. } => "wrong-id",
            Self::WrongCommitField { .. } => "wrong-commit-field",
        }
    }

    /// A detail in one line for the same lists, beside the word: a number, an id, or a reason.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Empty => None,
            Self::TooLarge { limit_bytes } => Some(limit_bytes.to_string()),
            Self::Undecodable(error) => Some(error.to_string()),
            Self::WrongId { actual } | Self::WrongCommitField { actual } => {
                Some(actual.to_string())
            }
        }
    }
}

impl From<FormatError> for ObjectFault {
    fn from(error: FormatError) -> Self {
        match error {
            FormatError::Empty => Self::Empty,
            FormatError::TooLarge { limit_bytes } => Self::TooLarge { limit_bytes },
            other => Self::Undecodable(other),
        }
    }
}

/// Something unusual about a commit, which may still be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitWarning {
    /// Its id follows neither of the two formulas for commit ids.
    IdFormula,
    /// It lies in the store of one library, and names another one or none.
    OtherLibrary,
}

/// Verifies an object's bytes against its name.
///
/// With `skip_block_hash` (Pro), the ids of blocks are random: there [`ObjectFault::WrongId`] of a block
/// proves nothing.
pub fn check(object: &Object, bytes: &[u8]) -> Result<ObjectContent, ObjectFault> {
    match object.kind {
        Kind::Commit => check_commit(object.id, bytes),
        Kind::Fs => check_fs(object.id, bytes),
        Kind::Block => check_block(object.id, bytes),
    }
}

fn check_commit(id: ObjectId, bytes: &[u8]) -> Result<ObjectContent, ObjectFault> {
    let commit = Commit::parse(bytes)?;
    if commit.id != id {
        return Err(ObjectFault::WrongCommitField { actual: commit.id });
    }
    Ok(ObjectContent::Commit(Box::new(commit)))
}

fn check_fs(id: ObjectId, bytes: &[u8]) -> Result<ObjectContent, ObjectFault> {
    let (object, actual) = fs::parse(bytes)?;
    same_id(id, actual)?;
    Ok(ObjectContent::Fs(object))
}

fn check_block(id: ObjectId, bytes: &[u8]) -> Result<ObjectContent, ObjectFault> {
    same_id(id, sha1([bytes]))
        .map_err(|fault| if bytes.is_empty() { ObjectFault::Empty } else { fault })?;
    let len = bytes.len() as u64;
    Ok(ObjectContent::Block { len })
}

fn same_id(expected: ObjectId, actual: ObjectId) -> Result<(), ObjectFault> {
    if actual == expected { Ok(()) } else { Err(ObjectFault::WrongId { actual }) }
}

/// What is unusual about a commit that [`check`] accepted.
pub fn commit_warnings(object: &Object, commit: &Commit) -> Vec<CommitWarning> {
    let mut warnings = Vec::new();
    if commit.id_check() == CommitIdCheck::Mismatch {
        warnings.push(CommitWarning::IdFormula);
    }
    if let Store::Library(library) = object.store
        && commit.library != Some(library)
    {
        warnings.push(CommitWarning::OtherLibrary);
    }
    warnings
}

/// Whether blocks of these lengths, in order, can be the file. This is the only test that finds a
/// torn block whose id is random (Pro). It is also the only test of a size in version 0, which no
/// id covers.
///
/// An encrypted block is padded to the next multiple of 16 bytes. A block whose length is already
/// such a multiple gets 16 bytes more.
pub fn block_lengths_fit(file: &FileObject, lengths: &[u64], encrypted: bool) -> bool {
    let sum = lengths.iter().try_fold(0u64, |sum, &len| sum.checked_add(len));
    let Some(sum) = sum.filter(|_| lengths.len() == file.blocks.len()) else {
        return false;
    };
    if !encrypted || lengths.is_empty() {
        return sum == file.size;
    }
    let most_padding = 16 * lengths.len() as u64;
    lengths.iter().all(|&len| len > 0 && len.is_multiple_of(16))
        && sum > file.size
        && sum - file.size <= most_padding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seafile::folders::{ObjectEntry, ObjectFolders, StoreEntry};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::path::Path;

    const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/haiwen/seafile-data");

    /// Lists every object of an installation.
    fn objects(data_dir: &Path) -> (ObjectFolders, Vec<Object>) {
        let folders = ObjectFolders::new(data_dir);
        let mut objects = Vec::new();
        for kind in Kind::ALL {
            for entry in folders.stores(kind).unwrap() {
                let StoreEntry::Store(store) = entry else {
                    panic!("{entry:?}");
                };
                for found in folders.objects(kind, store) {
                    let ObjectEntry::Object(id) = found.unwrap() else {
                        continue;
                    };
                    objects.push(Object::new(store, kind, id));
                }
            }
        }
        (folders, objects)
    }

    /// Verifies all objects, and for each file the lengths of its blocks.
    fn assert_whole(data_dir: &Path) -> usize {
        let (folders, objects) = objects(data_dir);
        let mut encrypted = BTreeMap::new();
        for object in &objects {
            let bytes = folders.read(object).unwrap().unwrap();
            assert_eq!(folders.len(object).unwrap(), Some(bytes.len() as u64));
            match check(object, &bytes).unwrap_or_else(|fault| panic!("{object}: {fault:?}")) {
                ObjectContent::Commit(commit) => {
                    assert_eq!(commit_warnings(object, &commit), [], "{object}");
                    encrypted.insert(object.store, commit.encrypted);
                }
                ObjectContent::Fs(FsObject::File(file)) => {
                    let lengths: Option<Vec<u64>> = file
                        .blocks
                        .iter()
                        .map(|&id| {
                            folders.len(&Object::new(object.store, Kind::Block, id)).unwrap()
                        })
                        .collect();
                    // Blocks may be missing: garbage collection removed them, or an upload never
                    // ended.
                    if let Some(lengths) = lengths {
                        assert!(
                            block_lengths_fit(&file, &lengths, encrypted[&object.store]),
                            "{object}: {file:?} {lengths:?}"
                        );
                    }
                }
                ObjectContent::Fs(FsObject::Folder(folder)) => {
                    let known = |entry: &fs::FolderEntry| entry.is_file() != entry.is_folder();
                    assert!(folder.entries.iter().all(known), "{object}");
                }
                ObjectContent::Block { len } => assert_eq!(len, bytes.len() as u64),
            }
        }
        assert!(encrypted.values().any(|&encrypted| encrypted));
        objects.len()
    }

    #[test]
    fn a_real_installation_is_whole() {
        assert!(assert_whole(Path::new(EXAMPLE)) > 300);
    }

    #[test]
    fn altered_real_objects_are_faults() {
        let (folders, objects) = objects(Path::new(EXAMPLE));
        for object in objects.iter().step_by(3) {
            let bytes = folders.read(object).unwrap().unwrap();
            let good = check(object, &bytes).unwrap();
            assert_eq!(check(object, b""), Err(ObjectFault::Empty));
            for end in [1, bytes.len() / 2, bytes.len() - 1] {
                assert!(check(object, &bytes[..end]).is_err(), "{object} cut at {end}");
            }
            assert!(check(object, &vec![0; bytes.len()]).is_err());
            let mut swapped = *object;
            swapped.id = ObjectId::new([1; 20]);
            assert!(check(&swapped, &bytes).is_err());
            if object.kind == Kind::Commit {
                continue; // what its id does not cover cannot be checked
            }
            for at in (0..bytes.len()).step_by(1 + bytes.len() / 50) {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                // Some bits of a zlib stream mean nothing, so flipping one may change nothing.
                let content = check(object, &flipped);
                assert!(content.is_err() || content == Ok(good.clone()), "{object} at {at}");
            }
        }
    }

    fn block(bytes: &[u8]) -> Object {
        Object::new(Store::Shared, Kind::Block, sha1([bytes]))
    }

    #[test]
    fn a_block_is_its_bytes() {
        assert_eq!(check(&block(b"abc"), b"abc"), Ok(ObjectContent::Block { len: 3 }));
        let actual = "a9993e364706816aba3e25717850c26c9cd0d89d".parse().unwrap();
        assert_eq!(check(&block(b"abd"), b"abc"), Err(ObjectFault::WrongId { actual }));
    }

    #[test]
    fn an_empty_block_is_good_only_under_its_own_id() {
        assert_eq!(check(&block(b""), b""), Ok(ObjectContent::Block { len: 0 }));
        assert_eq!(check(&block(b"a"), b""), Err(ObjectFault::Empty));
    }

    fn example_commit() -> (Object, Vec<u8>) {
        let (folders, objects) = objects(Path::new(EXAMPLE));
        (objects[0], folders.read(&objects[0]).unwrap().unwrap())
    }

    #[test]
    fn a_commit_under_another_name_is_a_fault() {
        let (mut object, bytes) = example_commit();
        let actual = object.id;
        object.id = ObjectId::new([7; 20]);
        assert_eq!(check(&object, &bytes), Err(ObjectFault::WrongCommitField { actual }));
    }

    #[test]
    fn an_altered_commit_or_a_copied_one_gets_a_warning() {
        let (mut object, bytes) = example_commit();
        let mut commit = Commit::parse(&bytes).unwrap();
        assert_eq!(commit_warnings(&object, &commit), []);
        commit.creator_name = Some("other@example.com".to_owned());
        assert_eq!(commit_warnings(&object, &commit), [CommitWarning::IdFormula]);
        commit.library = None;
        let both = [CommitWarning::IdFormula, CommitWarning::OtherLibrary];
        assert_eq!(commit_warnings(&object, &commit), both);
        object.store = Store::Shared;
        assert_eq!(commit_warnings(&object, &commit), [CommitWarning::IdFormula]);
    }

    #[test]
    fn faults_have_words_and_details() {
        let actual = ObjectId::new([0xab; 20]);
        let ab = "ab".repeat(20);
        for (fault, word, detail) in [
            (ObjectFault::Empty, "empty", None),
            (ObjectFault::TooLarge { limit_bytes: 9 }, "too-large", Some("9")),
            (FormatError::Truncated.into(), "undecodable", Some("it ends too early")),
            (ObjectFault::WrongId { actual }, "wrong-id", Some(ab.as_str())),
            (ObjectFault::WrongCommitField { actual }, "wrong-commit-field", Some(ab.as_str())),
        ] {
            assert_eq!((fault.word(), fault.detail().as_deref()), (word, detail));
        }
        let large = FormatError::TooLarge { limit_bytes: 3 };
        assert_eq!(ObjectFault::from(large), ObjectFault::TooLarge { limit_bytes: 3 });
        assert_eq!(ObjectFault::from(FormatError::Empty), ObjectFault::Empty);
    }

    fn file(size: u64, blocks: usize) -> FileObject {
        let blocks = vec![ObjectId::new([1; 20]); blocks];
        FileObject { size, blocks }
    }

    #[test]
    fn plain_lengths_add_up() {
        assert!(block_lengths_fit(&file(0, 0), &[], false));
        assert!(!block_lengths_fit(&file(1, 0), &[], false));
        assert!(block_lengths_fit(&file(5, 2), &[2, 3], false));
        assert!(block_lengths_fit(&file(5, 2), &[5, 0], false));
        assert!(block_lengths_fit(&file(0, 1), &[0], false));
        assert!(!block_lengths_fit(&file(5, 2), &[2, 2], false));
        assert!(!block_lengths_fit(&file(5, 2), &[5], false));
        assert!(!block_lengths_fit(&file(1, 2), &[u64::MAX, 2], false));
    }

    #[test]
    fn encrypted_lengths_are_padded() {
        assert!(block_lengths_fit(&file(0, 0), &[], true));
        assert!(!block_lengths_fit(&file(16, 0), &[], true));
        assert!(block_lengths_fit(&file(15, 1), &[16], true));
        assert!(block_lengths_fit(&file(16, 1), &[32], true));
        assert!(!block_lengths_fit(&file(16, 1), &[16], true), "no padding");
        assert!(!block_lengths_fit(&file(15, 1), &[32], true), "too much");
        assert!(!block_lengths_fit(&file(15, 1), &[17], true), "torn");
        assert!(!block_lengths_fit(&file(15, 2), &[32, 0], true), "an empty block");
        assert!(block_lengths_fit(&file(31, 2), &[32, 16], true));
        assert!(!block_lengths_fit(&file(15, 2), &[16, 32], true));
        let half = 1 << 63;
        assert!(!block_lengths_fit(&file(5, 2), &[half, half], true));
    }

    proptest! {
        #[test]
        fn padded_blocks_fit(lengths in prop::collection::vec(0u64..100_000, 1..9)) {
            let padded: Vec<u64> = lengths.iter().map(|len| len - len % 16 + 16).collect();
            let file = file(lengths.iter().sum(), lengths.len());
            prop_assert!(block_lengths_fit(&file, &lengths, false));
            prop_assert!(block_lengths_fit(&file, &padded, true));
            let mut torn = padded.clone();
            torn[0] -= 1;
            prop_assert!(!block_lengths_fit(&file, &torn, true));
        }

        #[test]
        fn arbitrary_bytes_are_faults(bytes in any::<Vec<u8>>(), kind in 0usize..3) {
            let object = Object::new(Store::Shared, Kind::ALL[kind], ObjectId::new([9; 20]));
            prop_assert!(check(&object, &bytes).is_err());
        }
    }
}
