//! From the options of every verb to a repository and a state folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use seawall_backends::{self as backends, Backend, ErrorKind, Options};

use super::output::{Output, shown};
use super::{CommandError, Global, Status};
use crate::crypt::{Identities, Recipients, Seal};
use crate::repository::guard::WeakWrites;
use crate::repository::host_key::HostKey;
use crate::repository::identity::{self, Vouched, Voucher};
use crate::repository::note::VerifyingKey;
use crate::repository::state::{self, RepositoryState, StateFolder, StoredBefore};
use crate::repository::{self, Repository, RepositoryId, Snapshot, names};
use crate::seafile::discover::Environment;
use crate::time::Clock;

impl Global {
    /// How the destination is reached.
    fn options(&self) -> Result<Options, CommandError> {
        self.reaching.options(self.loudness())
    }

    /// The repository's URL.
    pub(super) fn url(&self) -> Result<&str, CommandError> {
        self.repository.as_deref().ok_or_else(|| CommandError {
            status: Status::Failed,
            error: anyhow!("no repository is named"),
            hint: Some("give one with -r DIR, or set SEAWALL_REPOSITORY".into()),
        })
    }

    /// Where this host keeps key, catalog and spool.
    pub(super) fn state_path(&self) -> Result<PathBuf, CommandError> {
        if let Some(path) = &self.state_dir {
            return Ok(path.clone());
        }
        if rustix::process::geteuid().is_root() {
            return Ok("/var/lib/seawall".into());
        }
        let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
        folder("XDG_STATE_HOME")
            .or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))
            .map(|path| path.join("seawall"))
            .ok_or_else(|| CommandError::new(anyhow!("there is no HOME"), "give --state-dir DIR"))
    }

    /// The state folder, made if it is not there.
    pub(super) fn state(&self) -> Result<StateFolder, CommandError> {
        Ok(StateFolder::open(&self.state_path()?)?)
    }

    fn trusted(&self) -> Result<Vec<VerifyingKey>, CommandError> {
        let parse = |text: &String| {
            text.trim().parse::<VerifyingKey>().with_context(|| {
                if text.contains("PRIVATE") {
                    return "that is a secret key, not a verification key".to_owned();
                }
                format!("{text:?} is no verification key")
            })
        };
        let keys: Result<Vec<_>, _> = self.trust.iter().map(parse).collect();
        keys.map_err(|error| {
            CommandError::new(
                error,
                "it looks like seawall-HOST+1234abcd+… and is on the recovery sheet",
            )
        })
    }

    /// Keys that may say which repository a place is.
    pub(super) fn vouchers(&self) -> Result<Vec<Voucher>, CommandError> {
        // A machine that only reads may have no place for a state folder.
        let mut vouchers = match self.state_path() {
            Ok(path) => StateFolder::vouchers(&path)?,
            Err(_) => Vec::new(),
        };
        let given = self.trusted()?.into_iter();
        vouchers.extend(given.map(|key| Voucher { key, of: None }));
        Ok(vouchers)
    }

    /// Opens a repository to read. Where `seawall.json` does not tell its id, or tells one that no
    /// marker has, markers that a trusted key signed do.
    fn open_to_read(&self, url: &str) -> Result<Repository, CommandError> {
        let (error, as_it_says) = match open_existing(self, url) {
            Ok(repository) => match repository.refuse_other() {
                Ok(()) => return Ok(repository),
                Err(error) => (CommandError::from(error), Some(repository)),
            },
            Err(error) => (error, None),
        };
        if !is_about_configuration(&error) {
            return Err(error);
        }
        let backend = backends::open(url, &self.options()?)?;
        let vouched = identity::vouched(backend.as_ref(), url, &self.vouchers()?)?;
        let of_markers =
            vouched.map(|vouched| Repository::open_as(backend, url, vouched.id, vouched.seal));
        let Some(repository) = of_markers.or(as_it_says) else {
            return Err(error);
        };
        let hint = error.hint.unwrap_or_default();
        Output::warning(format_args!("{:#}: {hint}", error.error));
        Output::warning(format_args!("going on as repository {}", repository.id()));
        Ok(repository)
    }

    /// The state folder of a host that has one; makes nothing.
    pub(super) fn existing_state(&self) -> Result<StateFolder, CommandError> {
        let path = self.state_path()?;
        let state = StateFolder::existing(&path).ok_or_else(|| CommandError {
            status: Status::NoKey,
            error: anyhow!("this host has no state folder {}", path.display()),
            hint: Some("run this on the host that is backed up, or give --state-dir DIR".into()),
        })?;
        state.refuse_other_owner()?;
        Ok(state)
    }

    /// Opens the repository to read; this host need not know it, nor have a place for a state folder.
    pub(super) fn open_silently(&self) -> Result<Repository, CommandError> {
        // A key file that cannot be used is told, also where none is needed.
        let given = self.keys.given()?;
        let repository = self.open_to_read(self.url()?)?;
        let state = self.state_path().ok();
        let known = state.and_then(|path| StateFolder::existing_repository(&path, repository.id()));
        let mut pinned = known.map(|known| known.trusted()).transpose()?.unwrap_or_default();
        pinned.extend(self.trusted()?);
        let mut repository = repository.with_pinned(pinned);
        if let Some(seal) = repository.seal_of_markers()?.filter(|seal| *seal != repository.seal())
        {
            let said = match repository.seal() {
                Seal::None => "nothing is encrypted",
                Seal::Age => "it is encrypted",
            };
            Output::warning(format_args!(
                "seawall.json says that {said}, and signed markers say otherwise: it was altered; going on as the markers say"
            ));
            repository = repository.with_seal(seal);
        }
        match repository.seal() {
            Seal::None => Ok(repository),
            Seal::Age => self.with_keys(repository, given),
        }
    }

    /// To read what this host cannot: with what a passphrase opens, unless another key is named. Whoever only
    /// looks at names is asked for nothing.
    pub(super) fn unlocked(&self, repository: Repository) -> Result<Repository, CommandError> {
        let is_enough = self.keys.are_given() && !self.keys.has_passphrase();
        if repository.seal() == Seal::None || is_enough {
            return Ok(repository);
        }
        let identities = self.keys.of_repository(&repository)?;
        Ok(repository.with_identities(identities))
    }

    /// To read a snapshot's manifest and index, as the host that wrote them can.
    pub(super) fn unlocked_for(
        &self,
        repository: Repository,
        snapshot: &Snapshot,
    ) -> Result<Repository, CommandError> {
        let manifest = names::manifest(snapshot.id(), repository.seal());
        match repository.must_open(&manifest) {
            Err(repository::Error::Locked { .. }) => self.unlocked(repository),
            // What is lost is told by who reads it.
            _ => Ok(repository),
        }
    }

    /// With the keys that are named and the host's own.
    fn with_keys(
        &self,
        repository: Repository,
        mut identities: Identities,
    ) -> Result<Repository, CommandError> {
        let state = self.state_path().ok();
        let state = state.and_then(|path| StateFolder::existing(&path));
        // Where this user may not read the host's key, there is none.
        if let Some(Ok(Some(host_key))) = state.map(|state| state.host_key()) {
            identities.extend(host_key.identities()?);
        }
        Ok(repository.with_identities(identities))
    }

    /// As [`Self::open_silently`], and says it when signatures prove nothing.
    pub(super) fn open(&self) -> Result<Repository, CommandError> {
        let repository = self.open_silently()?;
        if repository.pinned().is_empty() {
            Output::warning(
                "--trust was not given: anybody could have made this backup. Give the verification key of the recovery sheet: --trust KEY",
            );
        }
        Ok(repository)
    }
}

/// How a place may have been written down: as it is given, and where its links lead now.
fn spellings(url: &str) -> Vec<String> {
    let Some(path) = backends::local_path(url) else {
        return vec![url.trim_end_matches('/').to_owned()];
    };
    let mut spellings = vec![absolute(&path), real(&path)];
    spellings.dedup();
    let text = |path: PathBuf| path.to_string_lossy().trim_end_matches('/').to_owned();
    spellings.into_iter().map(text).collect()
}

/// Remembers that this host stored there: then an empty place is a disk that is not mounted.
pub(super) fn remember(state: &RepositoryState, url: &str) {
    if let Err(error) = state.remember_place(&spellings(url), Clock::system().now()) {
        let error = anyhow::Error::from(error);
        Output::warning(format_args!("where this host stored is not remembered: {error:#}"));
    }
}

/// The administrator begins anew at a place: what this host stored there before does not count any more.
pub(super) fn begin_anew(
    state: &StateFolder,
    url: &str,
    repository: &RepositoryId,
) -> Result<(), CommandError> {
    Ok(state::forget_others(state.path(), &spellings(url), repository)?)
}

/// What this host knows of a place where its repository is not, or another one than `found`.
pub(super) fn stored_before(
    global: &Global,
    url: &str,
    found: Option<&RepositoryId>,
) -> Option<StoredBefore> {
    let state = global.state_path().ok()?;
    state::stored_before(&state, &spellings(url), found).ok()?
}

/// The next step where this host stored before and nothing is left.
pub(super) fn is_mounted(before: &StoredBefore) -> String {
    format!(
        "this host stored here on {} (repository {}): is the disk mounted, and the name right? If that repository is lost \
         for good, `init --anew` begins a new one",
        before.at, before.repository
    )
}

/// Opens the repository at a place.
pub(super) fn open_existing(global: &Global, url: &str) -> Result<Repository, CommandError> {
    open_there(global, url).map_err(|mut error| {
        if error.status == Status::NoRepository
            && let Some(before) = stored_before(global, url, None)
        {
            error.hint = Some(is_mounted(&before));
        }
        error
    })
}

fn open_there(global: &Global, url: &str) -> Result<Repository, CommandError> {
    let options = global.options()?;
    let backend = backends::open(url, &options).map_err(|error| match error.kind() {
        ErrorKind::NotFound => repository::Error::NoRepository { place: url.into() }.into(),
        _ => CommandError::from(error),
    })?;
    Ok(Repository::open(backend, url)?)
}

/// Whether `seawall.json` is what is wrong.
fn is_about_configuration(error: &CommandError) -> bool {
    matches!(
        error.error.downcast_ref(),
        Some(
            repository::Error::ConfigurationMissing { .. }
                | repository::Error::ConfigurationDamaged { .. }
                | repository::Error::OtherRepository { .. }
        )
    )
}

/// Writes `seawall.json` again where only that is lost. `None`: that is not what is wrong.
pub(super) fn put_again(
    global: &Global,
    url: &str,
    error: &CommandError,
) -> Result<Option<(Repository, Vouched)>, CommandError> {
    let Some(repository::Error::ConfigurationMissing { place }) = error.error.downcast_ref() else {
        return Ok(None);
    };
    let backend = backends::open(url, &global.options()?)?;
    let vouched = identity::vouched(backend.as_ref(), place, &global.vouchers()?)?;
    let vouched = vouched.ok_or_else(|| repository::Error::Unvouched { place: place.clone() })?;
    let repository = Repository::put_again(backend, url, &vouched)?;
    Ok(Some((repository, vouched)))
}

/// Makes a place where nothing is yet, for a repository. A key that an `init` published there, which
/// then went no further, is nothing.
pub(super) fn make(global: &Global, url: &str) -> Result<Arc<dyn Backend>, CommandError> {
    let backend = backends::create(url, &global.options()?)?;
    let first = backend
        .list("")
        .find(|entry| entry.as_ref().map_or(true, |entry| !entry.key.is_below(names::KEYS)));
    if let Some(first) = first {
        let error = anyhow!("{url} is not empty, and no repository: it holds {}", first?.key);
        return Err(CommandError::new(error, "give a place that is empty or does not exist"));
    }
    Ok(backend)
}

/// The host's name, for its key and for manifests.
pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What a host that backs up has of a repository.
pub(super) struct Joined {
    pub repository: Repository,
    pub host_key: HostKey,
    pub state: RepositoryState,
}

/// Opens the repository to write; this host must have joined it.
pub(super) fn joined(
    global: &Global,
    state: &StateFolder,
    weak: WeakWrites,
) -> Result<Joined, CommandError> {
    let repository = open_existing(global, global.url()?)?;
    let no_key = || {
        let error = repository::Error::NoHostKey { place: repository.place().into() };
        let mut error = CommandError::from(error);
        let others = state.knows_repositories();
        if let Some(hint) = error.hint.as_mut().filter(|_| others) {
            hint.push_str("; if it backed up there so far, somebody replaced the repository");
        }
        error
    };
    let Some(of_repository) = StateFolder::existing_repository(state.path(), repository.id())
    else {
        // Rather a wrong `seawall.json` than a repository that this host never joined.
        repository.refuse_other()?;
        return Err(no_key());
    };
    let host_key = state.host_key()?.ok_or_else(no_key)?;
    let mut pinned = of_repository.trusted()?;
    if !pinned.contains(&host_key.verifying()) {
        repository.refuse_other()?;
        return Err(no_key());
    }
    pinned.extend(global.trusted()?);
    if weak == WeakWrites::Accepted {
        of_repository.accept_weak_writes()?;
    }
    let repository = repository.guarded(of_repository.weak_writes())?;
    let recipients = of_repository.recipients()?;
    let repository = to_write(global, repository.with_pinned(pinned), recipients, &host_key)?;
    let repository = repository.with_wrapped(of_repository.wrapped()?);
    Ok(Joined { repository, host_key, state: of_repository })
}

/// To write to a repository, and to read what this host itself has to read there.
pub(super) fn to_write(
    global: &Global,
    repository: Repository,
    recipients: Recipients,
    host_key: &HostKey,
) -> Result<Repository, CommandError> {
    let repository = repository.sealing_to(recipients, host_key)?;
    if repository.seal() == Seal::None {
        return Ok(repository);
    }
    let repository = repository.with_identities(host_key.identities()?);
    Ok(repository.with_identities(global.keys.given()?))
}

/// Says who could open what is encrypted, where no key at hand does.
pub(super) fn name_recipients(error: CommandError, snapshot: &Snapshot) -> CommandError {
    let readers = snapshot.marker.readers();
    if error.status != Status::NoKey || readers.recipients.is_empty() {
        return error;
    }
    let id = snapshot.id();
    let shown = |all: Vec<&str>| shown(&all.join(", "));
    let all: Vec<&str> = readers.of_all().collect();
    let partly: Vec<&str> = readers.partly.iter().map(String::as_str).collect();
    let who = match (all.is_empty(), partly.is_empty()) {
        (false, true) => format!("{id} is encrypted to {}", shown(all)),
        (false, false) => {
            format!("{} opens all of {id}, and {} a part each", shown(all), shown(partly))
        }
        (true, _) => format!(
            "no key alone opens {id}, which was stored while recipients changed: give those of {}, each with -i",
            shown(partly)
        ),
    };
    let hint = error.hint.unwrap_or_default();
    CommandError { hint: Some(format!("{hint}; {who}")), ..error }
}

/// Says it when a snapshot's signature proves nothing.
pub(super) fn warn_unpinned(snapshot: &Snapshot) {
    if !snapshot.signed_by.is_pinned() {
        Output::warning(format_args!(
            "{}: signed by a key that nobody vouched for on this host ({}): anybody could have made it. If the key is on a recovery sheet: --trust KEY",
            snapshot.id(),
            snapshot.signed_by.key()
        ));
    }
}

/// The process's variables, which may say where an installation's databases are.
pub(super) fn environment() -> Environment {
    Environment::new(
        std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }),
    )
}

/// A path as messages show it: absolute if possible.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Where a path leads to, links followed as far as it exists.
pub(super) fn real(path: &Path) -> PathBuf {
    let path = absolute(path);
    let existing = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match existing {
        Some((above, real)) => {
            path.strip_prefix(above).map_or(real.clone(), |rest| real.join(rest))
        }
        None => path,
    }
}
