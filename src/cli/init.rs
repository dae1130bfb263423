//! `seawall init`: makes a repository, or lets this host join one.

use seawall_backends::ErrorKind;
use serde::Serialize;

use super::output::{Output, count};
use super::place::{self, Joined};
use super::sheet::recovery_sheet;
use super::{CommandError, Global, Status};
use crate::repository::identity::Vouched;
use crate::repository::state::StateFolder;
use crate::repository::{self, names};
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

pub(super) fn run(global: &Global, output: Output) -> Result<Status, CommandError> {
    let state = global.state()?;
    let _lock = state.lock()?;
    let (joined, how) = join(global, &state)?;
    let sheet = recovery_sheet(&joined);
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

/// Opens the repository, or makes it; publishes this host's key there and trusts it here.
pub(super) fn join(global: &Global, state: &StateFolder) -> Result<(Joined, How), CommandError> {
    let url = global.url()?;
    let (repository, how) = match place::open_existing(global, url) {
        Ok(repository) => {
            repository.refuse_other()?;
            (repository, How::Joined)
        }
        Err(error) if error.status == Status::NoRepository => {
            (place::create(global, url)?, How::Made)
        }
        Err(error) => match place::put_again(global, url, &error)? {
            Some((repository, vouched)) => (repository, How::PutAgain(vouched)),
            None => return Err(error),
        },
    };
    let host_key = state.make_host_key(&place::host_name())?;
    let text = host_key.public_text(Clock::system().now());
    match repository
        .backend()
        .put_new(&names::host_key(host_key.id()), text.as_bytes())
    {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(repository::Error::from(error).into());
        }
        _ => {}
    }
    let of_repository = state.repository(repository.id())?;
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
