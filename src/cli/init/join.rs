//! How a host comes to a repository: it makes one, or joins one that is there. For `init` and
//! `backup --init`; it prints nothing.

use std::sync::Arc;

use age::secrecy::SecretString;
use anyhow::anyhow;
use seawall_backends::Backend;

use super::Joining;
use crate::cli::keys::NewKey;
use crate::cli::place::{self, Joined};
use crate::cli::{CommandError, Global, Status};
use crate::crypt::{Recipients, Seal};
use crate::repository::guard::{self, WeakWrites};
use crate::repository::host_key::HostKey;
use crate::repository::identity::Vouched;
use crate::repository::state::StateFolder;
use crate::repository::wrapped::Wrapped;
use crate::repository::{self, Repository};
use crate::time::{Clock, Timestamp};

/// How a host came to a repository.
pub(in crate::cli) enum How {
    /// It was made; with this passphrase, if seawall invented one.
    Made(Option<SecretString>),
    /// It was there, and this host was a stranger.
    Joined,
    /// It was there, and this host had joined it before.
    Member,
    /// It was there but for its `seawall.json`.
    PutAgain(Vouched),
}

/// A place, before this host writes to it.
enum Place {
    /// There is a repository.
    Repository(Repository, How),
    /// There is nothing yet; a new repository gets this key, if one behind a passphrase is wanted.
    Empty(Arc<dyn Backend>, Option<NewKey>),
}

/// Opens the repository, or makes it; publishes this host's key there and trusts it here.
pub(in crate::cli) fn join(
    global: &Global,
    arguments: &Joining,
    state: &StateFolder,
) -> Result<(Joined, How), CommandError> {
    let url = global.url()?;
    let given = arguments.to.recipients()?;
    let place = look(global, arguments, state, url)?;
    let recipients = match &place {
        Place::Repository(repository, _) => agreed(repository, given, arguments, state)?,
        Place::Empty(..) => given,
    };
    let joining = Newcomer {
        global,
        arguments,
        url,
        weak: weak_writes(&place, arguments, state),
        host_key: state.make_host_key(&place::host_name())?,
        now: Clock::system().now(),
    };
    match place {
        Place::Repository(repository, how) => {
            let repository = joining.enter(repository, &recipients)?;
            Ok((joining.remember(state, repository, recipients, None)?, how))
        }
        Place::Empty(backend, new_key) => joining.begin(state, backend, recipients, new_key),
    }
}

/// Where this host stored before, a second repository would only hide that the first is not there.
fn refuse_unmounted(
    global: &Global,
    url: &str,
    found: Option<&Repository>,
    state: &StateFolder,
) -> Result<(), CommandError> {
    let found = found.map(Repository::id);
    let is_joined = |id| StateFolder::existing_repository(state.path(), id).is_some();
    let before = place::stored_before(global, url, found);
    let Some(before) = before.filter(|_| !found.is_some_and(is_joined)) else {
        return Ok(());
    };
    let what = if found.is_some() { "another repository" } else { "no repository" };
    Err(CommandError {
        status: Status::NoRepository,
        error: anyhow!("there is {what} at {url} now, and this host stored there before"),
        hint: Some(place::is_mounted(&before)),
    })
}

/// What is at a place, or what was made of it.
fn look(
    global: &Global,
    arguments: &Joining,
    state: &StateFolder,
    url: &str,
) -> Result<Place, CommandError> {
    let error = match place::open_existing(global, url) {
        Ok(repository) => {
            repository.refuse_other()?;
            if !arguments.anew {
                refuse_unmounted(global, url, Some(&repository), state)?;
            }
            return Ok(there(repository, state));
        }
        Err(error) => error,
    };
    if error.status == Status::NoRepository {
        if !arguments.anew {
            refuse_unmounted(global, url, None, state)?;
        }
        // Before anything is made there.
        if !arguments.says_whether_to_encrypt() {
            return Err(undecided(url, state)?);
        }
        let new_key = arguments.to.new_key(&global.keys)?;
        return match place::make(global, url) {
            Ok(backend) => Ok(Place::Empty(backend, new_key)),
            Err(error) => Ok(there(made_meanwhile(global, url, error)?, state)),
        };
    }
    match place::put_again(global, url, &error)? {
        Some((repository, vouched)) => Ok(Place::Repository(repository, How::PutAgain(vouched))),
        None => Err(error),
    }
}

/// A repository that is there already.
fn there(repository: Repository, state: &StateFolder) -> Place {
    let known = StateFolder::existing_repository(state.path(), repository.id());
    let own = state.host_key().ok().flatten().map(|key| key.verifying());
    let trusted = known.and_then(|known| known.trusted().ok());
    let is_member = own.is_some_and(|own| trusted.is_some_and(|all| all.contains(&own)));
    let how = if is_member { How::Member } else { How::Joined };
    Place::Repository(repository, how)
}

/// The repository that another host made while this one was about to; else why this one could not.
fn made_meanwhile(
    global: &Global,
    url: &str,
    error: CommandError,
) -> Result<Repository, CommandError> {
    place::open_existing(global, url).map_err(|_| error)
}

/// To whom this host encrypts what it stores in a repository that is there.
fn agreed(
    repository: &Repository,
    given: Recipients,
    arguments: &Joining,
    state: &StateFolder,
) -> Result<Recipients, CommandError> {
    let known = StateFolder::existing_repository(state.path(), repository.id());
    let is_joined = known.is_some();
    let known = known.map(|known| known.recipients()).transpose()?;
    let known = known.unwrap_or_default();
    let recipients = if given.is_empty() {
        known
    } else if !known.is_empty() && given != known {
        return Err(CommandError::new(
            anyhow!(
                "this host encrypts to {} there already",
                known.texts().collect::<Vec<_>>().join(", ")
            ),
            "`seawall key add --recipient KEY` adds one, `seawall key remove` takes one away",
        ));
    } else {
        given
    };
    refuse_other_seal(repository, &recipients, arguments)?;
    if recipients.is_empty() && !is_joined && !arguments.unencrypted {
        refuse_in_the_clear(repository.place(), state)?;
    }
    Ok(recipients)
}

/// Whether weak writes are accepted, now or since this host joined.
fn weak_writes(place: &Place, arguments: &Joining, state: &StateFolder) -> WeakWrites {
    match place {
        Place::Repository(repository, _) if arguments.weak_writes() == WeakWrites::Refused => {
            StateFolder::existing_repository(state.path(), repository.id())
                .map_or(WeakWrites::Refused, |known| known.weak_writes())
        }
        _ => arguments.weak_writes(),
    }
}

/// A host on its way into a repository.
struct Newcomer<'a> {
    global: &'a Global,
    arguments: &'a Joining,
    url: &'a str,
    weak: WeakWrites,
    host_key: HostKey,
    now: Timestamp,
}

impl Newcomer<'_> {
    /// Publishes this host's key in a repository that is there.
    fn enter(
        &self,
        repository: Repository,
        recipients: &Recipients,
    ) -> Result<Repository, CommandError> {
        // What cannot be encrypted to is no repository.
        self.host_key.try_sealing_to(recipients)?;
        let repository = repository.guarded(self.weak)?;
        guard::publish(&**repository.backend(), self.url, &self.host_key, self.now)?;
        repository.put_page()?;
        Ok(repository)
    }

    /// Makes the repository.
    fn begin(
        self,
        state: &StateFolder,
        backend: Arc<dyn Backend>,
        mut recipients: Recipients,
        new_key: Option<NewKey>,
    ) -> Result<(Joined, How), CommandError> {
        if let Some(new) = &new_key {
            recipients.add(&new.recipient).map_err(anyhow::Error::from)?;
        }
        self.host_key.try_sealing_to(&recipients)?;
        let backend = guard::guarded(backend, self.url, self.weak)?;
        // The key first: a destination that is refused for overwriting is no repository then.
        guard::publish(&*backend, self.url, &self.host_key, self.now)?;
        if let Some(new) = &new_key {
            new.wrapped.put(&*backend)?;
        }
        let seal = if recipients.is_empty() { Seal::None } else { Seal::Age };
        let (wrapped, invented) = match new_key {
            Some(new) => (Some(new.wrapped), new.invented),
            None => (None, None),
        };
        let (repository, how) = match Repository::init_sealed(backend, self.url, self.now, seal) {
            Ok(repository) => {
                repository.put_page()?;
                (repository, How::Made(invented))
            }
            Err(error) => {
                let repository = made_meanwhile(self.global, self.url, error.into())?;
                refuse_other_seal(&repository, &recipients, self.arguments)?;
                (repository.guarded(self.weak)?, How::Joined)
            }
        };
        Ok((self.remember(state, repository, recipients, wrapped.as_ref())?, how))
    }

    /// Keeps on this host what it has to know of the repository.
    fn remember(
        self,
        state: &StateFolder,
        repository: Repository,
        recipients: Recipients,
        wrapped: Option<&Wrapped>,
    ) -> Result<Joined, CommandError> {
        let of_repository = state.repository(repository.id())?;
        if self.weak == WeakWrites::Accepted {
            of_repository.accept_weak_writes()?;
        }
        of_repository.trust(&self.host_key.verifying())?;
        let pinned = of_repository.trusted()?;
        let repository = repository.with_pinned(pinned);
        if let Some(wrapped) = wrapped {
            of_repository.keep_wrapped(wrapped)?;
        }
        if !recipients.is_empty() {
            of_repository.set_recipients(&recipients)?;
        }
        let repository = place::to_write(self.global, repository, recipients, &self.host_key)?;
        let repository = repository.with_wrapped(of_repository.wrapped()?);
        if self.arguments.anew {
            place::begin_anew(state, self.url, repository.id())?;
        }
        place::remember(&of_repository, self.url);
        Ok(Joined { repository, host_key: self.host_key, state: of_repository })
    }
}

/// Why no repository is made: whether to encrypt has to be said, as nothing changes it later.
fn undecided(url: &str, state: &StateFolder) -> Result<CommandError, CommandError> {
    refuse_in_the_clear(url, state)?;
    Ok(CommandError::new(
        anyhow!(
            "there is no repository at {url} yet, and to make one seawall has to know whether to encrypt it"
        ),
        "add one of these; the choice is final, it cannot be changed later:
  --recipient age1… (or --recipients-file FILE)  only the private key opens it; this host does not have it
  --with-passphrase                              a passphrase opens it
  --unencrypted                                  whoever can read the destination reads all files, and the passwords in Seafile's configuration",
    ))
}

/// Refuses to store in the clear where this host encrypted so far: whoever can write at the destination could
/// have put another repository there, or none.
fn refuse_in_the_clear(url: &str, state: &StateFolder) -> Result<(), CommandError> {
    let encrypting = state.encrypting()?;
    let Some((id, recipients)) = encrypting.first() else {
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
        (Seal::Age, _) if arguments.unencrypted => Err(CommandError::new(
            anyhow!("the repository at {} is encrypted", repository.place()),
            "leave --unencrypted out, or make a new repository in another place: that is decided when a repository is made",
        )),
        (Seal::Age, true) => {
            Err(repository::Error::NoRecipients { place: repository.place().to_owned() }.into())
        }
        _ => Ok(()),
    }
}
