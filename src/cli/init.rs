//! `seawall init`: makes a repository, or lets this host join one.

use std::sync::Arc;

use clap::Args;
use seawall_backends::Backend;
use serde::Serialize;

use super::output::{Output, count};
use super::place::{self, Joined};
use super::sheet::recovery_sheet;
use super::{CommandError, Global, Status};
use crate::repository::Repository;
use crate::repository::guard::{self, WeakWrites};
use crate::repository::identity::Vouched;
use crate::repository::state::StateFolder;
use crate::time::Clock;

#[derive(Serialize)]
struct Outcome<'a> {
    repository: &'a str,
    id: String,
    created: bool,
    configuration_put_again: bool,
    verification_key: String,
    recovery_sheet: std::path::PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Joining {
    /// Use a destination that overwrites, where only this host writes (B2, WebDAV, Garage)
    #[arg(long)]
    accept_weak_writes: bool,
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
    let sheet = recovery_sheet(&joined, global);
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
    output.detail("It is not encrypted, and Seafile's configuration holds passwords: let nobody else read it.\n");
    output.detail(&sheet);
    output.detail(format_args!(
        "\nA copy of this sheet is in {}.",
        kept.display()
    ));
    output.json(&Outcome {
        repository: place,
        id: joined.repository.id().to_string(),
        created: matches!(how, How::Made),
        configuration_put_again: matches!(how, How::PutAgain(_)),
        verification_key: joined.host_key.verifying().to_string(),
        recovery_sheet: kept,
    })?;
    Ok(Status::Done)
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
    let (place, mut how) = match place::open_existing(global, url) {
        Ok(repository) => {
            repository.refuse_other()?;
            (Place::Repository(repository), How::Joined)
        }
        Err(error) if error.status == Status::NoRepository => match place::make(global, url) {
            Ok(backend) => (Place::Empty(backend), How::Made),
            Err(error) => (
                Place::Repository(made_meanwhile(global, url, error)?),
                How::Joined,
            ),
        },
        Err(error) => match place::put_again(global, url, &error)? {
            Some((repository, vouched)) => (Place::Repository(repository), How::PutAgain(vouched)),
            None => return Err(error),
        },
    };
    let weak = match &place {
        Place::Repository(repository) if arguments.weak_writes() == WeakWrites::Refused => {
            StateFolder::existing_repository(state.path(), repository.id())
                .map_or(WeakWrites::Refused, |known| known.weak_writes())
        }
        _ => arguments.weak_writes(),
    };
    let host_key = state.make_host_key(&place::host_name())?;
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
            match Repository::init(backend, url, now) {
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
    Ok((
        Joined {
            repository,
            host_key,
            state: of_repository,
        },
        how,
    ))
}
