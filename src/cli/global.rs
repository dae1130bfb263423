//! Options of every verb, and what follows from them: a destination, a state folder, this host.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;
use seawall_backends::Options;

use super::output::{Loudness, Output, shown};
use super::warnings::warn;
use super::{CommandError, Status, destination, keys};
use crate::host::VerifyingKey;
use crate::host::WeakWrites;
use crate::host::state::StateFolder;
use crate::host::{Destination, Host, Reading, Writing};
use crate::repository::Snapshot;
use crate::seafile::discover::Environment;

/// Options of every verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every verb")]
pub(super) struct Global {
    /// Where backups are kept: a folder, `sftp://user@host/path`, `s3://bucket/prefix` …
    #[arg(short, long, global = true, env = "SEAWALL_REPOSITORY", value_name = "URL")]
    pub(super) repository: Option<String>,
    /// This host's key, catalog and spool [default: /var/lib/seawall for root, else
    /// `$XDG_STATE_HOME/seawall`]
    #[arg(long, global = true, env = "SEAWALL_STATE_DIR", value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Believe markers that this key signed (the verification key of a recovery sheet)
    #[arg(long, global = true, value_name = "KEY")]
    pub(super) trust: Vec<String>,
    /// Print one JSON object instead of lines
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Say each step
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
    /// Say only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    #[command(flatten)]
    pub(super) keys: keys::KeyArguments,
    #[command(flatten)]
    pub(super) reaching: destination::Reaching,
}

impl Global {
    pub(super) fn loudness(&self) -> Loudness {
        match (self.quiet, self.verbose) {
            (true, _) => Loudness::Quiet,
            (_, true) => Loudness::Verbose,
            _ => Loudness::Normal,
        }
    }

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

    /// Where the repository is, and how it is reached.
    pub(super) fn destination(&self) -> Result<Destination, CommandError> {
        Ok(Destination::new(self.url()?, self.options()?))
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

    /// The state folder of a host that has one; makes nothing.
    pub(super) fn existing_state(&self) -> Result<StateFolder, CommandError> {
        Ok(StateFolder::of_this_host(&self.state_path()?)?)
    }

    /// Keys given with `--trust`.
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
        keys.map_err(|error| CommandError::new(error, VERIFICATION_KEY))
    }

    /// Does something as this host.
    pub(super) fn as_host<T, E: Into<CommandError>>(
        &self,
        act: impl FnOnce(&Host<'_>) -> Result<T, E>,
    ) -> Result<T, CommandError> {
        let state = self.state_path().ok();
        let trusted = self.trusted()?;
        let host =
            Host { state: state.as_deref(), trusted: &trusted, keys: self.keys.get(), tell: &warn };
        act(&host).map_err(Into::into)
    }

    /// Opens the repository to read; this host need not know it, nor have a place for a state folder.
    pub(super) fn open_silently(&self) -> Result<Reading, CommandError> {
        let destination = self.destination()?;
        self.as_host(|host| host.read(&destination))
    }

    /// As [`Self::open_silently`], and warns when signatures prove nothing.
    pub(super) fn open(&self) -> Result<Reading, CommandError> {
        let repository = self.open_silently()?;
        if repository.pinned().is_empty() {
            Output::warning(
                "--trust was not given: anybody could have made this backup. Give the verification key of the recovery sheet: --trust KEY",
            );
        }
        Ok(repository)
    }

    /// To read what this host cannot, with what a passphrase opens ([`Reading::unlock`]).
    pub(super) fn unlocked(&self, repository: Reading) -> Result<Reading, CommandError> {
        self.as_host(|host| repository.unlock(host))
    }

    /// To read a snapshot's manifest and index, as the host that wrote them can.
    pub(super) fn unlocked_for(
        &self,
        repository: Reading,
        snapshot: &Snapshot,
    ) -> Result<Reading, CommandError> {
        self.as_host(|host| repository.unlock_for(host, snapshot))
    }

    /// Opens the repository to write; this host must have joined it.
    pub(super) fn open_to_write(
        &self,
        state: &StateFolder,
        weak: WeakWrites,
    ) -> Result<Writing, CommandError> {
        let destination = self.destination()?;
        self.as_host(|host| host.write(state, &destination, weak))
    }
}

/// What to give where a verification key is expected.
pub(super) const VERIFICATION_KEY: &str =
    "it looks like seawall-HOST+1234abcd+… and is on the recovery sheet";

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
