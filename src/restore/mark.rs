//! The two files that say what a folder is: `RESTORE-UNFINISHED.txt` while a restore works there,
//! and `SEAWALL-STANDBY.txt`.
//!
//! Both tell a person what to do, and end in lines for seawall. The first is only appended to and
//! never replaced, since a restore holds a lock on it. A crash can cut off its last line. Such a
//! line says nothing.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::Scope;
use super::error::Error;
use super::folders::TargetFolders;
use crate::repository::Repository;
use crate::repository::configuration::RepositoryId;
use crate::repository::names::SnapshotId;

/// The file that stands in the target until everything is restored.
pub const UNFINISHED: &str = "RESTORE-UNFINISHED.txt";

/// The file that stands in a standby: later snapshots may complete it.
pub const STANDBY: &str = "SEAWALL-STANDBY.txt";

/// The most bytes of such a file that are read.
const MAX_BYTES: u64 = 64 << 10;

/// The line that says: the databases will be loaded into a server.
pub const LOADS: &str = "databases are loaded into a server";
/// The line that says: everything but the commits is in place.
const WAITS: &str = "commits wait until the databases are loaded";

/// What the lines for seawall say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreMark {
    /// The repository's id.
    pub repository: Option<String>,
    /// The snapshot with which the restore began, and those with which it went on, in this order.
    pub snapshots: Vec<SnapshotId>,
    /// How much is restored.
    pub scope: Scope,
    /// Its databases are to be loaded into a server before commits get their places.
    pub loads_databases: bool,
    /// Everything of the last snapshot is in place except commits, which wait for the databases.
    pub is_waiting: bool,
}

impl RestoreMark {
    fn parse(text: &str) -> Self {
        let mut mark = Self::default();
        let (_, lines) = text.rsplit_once("\n\n").unwrap_or(("", text));
        for line in lines.lines() {
            match line.split_once(' ') {
                _ if line == LOADS => mark.loads_databases = true,
                _ if line == WAITS => mark.is_waiting = true,
                Some(("repository", id)) => mark.repository = Some(id.to_owned()),
                Some(("snapshot", name)) => mark.snapshots.extend(name.parse::<SnapshotId>()),
                Some(("scope", word)) => mark.scope = Scope::of_word(word).unwrap_or(mark.scope),
                _ => {}
            }
            // The lines before spoke of another snapshot.
            mark.is_waiting &= !line.starts_with("snapshot ");
        }
        mark
    }

    /// Reads a folder's file of this name, if it is there.
    pub fn read(folder: &Path, name: &str) -> Result<Option<Self>, Error> {
        let opened = File::options()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(folder.join(name));
        let read = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(mut file) => Self::of(&mut file),
            Err(error) => Err(error),
        };
        read.map(Some).map_err(|source| Error::Write { path: folder.join(name), source })
    }

    /// Reads an open file from its beginning.
    pub fn of(file: &mut File) -> io::Result<Self> {
        file.rewind()?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    /// Whether it names this repository.
    pub fn is_of(&self, repository: &Repository) -> bool {
        self.repository.as_deref() == Some(repository.id().as_str())
    }

    /// Whether this snapshot is the last with which the restore went on.
    pub fn is_at(&self, snapshot: SnapshotId) -> bool {
        self.snapshots.last() == Some(&snapshot)
    }

    /// What is restored, for people.
    pub fn title(&self) -> String {
        let snapshot = self.snapshots.last();
        let snapshot = snapshot.map_or_else(|| "an unknown snapshot".into(), ToString::to_string);
        let repository = self.repository.as_deref().unwrap_or("an unknown one");
        format!("snapshot {snapshot}, repository {repository}")
    }

    /// The lines that have to be appended, so that the file says what this restore does.
    pub fn lacking(&self, snapshot: SnapshotId, loads_databases: bool) -> String {
        let mut lines = Vec::new();
        if !self.is_at(snapshot) {
            lines.push(format!("snapshot {snapshot}\n"));
        }
        if loads_databases && !self.loads_databases {
            lines.push(format!("{LOADS}\n"));
        }
        lines.concat()
    }
}

/// The text of the unfinished file when a restore begins.
pub fn unfinished(
    repository: &Repository,
    snapshot: SnapshotId,
    scope: Scope,
    loads_databases: bool,
) -> String {
    let loads = if loads_databases { format!("{LOADS}\n") } else { String::new() };
    format!(
        "This restore is not finished: do not start Seafile with this folder.\n\
         Run the same `seawall restore` again; it goes on where it stopped. What you change\n\
         here before it has finished may be replaced.\n\n\
         snapshot {snapshot}\n{}\nscope {}\n{loads}",
        of_repository(repository.id()),
        scope.word(),
    )
}

/// The text of a standby's file. `completed`: the snapshot to which it was completed; `None`: not
/// yet completed.
pub fn standby(repository: &RepositoryId, completed: Option<SnapshotId>) -> String {
    let snapshot = completed.map_or_else(String::new, |snapshot| format!("snapshot {snapshot}\n"));
    format!(
        "This folder is a standby, made by `seawall restore --standby`. The same again completes it by what a later\n\
         snapshot has more: databases and ordinary files are replaced, objects are added. Do not start Seafile here while\n\
         that goes on. Remove this file when the folder becomes the server's own.\n\n{snapshot}{}\n",
        of_repository(repository)
    )
}

fn of_repository(repository: &RepositoryId) -> String {
    format!("repository {}", repository.as_str())
}

/// Opens the unfinished file, to be locked, read and appended to.
pub fn open(folders: &TargetFolders) -> io::Result<File> {
    let flags =
        OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let root = folders.root();
    let file = rustix::fs::openat(root.as_fd(), UNFINISHED, flags, Mode::empty())?;
    let file = File::from(file);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Appends whole lines durably. If a crash cut off the last line, that line is ended first.
pub fn append(mut file: &File, lines: &str) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut last = Vec::new();
    if file.metadata()?.len() > 0 {
        file.seek(io::SeekFrom::End(-1))?;
        file.read_to_end(&mut last)?;
    }
    let end = if last == b"\n" { "" } else { "\n" };
    // One write: a crash then cuts off only the end of one text.
    file.write_all(format!("{end}{lines}").as_bytes())?;
    file.sync_all()
}

/// Appends the line that says that everything but the commits is in place.
pub fn append_waiting(file: &File) -> io::Result<()> {
    append(file, &format!("{WAITS}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "2026-11-22T20-40-05Z-9f3c";
    const B: &str = "2026-11-23T20-40-05Z-9f3c";

    #[test]
    fn lines_that_are_appended_count_and_what_was_cut_off_does_not() {
        let mut file = tempfile::tempfile().unwrap();
        let text = format!("Words.\nsnapshot of words\n\nsnapshot {A}\nrepository 1\nscope data\n");
        file.write_all(text.as_bytes()).unwrap();
        let mark = RestoreMark::of(&mut file).unwrap();
        assert_eq!(mark.snapshots, [A.parse().unwrap()]);
        assert_eq!((mark.scope, mark.loads_databases), (Scope::Data, false));
        assert_eq!(mark.lacking(A.parse().unwrap(), false), "");
        append_waiting(&file).unwrap();
        assert!(RestoreMark::of(&mut file).unwrap().is_waiting);
        file.write_all(&B.as_bytes()[..9]).unwrap();
        append(&file, &mark.lacking(B.parse().unwrap(), true)).unwrap();
        let mark = RestoreMark::of(&mut file).unwrap();
        assert_eq!(mark.snapshots, [A.parse().unwrap(), B.parse().unwrap()]);
        // Everything else is in place of the first snapshot, but not of the second.
        assert_eq!((mark.loads_databases, mark.is_waiting), (true, false));
        assert!(mark.is_at(B.parse().unwrap()));
    }

    /// Files that earlier versions left name no scope.
    #[test]
    fn without_a_word_it_is_everything() {
        let mark = RestoreMark::parse(&format!("snapshot {A}\nrepository 1\n"));
        assert_eq!(mark.scope, Scope::Everything);
        assert_eq!(mark.title(), format!("snapshot {A}, repository 1"));
    }
}
