//! What can go wrong between this host and a repository: in the state folder, in the catalog, and when a
//! repository is opened or joined.

use std::io;
use std::path::{Path, PathBuf};

use super::owner;
use super::state::StoredBefore;
use crate::crypt::{IdentityError, ParseRecipientError};
use crate::place::shell;
use crate::repository::{self, RepositoryId};

/// What can go wrong between this host and a repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The repository or its destination failed.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// There is no repository where this host stored before. Its disk is probably not mounted.
    #[error("there is no repository at {place}")]
    NotThere {
        /// The URL or path as given.
        place: String,
        /// What this host knows of the place.
        before: StoredBefore,
    },
    /// As [`Self::NotThere`], for a host that is about to make a repository, or to join another one.
    #[error("there is {} at {place} now, and this host stored there before", if *.other { "another repository" } else { "no repository" })]
    Replaced {
        /// The URL or path as given.
        place: String,
        /// Whether a repository is there, but another one.
        other: bool,
        /// What this host knows of the place.
        before: StoredBefore,
    },
    /// A place for a new repository holds something else.
    #[error("{place} is not empty, and no repository: it holds {key}")]
    NotEmpty {
        /// The URL or path as given.
        place: String,
        /// The first key there.
        key: seawall_backends::Key,
    },
    /// This host has no key for the repository.
    #[error("this host has no key for the repository {place}")]
    NoHostKey {
        /// The URL or path as given.
        place: String,
        /// Whether this host has joined other repositories.
        knows_others: bool,
    },
    /// This host's key is not the one that signed its last snapshot.
    #[error(
        "this host has another key than when it made {snapshot}, its last snapshot, which is signed by {key}"
    )]
    AnotherKey {
        /// The snapshot.
        snapshot: repository::names::SnapshotId,
        /// The key that signed it.
        key: String,
    },
    /// This host has no state folder.
    #[error("this host has no state folder {}", path.display())]
    NoStateFolder {
        /// Where it would be.
        path: PathBuf,
    },
    /// The state folder failed.
    #[error("cannot use {}", path.display())]
    State {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the state folder cannot be parsed.
    #[error("{} cannot be read: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The state folder belongs to another user.
    #[error("the state folder {} belongs to {owner}, and this is {this}", path.display())]
    OtherOwner {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: String,
        /// Who runs this.
        this: String,
    },
    /// Another process holds the lock of the state folder.
    #[error("another run is busy with {}{}", path.display(), holder.as_deref().map(|holder| format!(" ({holder})")).unwrap_or_default())]
    Busy {
        /// The lock file. It never has to be removed: the lock ends with the process.
        path: PathBuf,
        /// The process that holds it, if it wrote that into the file.
        holder: Option<String>,
    },
    /// The catalog failed.
    #[error("the catalog {} failed", path.display())]
    Catalog {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The state folder's file system, such as NFS, SMB or FUSE, lacks locks or shared memory.
    /// Without them nothing keeps two runs apart.
    #[error("the file system of {} gives no locks or no shared memory", path.display())]
    StateOnShare {
        /// The file.
        path: PathBuf,
        /// The error that showed it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A repository is to be made, and nobody said whether to encrypt it. Nothing changes that later.
    #[error(
        "there is no repository at {place} yet, and to make one seawall has to know whether to encrypt it"
    )]
    EncryptionUndecided {
        /// The URL or path as given.
        place: String,
    },
    /// This host encrypts what it stores elsewhere, and nothing would be encrypted here. Somebody who can
    /// write at the destination may have replaced the repository.
    #[error(
        "{place} is not encrypted, and this host encrypts what it stores (to {recipients}, in the repository {repository})"
    )]
    InTheClear {
        /// The URL or path as given.
        place: String,
        /// To whom this host encrypts.
        recipients: String,
        /// Where it does.
        repository: RepositoryId,
    },
    /// A host that joined already was given other recipients.
    #[error("this host encrypts to {recipients} there already")]
    OtherRecipients {
        /// To whom this host encrypts.
        recipients: String,
    },
    /// A key behind a passphrase is made together with a repository, and this one is there.
    #[error("there is a repository at {place} already")]
    KeysWereMade {
        /// The URL or path as given.
        place: String,
    },
    /// Recipients were given for a repository that is not encrypted.
    #[error("the repository at {place} is not encrypted")]
    IsNotEncrypted {
        /// The URL or path as given.
        place: String,
    },
    /// A repository that is encrypted was to be joined without encryption.
    #[error("the repository at {place} is encrypted")]
    IsEncrypted {
        /// The URL or path as given.
        place: String,
    },
    /// A repository that is not encrypted has no keys to manage.
    #[error("the repository at {place} is not encrypted: it has no keys to read it")]
    NoKeysToRead {
        /// The URL or path as given.
        place: String,
    },
    /// A text is no recipient.
    #[error(transparent)]
    Recipient(#[from] ParseRecipientError),
    /// A file of recipients has a line that is none.
    #[error("{}", path.display())]
    RecipientsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ParseRecipientError,
    },
    /// A file of recipients has none.
    #[error("{} names no recipient", path.display())]
    NoRecipientIn {
        /// The file.
        path: PathBuf,
    },
    /// Not exactly one of this host's recipients begins like the text that was given.
    #[error("{found} of this host's recipients begin like that")]
    WhichRecipient {
        /// How many do.
        found: usize,
    },
    /// The only recipient cannot be removed.
    #[error("it is the only recipient: nobody could read what is stored then")]
    OnlyRecipient,
    /// An identity cannot be used.
    #[error("cannot use {name}")]
    Identity {
        /// The file or key.
        name: String,
        /// Why.
        source: IdentityError,
    },
    /// A file that the administrator named cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that should hold a secret cannot be read.
    #[error("cannot read {}", path.display())]
    UnreadableSecret {
        /// The file.
        path: PathBuf,
        /// The variable that may hold the secret instead.
        variable: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file that should hold a secret begins with an empty line.
    #[error("{} begins with an empty line", path.display())]
    EmptySecret {
        /// The file.
        path: PathBuf,
    },
    /// Other users can read a file that holds a secret.
    #[error("{} has mode {mode:04o}: other users can read the secret in it", path.display())]
    SecretOpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A new passphrase is needed, and nobody gave one.
    #[error("no passphrase was given")]
    NoPassphrase,
    /// A key behind a passphrase is to be opened, and nobody gave the passphrase.
    #[error("no passphrase was given")]
    NoPassphraseGiven,
    /// The repository keeps no key behind a passphrase.
    #[error("the repository keeps no key behind a passphrase")]
    NoWrappedKeys,
    /// Two answers to the same question differ.
    #[error("the two passphrases differ")]
    PassphrasesDiffer,
    /// A passphrase is easily guessed.
    #[error("the passphrase is too weak: {weakness}")]
    WeakPassphrase {
        /// In which way.
        weakness: String,
    },
    /// The computer gave no random bytes.
    #[error("no random numbers: {0}")]
    Random(String),
    /// A snapshot is to be written again, and is not the newest of its host.
    #[error("{snapshot} is not the newest snapshot of its host: {newest} is")]
    NotNewest {
        /// The snapshot.
        snapshot: repository::names::SnapshotId,
        /// The newest.
        newest: repository::names::SnapshotId,
    },
    /// A snapshot of another host is signed by a key that nobody vouches for here.
    #[error("{snapshot} is signed by a key that nobody vouches for here ({key})")]
    NotVouchedFor {
        /// The snapshot.
        snapshot: repository::names::SnapshotId,
        /// The key.
        key: String,
    },
    /// A host that has snapshots of its own was to go on from another host's.
    #[error("this host has snapshots of its own, the newest is {newest}")]
    HasOwnSnapshots {
        /// The newest.
        newest: repository::names::SnapshotId,
    },
}

impl From<seawall_backends::Error> for Error {
    fn from(error: seawall_backends::Error) -> Self {
        Self::Repository(error.into())
    }
}

impl From<repository::note::NoteError> for Error {
    fn from(error: repository::note::NoteError) -> Self {
        Self::Repository(error.into())
    }
}

/// What to give where a recipient is expected.
const WHAT_TO_GIVE: &str = "`age-keygen -o key.txt` makes a key and prints its public half; keep the file away from this host";
/// Where a passphrase comes from.
const GIVE_PASSPHRASE: &str = "give it with --passphrase-file FILE or in SEAWALL_PASSPHRASE";
/// Encryption is decided once.
const DECIDED: &str =
    "make a new one in another place to encrypt: that is decided when a repository is made";

impl Error {
    /// The next step for the user, if there is one.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Repository(error) => return error.hint(),
            Self::NotThere { before, .. } | Self::Replaced { before, .. } => is_it_mounted(before),
            Self::NotEmpty { .. } => "give a place that is empty or does not exist".into(),
            Self::NoHostKey { place, knows_others } => {
                let replaced = if *knows_others {
                    "; if it backed up there so far, somebody replaced the repository"
                } else {
                    ""
                };
                format!("run `seawall init -r {}` on this host first{replaced}", shell(place))
            }
            Self::AnotherKey { key, .. } => format!(
                "put the old key back into the state folder, or go on from that snapshot without storing anything again: seawall key adopt --trust '{key}' [-i IDENTITY]"
            ),
            Self::NoStateFolder { .. } => {
                "run this on the host that is backed up, or give --state-dir DIR".into()
            }
            Self::OtherOwner { .. }
            | Self::State { .. }
            | Self::Malformed { .. }
            | Self::Busy { .. }
            | Self::Catalog { .. }
            | Self::StateOnShare { .. } => return self.state_hint(),
            Self::EncryptionUndecided { .. } => "add one of these; the choice is final, it cannot be changed later:
  --recipient age1… (or --recipients-file FILE)  only the private key opens it; this host does not have it
  --with-passphrase                              a passphrase opens it
  --unencrypted                                  whoever can read the destination reads all files, and the passwords in Seafile's configuration".into(),
            Self::InTheClear { .. } => "if it backed up there so far, somebody replaced the repository; for another one give --recipient KEY, or --unencrypted".into(),
            Self::OtherRecipients { .. } => "`seawall key add --recipient KEY` adds one, `seawall key remove` takes one away".into(),
            Self::KeysWereMade { .. } => "its keys were made with it: give --recipient KEY (for a key behind a passphrase, `seawall key export` prints it)".into(),
            Self::IsNotEncrypted { .. } | Self::NoKeysToRead { .. } => DECIDED.into(),
            Self::IsEncrypted { .. } => "leave --unencrypted out, or make a new repository in another place: that is decided when a repository is made".into(),
            Self::Recipient(_) | Self::RecipientsFile { .. } | Self::NoRecipientIn { .. } => {
                WHAT_TO_GIVE.into()
            }
            Self::WhichRecipient { .. } => "`seawall key list` shows them".into(),
            Self::OnlyRecipient => "add another one first: seawall key add --recipient KEY".into(),
            Self::NoPassphraseGiven
            | Self::Identity {
                source: IdentityError::NoPassphrase | IdentityError::WrongPassphrase,
                ..
            } => GIVE_PASSPHRASE.into(),
            Self::Identity { .. } => {
                "give the file that age-keygen wrote, or an SSH private key".into()
            }
            Self::UnreadableSecret { variable, .. } => {
                format!("the secret is the first line of that file; or set {variable}")
            }
            Self::EmptySecret { .. } => "the secret is its first line".into(),
            Self::SecretOpenToOthers { path, .. } => {
                format!("chmod 600 {}", shell(&path.to_string_lossy()))
            }
            Self::NoWrappedKeys => "its recipients' private keys lie elsewhere: `seawall key list` names the recipients".into(),
            Self::NoPassphrase => {
                format!("{GIVE_PASSPHRASE}; on a terminal seawall asks for it, or makes one")
            }
            Self::WeakPassphrase { .. } => "its key lies in the repository, where whoever can read it may try passphrases: take five random words or more. On a terminal, without --passphrase-file, seawall makes one for you".into(),
            Self::NotNewest { .. } => "what is written again is the newest from then on; any snapshot can be restored as it is".into(),
            Self::NotVouchedFor { .. } => {
                "give --trust KEY from the recovery sheet of that host".into()
            }
            Self::HasOwnSnapshots { .. } => {
                "only a host that has none yet goes on from another's".into()
            }
            Self::Unreadable { .. } | Self::PassphrasesDiffer | Self::Random(_) => return None,
        })
    }

    /// The next step where the state folder failed.
    fn state_hint(&self) -> Option<String> {
        Some(match self {
            Self::Busy { .. } => {
                "wait until it has ended; if it was killed, its lock went with it".into()
            }
            Self::OtherOwner { owner, .. } => other_owner_hint(owner),
            Self::State { path, source } if source.kind() == io::ErrorKind::PermissionDenied => {
                not_yours_hint(path)
            }
            Self::Catalog { path, source }
                if is_denied(source) && owner::other_owner(path).is_some() =>
            {
                not_yours_hint(path)
            }
            Self::Catalog { source, .. } if is_full(source) => {
                "make room there and run the same again: nothing that was stored is lost".into()
            }
            Self::State { source, .. }
                if matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                "make room there, or give another folder with --state-dir".into()
            }
            Self::Catalog { path, .. } => format!(
                "if the file is damaged, move {} away: it is made again from the repository",
                path.display()
            ),
            Self::StateOnShare { .. } => {
                "the state folder must lie on a local disk (`--state-dir DIR`): move it there, nothing in it is damaged".into()
            }
            Self::State { path, .. } => format!(
                "make {} writable for this user; a host that has no state folder yet may have it elsewhere: --state-dir DIR",
                path.display()
            ),
            _ => return None,
        })
    }
}

/// The next step where this host stored before and nothing is left.
fn is_it_mounted(before: &StoredBefore) -> String {
    format!(
        "this host stored here on {} (repository {}): is the disk mounted, and the name right? If that repository is lost \
         for good, `init --anew` begins a new one",
        before.at, before.repository
    )
}

/// Advises to run as the owner of the state folder. A state folder of its own would mean another
/// host key, and everything would be stored again.
fn other_owner_hint(owner: &str) -> String {
    match owner.strip_prefix("user ") {
        _ if owner == "root" => "run it as root: sudo seawall …".to_owned(),
        Some(uid) => format!(
            "run it as its owner, who could not use what another leaves there: sudo -u '#{uid}' seawall …"
        ),
        None => format!(
            "run it as its owner, who could not use what another leaves there: sudo -u {owner} seawall …"
        ),
    }
}

/// Advises how to give files back to this user after another user's run.
fn not_yours_hint(path: &Path) -> String {
    match owner::other_owner(path) {
        Some(owner) => format!(
            "it belongs to {owner}, as after a run as {owner}. Give it back: sudo chown -R {}: {}",
            owner::this_user(),
            shell(&path.display().to_string())
        ),
        None => format!(
            "check the permissions of {} and of the folders above it; a host that has no state folder yet may have it elsewhere: --state-dir DIR",
            path.display()
        ),
    }
}

/// Whether SQLite was denied to open or write the catalog.
fn is_denied(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode;
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied)
    )
}

/// Whether the disk that a catalog lies on is full.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}
