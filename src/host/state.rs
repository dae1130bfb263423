//! The state folder of a host: its key, the keys it trusts, its catalogs, its spool. If everything
//! in it but the host key is lost, no backup is lost.

mod places;

pub use places::{StoredBefore, forget_others, stored_before};

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use seawall_backends::Key;
use zeroize::Zeroizing;

use super::acceptances::{Acceptances, AcceptedFaults};
use super::kept::{Keepable, Kept, failed, make_folder, replace};
use super::{Error, Result, owner, share};
use crate::crypt::Recipients;
use crate::repository::guard::WeakWrites;
use crate::repository::host_key::HostKey;
use crate::repository::identity::Voucher;
use crate::repository::note::{NoteError, VerifyingKey};
use crate::repository::wrapped::Wrapped;
use crate::repository::{self, RepositoryId, names};
use crate::time::Clock;

/// The state folder. Only its owner can read what is in it.
#[derive(Debug, Clone)]
pub struct StateFolder {
    path: PathBuf,
}

/// The lock of the state folder, held by one process. Dropping it releases the lock.
#[derive(Debug)]
pub struct StateLock {
    file: File,
}

impl StateLock {
    /// Writes into the file which process holds the lock, for the message of the next process. The
    /// lock works without this text, so errors are ignored.
    fn sign(mut self) -> Self {
        let (process, now) = (std::process::id(), Clock::system().now());
        let _ = self.file.set_len(0);
        let _ = self.file.write_all(format!("process {process}, since {now}\n").as_bytes());
        self
    }
}

impl Drop for StateLock {
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
        // Closing alone would not release the lock while a child process that was just started has
        // a copy of the file descriptor.
        let _ = self.file.unlock();
    }
}

impl StateFolder {
    /// Opens the folder. Makes it, readable by its owner alone, if it is missing.
    pub fn open(path: &Path) -> Result<Self> {
        owner::refuse_other(path)?;
        make_folder(path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// The folder if it exists. Makes nothing.
    pub fn existing(path: &Path) -> Option<Self> {
        path.is_dir().then(|| Self { path: path.to_owned() })
    }

    /// The folder of a host that has one, for a verb that writes. Makes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NoStateFolder`], or [`Error::OtherOwner`] if this user may not write there.
    pub fn of_this_host(path: &Path) -> Result<Self> {
        let state =
            Self::existing(path).ok_or_else(|| Error::NoStateFolder { path: path.to_owned() })?;
        owner::refuse_other(path)?;
        Ok(state)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock that keeps two runs on one host apart. Does not wait: [`Error::Busy`] if it
    /// is held.
    pub fn lock(&self) -> Result<StateLock> {
        let path = self.path.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(StateLock { file }.sign()),
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                let line = holder.lines().next().filter(|line| is_holder(line));
                Err(Error::Busy { holder: line.map(ToOwned::to_owned), path })
            }
            Err(TryLockError::Error(source)) => Err(share::lock_error(&path, source)),
        }
    }

    fn kept_host_key(&self) -> Kept<HostKey> {
        Kept::at(&self.path, "host.key")
    }

    /// The file with the host key. It is secret.
    pub fn host_key_path(&self) -> PathBuf {
        self.kept_host_key().path().to_owned()
    }

    /// The host key; `None` before `init`.
    pub fn host_key(&self) -> Result<Option<HostKey>> {
        self.kept_host_key().read()
    }

    /// The host key. Makes one if there is none.
    pub fn make_host_key(&self, host: &str) -> Result<HostKey> {
        if let Some(key) = self.host_key()? {
            return Ok(key);
        }
        let key = HostKey::generate(host)?;
        self.kept_host_key().write_first(&key)?;
        Ok(key)
    }

    /// Makes an empty folder for this run's database copies. Deletes what earlier runs left, so it
    /// needs the lock.
    pub fn clean_spool(&self, _lock: &StateLock) -> Result<PathBuf> {
        let path = self.path.join("spool");
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&path)(error)),
            _ => make_folder(&path),
        }?;
        Ok(path)
    }

    /// The folder of one repository. Makes it if it is missing.
    pub fn repository(&self, id: &RepositoryId) -> Result<RepositoryState> {
        let path = self.path.join("repositories").join(id.as_str());
        make_folder(&path)?;
        Ok(RepositoryState { path })
    }

    /// Every key that the administrator vouched for, with its repository. Makes nothing.
    pub fn vouchers(path: &Path) -> Result<Vec<Voucher>> {
        let mut vouchers = Vec::new();
        for (id, state) in of_repositories(path)? {
            let trusted = state.trusted()?.into_iter();
            vouchers.extend(trusted.map(|key| Voucher { key, of: Some(id.clone()) }));
        }
        Ok(vouchers)
    }

    /// Whether this host has joined any repository; `false` if the folder cannot be read.
    pub fn knows_repositories(&self) -> bool {
        of_repositories(&self.path).is_ok_and(|all| !all.is_empty())
    }

    /// The repositories for which this host encrypts, with their recipients.
    pub fn encrypting(&self) -> Result<Vec<(RepositoryId, Recipients)>> {
        let mut all = Vec::new();
        for (id, state) in of_repositories(&self.path)? {
            let recipients = state.recipients()?;
            if !recipients.is_empty() {
                all.push((id, recipients));
            }
        }
        Ok(all)
    }

    /// Like [`Self::repository`], but makes nothing. For verbs that only read.
    pub fn existing_repository(path: &Path, id: &RepositoryId) -> Option<RepositoryState> {
        let path = path.join("repositories").join(id.as_str());
        path.is_dir().then_some(RepositoryState { path })
    }
}

/// The folder with what a host knows of one repository.
#[derive(Debug, Clone)]
pub struct RepositoryState {
    path: PathBuf,
}

impl RepositoryState {
    /// The catalog's file.
    pub fn catalog_path(&self) -> PathBuf {
        self.path.join("catalog.db")
    }

    fn kept_trusted(&self) -> Kept<Vec<VerifyingKey>> {
        Kept::at(&self.path, "trusted")
    }

    /// Verification keys that the administrator vouched for.
    pub fn trusted(&self) -> Result<Vec<VerifyingKey>> {
        Ok(self.kept_trusted().read()?.unwrap_or_default())
    }

    /// Vouches for a key.
    pub fn trust(&self, key: &VerifyingKey) -> Result<()> {
        let mut keys = self.trusted()?;
        if keys.contains(key) {
            return Ok(());
        }
        keys.push(key.clone());
        self.kept_trusted().write(&keys)
    }

    fn kept_recipients(&self) -> Kept<Recipients> {
        Kept::at(&self.path, "recipients")
    }

    /// The recipients that this host seals to; if there are none, it stores plain files. What the
    /// repository says about recipients does not count.
    pub fn recipients(&self) -> Result<Recipients> {
        Ok(self.kept_recipients().read()?.unwrap_or_default())
    }

    /// Replaces the recipients that this host seals to.
    pub fn set_recipients(&self, recipients: &Recipients) -> Result<()> {
        self.kept_recipients().write(recipients)
    }

    fn weak_writes_path(&self) -> PathBuf {
        self.path.join("weak-writes-accepted")
    }

    /// The administrator's decision about weak writes.
    pub fn weak_writes(&self) -> WeakWrites {
        if self.weak_writes_path().exists() { WeakWrites::Accepted } else { WeakWrites::Refused }
    }

    /// Remembers that weak writes are accepted.
    pub fn accept_weak_writes(&self) -> Result<()> {
        replace(&self.weak_writes_path(), b"")
    }

    fn kept_accepted(&self) -> Kept<Acceptances> {
        Kept::at(&self.path, "accepted")
    }

    /// Accepted damage; `None` if this host has no such file.
    pub fn accepted(&self) -> Result<Option<Acceptances>> {
        self.kept_accepted().read()
    }

    /// Replaces the accepted damage.
    pub fn set_accepted(&self, accepted: &Acceptances) -> Result<()> {
        self.kept_accepted().write(accepted)
    }

    fn kept_faults(&self) -> Kept<AcceptedFaults> {
        Kept::at(&self.path, "accepted-faults")
    }

    /// Bad stored files that are accepted here.
    pub fn accepted_faults(&self) -> Result<AcceptedFaults> {
        Ok(self.kept_faults().read()?.unwrap_or_default())
    }

    /// Replaces the accepted bad files.
    pub fn set_accepted_faults(&self, accepted: &AcceptedFaults) -> Result<()> {
        self.kept_faults().write(accepted)
    }

    /// The copy of the recovery sheet.
    pub fn sheet_path(&self) -> PathBuf {
        self.path.join("recovery-sheet.txt")
    }

    /// Keeps a copy of the recovery sheet.
    pub fn keep_sheet(&self, text: &str) -> Result<PathBuf> {
        let path = self.sheet_path();
        replace(&path, text.as_bytes())?;
        Ok(path)
    }

    fn keys_path(&self) -> PathBuf {
        self.path.join("keys")
    }

    /// Keeps a copy of a passphrase-protected key. If the key's file is lost, the passphrase opens
    /// nothing.
    pub fn keep_wrapped(&self, wrapped: &Wrapped) -> Result<()> {
        let folder = self.keys_path();
        make_folder(&folder)?;
        let name = wrapped.key.as_str().rsplit('/').next();
        replace(&folder.join(name.unwrap_or_default()), &wrapped.bytes)
    }

    /// The copies of passphrase-protected keys, sorted by key.
    pub fn wrapped(&self) -> Result<Vec<Wrapped>> {
        let folder = self.keys_path();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&folder)(error)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed(&folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let key = name.and_then(|name| Key::parse(&format!("{}/{name}", names::KEYS)).ok());
            // Temporary files of interrupted writes have other names.
            if let Some(key) = key.filter(names::is_wrapped_key) {
                let bytes = fs::read(&path).map_err(failed(&path))?;
                all.push(Wrapped { key, bytes });
            }
        }
        all.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        Ok(all)
    }
}

/// Every repository in a state folder, sorted by id. Makes nothing.
fn of_repositories(path: &Path) -> Result<Vec<(RepositoryId, RepositoryState)>> {
    let path = path.join("repositories");
    let folders = match fs::read_dir(&path) {
        Ok(folders) => folders,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(&path)(error)),
    };
    let mut all = Vec::new();
    for folder in folders {
        let folder = folder.map_err(failed(&path))?;
        let name = folder.file_name();
        if let Some(id) = name.to_str().and_then(|name| name.parse().ok()) {
            let path = folder.path();
            all.push((id, RepositoryState { path }));
        }
    }
    all.sort_by(|one: &(RepositoryId, _), other| one.0.as_str().cmp(other.0.as_str()));
    Ok(all)
}

/// Whether a line looks like the one that [`StateLock::sign`] writes.
fn is_holder(line: &str) -> bool {
    line.starts_with("process ") && line.len() < 80 && !line.contains(char::is_control)
}

impl Keepable for HostKey {
    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| match error {
            repository::Error::Malformed { reason, .. } => reason,
            error => error.to_string(),
        })
    }

    fn to_text(&self) -> Result<Zeroizing<String>, String> {
        Ok(Self::to_text(self))
    }
}

/// Keys, one a line.
impl Keepable for Vec<VerifyingKey> {
    fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| line.parse().map_err(|error: NoteError| error.to_string())).collect()
    }

    fn to_text(&self) -> Result<Zeroizing<String>, String> {
        let lines: Vec<_> = self.iter().map(|key| format!("{key}\n")).collect();
        Ok(Zeroizing::new(lines.concat()))
    }
}

/// Recipients, one a line.
impl Keepable for Recipients {
    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }

    fn to_text(&self) -> Result<Zeroizing<String>, String> {
        let lines: Vec<&str> = self.texts().collect();
        Ok(Zeroizing::new(lines.join("\n") + "\n"))
    }
}

impl Keepable for Acceptances {
    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn to_text(&self) -> Result<Zeroizing<String>, String> {
        Self::to_text(self).map(Zeroizing::new).map_err(|error| error.to_string())
    }
}

impl Keepable for AcceptedFaults {
    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn to_text(&self) -> Result<Zeroizing<String>, String> {
        Self::to_text(self).map(Zeroizing::new).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_host_key_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(&folder.path().join("state")).unwrap();
        assert!(state.host_key().unwrap().is_none());
        let key = state.make_host_key("host").unwrap();
        assert_eq!(state.make_host_key("other").unwrap().id(), key.id());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state.host_key_path()), 0o600);
        assert_eq!(mode(state.path()), 0o700);
    }

    #[test]
    fn the_lock_keeps_a_second_run_out() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let lock = state.lock().unwrap();
        let Err(Error::Busy { holder: Some(holder), .. }) = state.lock() else {
            panic!("the lock is taken, and says by whom")
        };
        let process = format!("process {}, since 20", std::process::id());
        assert!(holder.starts_with(&process), "{holder}");
        drop(lock);
        assert_eq!(fs::read(folder.path().join("lock")).unwrap(), b"");
        assert!(state.lock().is_ok());
    }

    #[test]
    fn trust_is_remembered_once() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let repository = state.repository(&RepositoryId::random().unwrap()).unwrap();
        let key = HostKey::generate("x").unwrap().verifying();
        repository.trust(&key).unwrap();
        repository.trust(&key).unwrap();
        assert_eq!(repository.trusted().unwrap(), [key]);
    }

    #[test]
    fn a_file_with_no_acceptance_is_told_from_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let repository = state.repository(&RepositoryId::random().unwrap()).unwrap();
        assert_eq!(repository.accepted().unwrap(), None);
        let none = Acceptances::default();
        repository.set_accepted(&none).unwrap();
        assert_eq!(repository.accepted().unwrap(), Some(none));
        replace(repository.kept_accepted().path(), b"oops\n").unwrap();
        let error = repository.accepted().unwrap_err().to_string();
        assert!(error.contains("accepted") && error.contains("line 1"), "{error}");
    }
}
