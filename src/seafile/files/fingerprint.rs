//! Fingerprints of groups. They tell whether a group changed, without reading its files.
//!
//! A fingerprint covers path, kind, permissions and owner of each entry. For a link it also covers
//! the target, for a file the length, inode, mtime and ctime. The ctime matters most. No program
//! can set it back, so a change of the content is noticed even if the mtime was restored.
//!
//! Folders and links count without their times. A folder's times also change with files that are
//! left out (journals of databases, sockets, uploads). A link has no content except its target.
//!
//! **Racy files.** The clock of a file system ticks in milliseconds at best. If a file changes
//! twice within one tick, and seawall reads it between the changes, its times stay the same. git's
//! index has the same problem, and the same solution is used here. If the ctime of a file is not
//! well before the reference time, the file counts with the SHA-256 of its content instead of its
//! times. The reference time is stored with the fingerprint, and the next run compares with the
//! *stored* one. So the same files are racy both times, and an unchanged group gives an equal
//! result. If a racy file changes later, it is still racy, and its content tells. If a settled file
//! changes, it becomes racy, which tells too.
//!
//! The index of a SQLite database's write-ahead log does not count: no tar holds it, and readers
//! write to it.
//!
//! If a run finds a group unchanged, it should store the fingerprint with its own start as
//! reference time. Otherwise files that were racy once would be read in every later run.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use sha2::Digest as _;

use super::archive::open_regular;
use super::databases;
use super::{FileTime, OrdinaryGroup, ScanEntry, ScanEntryKind};
use crate::object::Sha256;

/// How long before the reference time a change must lie to count as settled. It is enough for file
/// systems that keep whole seconds, and for FAT, which keeps every second one.
const SETTLED_SECONDS: i64 = 2;

/// Hashes what a scan saw of a group.
///
/// `settled_before` is the reference time, in seconds since 1970. To compare with an earlier
/// fingerprint, it is the start of the run that stored that fingerprint. To store a new one, it is
/// the start of this run. Only racy files are read, and those as a whole. An error means that a
/// racy file could not be read: then treat the group as changed, and store no fingerprint.
pub fn fingerprint(group: &OrdinaryGroup, settled_before: i64) -> io::Result<Sha256> {
    let mut hash = FieldHasher(sha2::Sha256::new());
    hash.bytes(b"seawall fingerprint 1");
    for entry in &group.entries {
        if is_index_of_log(group, entry) {
            continue;
        }
        hash.bytes(entry.path.as_os_str().as_bytes());
        for number in [entry.mode, entry.uid, entry.gid] {
            hash.number(u64::from(number));
        }
        match &entry.kind {
            ScanEntryKind::Folder => hash.bytes(b"folder"),
            ScanEntryKind::Link { target } => {
                hash.bytes(b"link");
                hash.bytes(target.as_os_str().as_bytes());
            }
            ScanEntryKind::File { len } => {
                hash.number(*len);
                hash.file(entry, settled_before)?;
            }
        }
    }
    Ok(Sha256::new(hash.0.finalize().into()))
}

/// Whether an entry is the index of a database's write-ahead log. No tar holds the index, and it
/// changes when somebody reads.
fn is_index_of_log(group: &OrdinaryGroup, entry: &ScanEntry) -> bool {
    let Some(database) = databases::indexed_by(&entry.path) else {
        return false;
    };
    let found = (group.entries).binary_search_by(|other| other.path.cmp(&database));
    found.is_ok_and(|at| {
        open_regular(&group.entries[at].source).is_ok_and(|file| databases::begins_like_one(&file))
    })
}

/// Whether another change in the same tick may have followed a change at this time.
fn is_racy(ctime: FileTime, settled_before: i64) -> bool {
    ctime.seconds >= settled_before.saturating_sub(SETTLED_SECONDS)
}

/// A hash of separate fields: moving bytes from one field to the next changes it.
struct FieldHasher(sha2::Sha256);

impl FieldHasher {
    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn time(&mut self, time: FileTime) {
        self.0.update(time.seconds.to_le_bytes());
        self.0.update(time.nanoseconds.to_le_bytes());
    }

    fn file(&mut self, entry: &ScanEntry, settled_before: i64) -> io::Result<()> {
        if is_racy(entry.ctime, settled_before) {
            self.bytes(b"racy file");
            self.bytes(content(&entry.source)?.as_bytes());
        } else {
            self.bytes(b"settled file");
            self.number(entry.inode);
            self.time(entry.mtime);
            self.time(entry.ctime);
        }
        Ok(())
    }
}

fn content(path: &Path) -> io::Result<Sha256> {
    let mut file = open_regular(path)?;
    let mut hash = sha2::Sha256::new();
    io::copy(&mut file, &mut HashWriter(&mut hash))?;
    Ok(Sha256::new(hash.finalize().into()))
}

struct HashWriter<'a>(&'a mut sha2::Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests make their own files")]

    use std::fs;
    use std::path::PathBuf;

    use super::*;

    const AT: i64 = 1_700_000_000;

    fn file(source: &Path, ctime: i64) -> ScanEntry {
        let time = |seconds| FileTime { seconds, nanoseconds: 5 };
        ScanEntry {
            path: PathBuf::from("conf/a"),
            source: source.to_path_buf(),
            kind: ScanEntryKind::File { len: 3 },
            mode: 0o644,
            uid: 1,
            gid: 2,
            mtime: time(AT - 1000),
            ctime: time(ctime),
            inode: 7,
        }
    }

    fn group(entry: ScanEntry) -> OrdinaryGroup {
        OrdinaryGroup { name: "conf".to_owned(), label: "conf".to_owned(), entries: vec![entry] }
    }

    #[test]
    fn every_field_of_a_settled_file_counts() {
        let settled = file(Path::new("/nonexistent"), AT - 100);
        let first = fingerprint(&group(settled.clone()), AT).unwrap();
        assert_eq!(fingerprint(&group(settled.clone()), AT).unwrap(), first);
        let changes: [fn(&mut ScanEntry); 9] = [
            |entry| entry.path = PathBuf::from("conf/b"),
            |entry| entry.kind = ScanEntryKind::File { len: 4 },
            |entry| entry.kind = ScanEntryKind::Folder,
            |entry| entry.mode = 0o600,
            |entry| entry.uid = 3,
            |entry| entry.gid = 3,
            |entry| entry.mtime.nanoseconds = 6,
            |entry| entry.ctime.nanoseconds = 6,
            |entry| entry.inode = 8,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut other = settled.clone();
            change(&mut other);
            let second = fingerprint(&group(other), AT).unwrap();
            assert_ne!(second, first, "change {number}");
        }
    }

    #[test]
    fn folders_and_links_count_without_times() {
        let kinds = ["a", "b"].map(|target| ScanEntryKind::Link { target: PathBuf::from(target) });
        let prints: Vec<Sha256> = kinds
            .into_iter()
            .chain([ScanEntryKind::Folder])
            .map(|kind| {
                let mut entry = file(Path::new("/nonexistent"), AT - 100);
                entry.kind = kind;
                let first = fingerprint(&group(entry.clone()), AT).unwrap();
                entry.ctime.seconds = AT + 100;
                entry.mtime.seconds += 1;
                assert_eq!(fingerprint(&group(entry), AT).unwrap(), first);
                first
            })
            .collect();
        assert!(prints[0] != prints[1] && prints[1] != prints[2]);
    }

    #[test]
    fn a_racy_file_counts_with_its_content_and_without_its_times() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "one").unwrap();
        let first = fingerprint(&group(file(&path, AT - 2)), AT).unwrap();
        let mut later = file(&path, AT - 1);
        later.inode = 9;
        assert_eq!(fingerprint(&group(later), AT).unwrap(), first);
        fs::write(&path, "two").unwrap();
        assert_ne!(fingerprint(&group(file(&path, AT - 2)), AT).unwrap(), first);
        // One second earlier the file is settled, so it is not read.
        fs::remove_file(&path).unwrap();
        fingerprint(&group(file(&path, AT - 3)), AT).unwrap();
        fingerprint(&group(file(&path, AT - 2)), AT).unwrap_err();
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let entry = |path: &str, target: &str| {
            let mut entry = file(Path::new("/nonexistent"), 0);
            entry.path = PathBuf::from(path);
            entry.kind = ScanEntryKind::Link { target: PathBuf::from(target) };
            fingerprint(&group(entry), AT).unwrap()
        };
        assert_ne!(entry("ab", "c"), entry("a", "bc"));
    }
}
