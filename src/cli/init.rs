//! `seawall init`: makes a repository, or lets this host join one.

use std::sync::Arc;

use anyhow::anyhow;
use clap::Args;
use seawall_backends::Backend;
use serde::Serialize;

use super::keys::To;
use super::output::{Output, count};
use super::place::{self, Joined};
use super::sheet::recovery_sheet;
use super::{CommandError, Global, Status};
use crate::crypt::{Recipients, Seal};
use crate::repository::guard::{self, WeakWrites};
use crate::repository::identity::Vouched;
use crate::repository::state::StateFolder;
use crate::repository::{self, Repository};
use crate::time::Clock;

#[derive(Serialize)]
struct Outcome<'a> {
    repository: &'a str,
    id: String,
    created: bool,
    configuration_put_again: bool,
    verification_key: String,
    recipients: Vec<String>,
    recovery_sheet: std::path::PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Joining {
    /// Use a destination that overwrites, where only this host writes (B2, WebDAV, Garage)
    #[arg(long)]
    accept_weak_writes: bool,
    /// Store in the clear although this host encrypts what it stores elsewhere
    #[arg(long)]
    unencrypted: bool,
    #[command(flatten)]
    to: To,
}

impl Joining {
    pub(super) fn weak_writes(&self) -> WeakWrites {
        if self.accept_weak_writes {
            WeakWrites::Accepted
        } else {
            WeakWrites::Refused
        }
    }
}

pub(super) fn run(
    global: &Global,
    arguments: &Joining,
    output: Output,
) -> Result<Status, CommandError> {
    let state = global.state()?;
    let _lock = state.lock()?;
    let (joined, how) = join(global, arguments, &state)?;
    let sheet = recovery_sheet(&joined, global)?;
    let kept = joined.state.keep_sheet(&sheet)?;
    let place = joined.repository.place();
    match &how {
        How::Made => output.line(format_args!("made the repository {place}")),
        How::Joined => output.line(format_args!("joined the repository {place}")),
        How::PutAgain(vouched) => output.line(format_args!(
            "wrote seawall.json of the repository {place} again, with the id {}: {} that a trusted key signed {} it",
            vouched.id,
            count(vouched.markers as u64, "marker", "markers"),
            if vouched.markers == 1 { "names" } else { "name" },
        )),
    }
    let recipients = joined.repository.recipients();
    output.detail(if recipients.is_empty() {
        "It is not encrypted, and Seafile's configuration holds passwords: let nobody else read it.\n"
            .to_owned()
    } else {
        format!(
            "It is encrypted to {}; this host cannot read it. Keep the private half of one elsewhere, and try a restore with it.\n",
            count(recipients.len() as u64, "recipient", "recipients")
        )
    });
    output.detail(&sheet);
    output.detail(format_args!(
        "\nA copy of this sheet is in {}.",
        kept.display()
    ));
    if matches!(how, How::Joined) {
        tell_of_others(&joined, output)?;
    }
    output.json(&Outcome {
        repository: place,
        id: joined.repository.id().to_string(),
        created: matches!(how, How::Made),
        configuration_put_again: matches!(how, How::PutAgain(_)),
        verification_key: joined.host_key.verifying().to_string(),
        recipients,
        recovery_sheet: kept,
    })?;
    Ok(Status::Done)
}

/// A server that moved, or lost its key, need not store anything again.
fn tell_of_others(joined: &Joined, output: Output) -> Result<(), CommandError> {
    let own = joined.host_key.verifying();
    let markers = joined.repository.markers()?;
    let is_own = |snapshot: &&repository::Snapshot| *snapshot.signed_by.key() == own;
    if markers.snapshots.iter().any(|snapshot| is_own(&snapshot)) {
        return Ok(());
    }
    if let Some(newest) = markers.latest() {
        let identity = match joined.repository.seal() {
            Seal::None => "",
            Seal::Age => " -i IDENTITY",
        };
        output.line(format_args!(
            "\nAnother host stored {} there. If that was this server, go on from it, and nothing is stored again:\n  seawall key adopt --trust '{}'{identity}",
            newest.id(),
            newest.signed_by.key()
        ));
    }
    Ok(())
}

/// How a host came to a repository.
pub(super) enum How {
    /// It was made.
    Made,
    /// It was there.
    Joined,
    /// It was there but for its `seawall.json`.
    PutAgain(Vouched),
}

/// A place, before this host writes to it.
enum Place {
    /// There is a repository.
    Repository(Repository),
    /// There is nothing yet.
    Empty(Arc<dyn Backend>),
}

/// What is at a place, or what was made of it.
fn look(global: &Global, url: &str) -> Result<(Place, How), CommandError> {
    let error = match place::open_existing(global, url) {
        Ok(repository) => {
            repository.refuse_other()?;
            return Ok((Place::Repository(repository), How::Joined));
        }
        Err(error) => error,
    };
    if error.status == Status::NoRepository {
        return match place::make(global, url) {
            Ok(backend) => Ok((Place::Empty(backend), How::Made)),
            Err(error) => {
                let repository = made_meanwhile(global, url, error)?;
                Ok((Place::Repository(repository), How::Joined))
            }
        };
    }
    match place::put_again(global, url, &error)? {
        Some((repository, vouched)) => Ok((Place::Repository(repository), How::PutAgain(vouched))),
        None => Err(error),
    }
}

/// The repository that another host made while this one was about to; else why this one could not.
fn made_meanwhile(
    global: &Global,
    url: &str,
    error: CommandError,
) -> Result<Repository, CommandError> {
    place::open_existing(global, url).map_err(|_| error)
}

/// Opens the repository, or makes it; publishes this host's key there and trusts it here.
pub(super) fn join(
    global: &Global,
    arguments: &Joining,
    state: &StateFolder,
) -> Result<(Joined, How), CommandError> {
    let url = global.url()?;
    let mut recipients = arguments.to.recipients()?;
    let (place, mut how) = look(global, url)?;
    let weak = match &place {
        Place::Repository(repository) if arguments.weak_writes() == WeakWrites::Refused => {
            StateFolder::existing_repository(state.path(), repository.id())
                .map_or(WeakWrites::Refused, |known| known.weak_writes())
        }
        _ => arguments.weak_writes(),
    };
    if let Place::Repository(repository) = &place {
        let known = StateFolder::existing_repository(state.path(), repository.id());
        let known = known.map(|known| known.recipients()).transpose()?;
        let known = known.unwrap_or_default();
        if recipients.is_empty() {
            recipients = known;
        } else if !known.is_empty() && recipients != known {
            return Err(CommandError::new(
                anyhow!(
                    "this host encrypts to {} there already",
                    known.texts().collect::<Vec<_>>().join(", ")
                ),
                "`seawall key add --recipient KEY` adds one, `seawall key remove` takes one away",
            ));
        }
        refuse_other_seal(repository, &recipients, arguments)?;
    }
    if recipients.is_empty() && !arguments.to.is_with_passphrase() {
        refuse_in_the_clear(&place, url, arguments, state)?;
    }
    let host_key = state.make_host_key(&place::host_name())?;
    let wrapped = match &place {
        Place::Repository(_) => None,
        Place::Empty(_) => arguments.to.wrapped(&global.keys)?,
    };
    if let Some((_, recipient)) = &wrapped {
        recipients.add(recipient).map_err(anyhow::Error::from)?;
    }
    // What cannot be encrypted to is no repository either.
    host_key.try_sealing_to(&recipients)?;
    let now = Clock::system().now();
    // The key first: a destination that is refused for overwriting is no repository then.
    let repository = match place {
        Place::Repository(repository) => {
            let repository = repository.guarded(weak)?;
            guard::publish(&**repository.backend(), url, &host_key, now)?;
            repository
        }
        Place::Empty(backend) => {
            let backend = guard::guarded(backend, url, weak)?;
            guard::publish(&*backend, url, &host_key, now)?;
            if let Some((wrapped, _)) = &wrapped {
                wrapped.put(&*backend)?;
            }
            let seal = if recipients.is_empty() {
                Seal::None
            } else {
                Seal::Age
            };
            match Repository::init_sealed(backend, url, now, seal) {
                Ok(repository) => repository,
                Err(error) => {
                    how = How::Joined;
                    made_meanwhile(global, url, error.into())?.guarded(weak)?
                }
            }
        }
    };
    let of_repository = state.repository(repository.id())?;
    if weak == WeakWrites::Accepted {
        of_repository.accept_weak_writes()?;
    }
    of_repository.trust(&host_key.verifying())?;
    let pinned = of_repository.trusted()?;
    let repository = repository.with_pinned(pinned);
    if let Some((wrapped, _)) = &wrapped {
        of_repository.keep_wrapped(wrapped)?;
    }
    if !recipients.is_empty() {
        of_repository.set_recipients(&recipients)?;
    }
    let repository = place::to_write(global, repository, recipients, &host_key)?;
    let repository = repository.with_wrapped(of_repository.wrapped()?);
    Ok((
        Joined {
            repository,
            host_key,
            state: of_repository,
        },
        how,
    ))
}

/// Refuses to store in the clear where this host encrypted so far: whoever can write at the destination could
/// have put another repository there, or none.
fn refuse_in_the_clear(
    place: &Place,
    url: &str,
    arguments: &Joining,
    state: &StateFolder,
) -> Result<(), CommandError> {
    let is_joined = match place {
        Place::Empty(_) => false,
        Place::Repository(repository) => {
            StateFolder::existing_repository(state.path(), repository.id()).is_some()
        }
    };
    let encrypting = state.encrypting()?;
    let Some((id, recipients)) = encrypting
        .first()
        .filter(|_| !is_joined && !arguments.unencrypted)
    else {
        return Ok(());
    };
    let recipients: Vec<&str> = recipients.texts().collect();
    let error = anyhow!(
        "{url} is not encrypted, and this host encrypts what it stores (to {}, in the repository {id})",
        recipients.join(", ")
    );
    Err(CommandError {
        status: Status::NoKey,
        error,
        hint: Some(
            "if it backed up there so far, somebody replaced the repository; for another one give --recipient KEY, or --unencrypted".into(),
        ),
    })
}

/// Whether a repository is encrypted was decided when it was made.
fn refuse_other_seal(
    repository: &Repository,
    recipients: &Recipients,
    arguments: &Joining,
) -> Result<(), CommandError> {
    if arguments.to.is_with_passphrase() {
        return Err(CommandError::new(
            anyhow!("there is a repository at {} already", repository.place()),
            "its keys were made with it: give --recipient KEY (for a key behind a passphrase, `seawall key export` prints it)",
        ));
    }
    match (repository.seal(), recipients.is_empty()) {
        (Seal::None, false) => Err(CommandError::new(
            anyhow!("the repository at {} is not encrypted", repository.place()),
            "make a new one in another place to encrypt: that is decided when a repository is made",
        )),
        (Seal::Age, true) => Err(repository::Error::NoRecipients {
            place: repository.place().to_owned(),
        }
        .into()),
        _ => Ok(()),
    }
}
