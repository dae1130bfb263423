//! How a host comes to a repository: it makes one, or joins one that is there. For `init` and
//! `backup --init`.

use std::sync::Arc;

use age::secrecy::SecretString;
use seawall_backends::Backend;

use super::state::{StateFolder, forget_others};
use super::{Destination, Error, Host, NewKey, Result, Writing, host_name};
use crate::crypt::{Recipients, Seal};
use crate::repository::guard::{self, WeakWrites};
use crate::repository::host_key::HostKey;
use crate::repository::identity::{self, Vouched};
use crate::repository::{self, Repository};
use crate::time::{Clock, Timestamp};

/// What the administrator decided about a repository that is made or joined.
#[derive(Debug)]
pub struct Joining {
    /// Whether a destination that overwrites is good enough.
    pub weak: WeakWrites,
    /// Whether files are encrypted, and to whom.
    pub encryption: Encryption,
    /// Begin a new repository where this host stored before.
    pub anew: bool,
}

/// Whether files are encrypted. That is final once the repository is made.
#[derive(Debug)]
pub enum Encryption {
    /// Nobody said it.
    Undecided,
    /// They are not.
    None,
    /// They are.
    To {
        /// To these recipients.
        recipients: Recipients,
        /// And to a new key that the repository keeps behind a passphrase.
        with_passphrase: bool,
    },
}

impl Encryption {
    fn recipients(&self) -> Recipients {
        match self {
            Self::To { recipients, .. } => recipients.clone(),
            Self::Undecided | Self::None => Recipients::default(),
        }
    }

    fn is_with_passphrase(&self) -> bool {
        matches!(self, Self::To { with_passphrase: true, .. })
    }
}

/// How a host came to a repository.
#[derive(Debug)]
pub enum HowJoined {
    /// It was made; with this passphrase, if seawall invented one.
    Made(Option<SecretString>),
    /// It was there, and this host was a stranger.
    Joined,
    /// It was there, and this host had joined it before.
    Member,
    /// It was there but for its `seawall.json`.
    ConfigurationRestored(Vouched),
}

/// A place, before this host writes to it.
enum PlaceContent {
    /// There is a repository.
    Repository(Repository, HowJoined),
    /// There is nothing yet. A new repository gets this key, if one behind a passphrase is wanted.
    Empty(Arc<dyn Backend>, Option<NewKey>),
}

impl Host<'_> {
    /// Opens the repository, or makes it. Publishes this host's key there and trusts it here.
    ///
    /// # Errors
    ///
    /// [`Error::Replaced`] if this host stored there before and its repository is not there: a second one would
    /// only hide that a disk is not mounted. [`Error::EncryptionUndecided`] and others about encryption,
    /// [`Error::NotEmpty`], [`repository::Error::Overwrites`], [`repository::Error::Unvouched`].
    pub fn join(
        &self,
        state: &StateFolder,
        destination: &Destination,
        joining: &Joining,
    ) -> Result<(Writing, HowJoined)> {
        let newcomer = Newcomer { host: *self, destination, joining, state };
        let before = newcomer.look()?;
        let recipients = match &before {
            PlaceContent::Repository(repository, _) => newcomer.agreed_recipients(repository)?,
            PlaceContent::Empty(..) => joining.encryption.recipients(),
        };
        let weak = newcomer.weak_writes(&before);
        let entrance = Entrance {
            newcomer: &newcomer,
            weak,
            host_key: state.make_host_key(&host_name())?,
            now: Clock::system().now(),
        };
        match before {
            PlaceContent::Repository(repository, how) => {
                let repository = entrance.enter(repository, &recipients)?;
                Ok((entrance.remember(repository, &recipients, None)?, how))
            }
            PlaceContent::Empty(backend, new_key) => entrance.make(backend, recipients, new_key),
        }
    }

    /// Writes `seawall.json` again where only that is lost. `None` if something else is wrong.
    fn put_configuration_again(
        &self,
        destination: &Destination,
        problem: &Error,
    ) -> Result<Option<(Repository, Vouched)>> {
        let Error::Repository(repository::Error::ConfigurationMissing { place }) = problem else {
            return Ok(None);
        };
        let backend = destination.open()?;
        let vouched = identity::vouched(backend.as_ref(), place, &self.vouchers()?)?
            .ok_or_else(|| repository::Error::Unvouched { place: place.clone() })?;
        let repository = Repository::put_again(backend, destination.url(), &vouched)?;
        Ok(Some((repository, vouched)))
    }
}

/// A host on its way to a repository.
struct Newcomer<'a> {
    host: Host<'a>,
    destination: &'a Destination,
    joining: &'a Joining,
    state: &'a StateFolder,
}

impl Newcomer<'_> {
    /// Finds out what is at the place.
    fn look(&self) -> Result<PlaceContent> {
        let problem = match self.host.open(self.destination) {
            Ok(repository) => {
                repository.refuse_other()?;
                self.refuse_unmounted(Some(&repository))?;
                return Ok(self.found(repository));
            }
            Err(error) => error,
        };
        let is_none = matches!(
            problem,
            Error::NotThere { .. } | Error::Repository(repository::Error::NoRepository { .. })
        );
        if is_none {
            self.refuse_unmounted(None)?;
            return self.look_at_nothing();
        }
        match self.host.put_configuration_again(self.destination, &problem)? {
            Some((repository, vouched)) => {
                Ok(PlaceContent::Repository(repository, HowJoined::ConfigurationRestored(vouched)))
            }
            None => Err(problem),
        }
    }

    /// Where there is no repository: decides everything before anything is made there.
    fn look_at_nothing(&self) -> Result<PlaceContent> {
        let encryption = &self.joining.encryption;
        if matches!(encryption, Encryption::Undecided) {
            let place = self.destination.url().to_owned();
            self.refuse_in_the_clear(&place)?;
            return Err(Error::EncryptionUndecided { place });
        }
        let make = || self.host.keys.make_wrapped(self.host.tell);
        let new_key = encryption.is_with_passphrase().then(make).transpose()?;
        match self.destination.create() {
            Ok(backend) => Ok(PlaceContent::Empty(backend, new_key)),
            Err(error) => Ok(self.found(self.made_meanwhile(error)?)),
        }
    }

    /// Where this host stored before, a second repository would only hide that the first is not there.
    fn refuse_unmounted(&self, found: Option<&Repository>) -> Result<()> {
        let id = found.map(Repository::id);
        let is_joined = |id| StateFolder::existing_repository(self.state.path(), id).is_some();
        if self.joining.anew || id.is_some_and(is_joined) {
            return Ok(());
        }
        match self.host.stored_before(self.destination, id) {
            Some(before) => Err(Error::Replaced {
                place: self.destination.url().to_owned(),
                other: found.is_some(),
                before,
            }),
            None => Ok(()),
        }
    }

    /// A repository that is there already.
    fn found(&self, repository: Repository) -> PlaceContent {
        let known = StateFolder::existing_repository(self.state.path(), repository.id());
        let own = self.state.host_key().ok().flatten().map(|key| key.verifying());
        let trusted = known.and_then(|known| known.trusted().ok());
        let is_member = own.is_some_and(|own| trusted.is_some_and(|all| all.contains(&own)));
        let how = if is_member { HowJoined::Member } else { HowJoined::Joined };
        PlaceContent::Repository(repository, how)
    }

    /// The repository that another host made while this one was about to; else why this one could not.
    fn made_meanwhile(&self, error: Error) -> Result<Repository> {
        self.host.open(self.destination).map_err(|_| error)
    }

    /// To whom this host encrypts what it stores in a repository that is there.
    fn agreed_recipients(&self, repository: &Repository) -> Result<Recipients> {
        let given = self.joining.encryption.recipients();
        let known = StateFolder::existing_repository(self.state.path(), repository.id());
        let is_joined = known.is_some();
        let known = known.map(|known| known.recipients()).transpose()?.unwrap_or_default();
        if !given.is_empty() && !known.is_empty() && given != known {
            return Err(Error::OtherRecipients { recipients: one_line(&known) });
        }
        let recipients = if given.is_empty() { known } else { given };
        self.refuse_other_seal(repository, &recipients)?;
        let is_said = matches!(self.joining.encryption, Encryption::None);
        if recipients.is_empty() && !is_joined && !is_said {
            self.refuse_in_the_clear(repository.place())?;
        }
        Ok(recipients)
    }

    /// Whether weak writes are accepted, now or since this host joined.
    fn weak_writes(&self, before: &PlaceContent) -> WeakWrites {
        match before {
            PlaceContent::Repository(repository, _) if self.joining.weak == WeakWrites::Refused => {
                StateFolder::existing_repository(self.state.path(), repository.id())
                    .map_or(WeakWrites::Refused, |known| known.weak_writes())
            }
            _ => self.joining.weak,
        }
    }

    /// Refuses to store in the clear where this host encrypted so far: whoever can write at the destination
    /// could have put another repository there, or none.
    fn refuse_in_the_clear(&self, place: &str) -> Result<()> {
        let encrypting = self.state.encrypting()?;
        match encrypting.into_iter().next() {
            Some((repository, recipients)) => Err(Error::InTheClear {
                place: place.to_owned(),
                recipients: one_line(&recipients),
                repository,
            }),
            None => Ok(()),
        }
    }

    /// Whether a repository is encrypted was decided when it was made.
    fn refuse_other_seal(&self, repository: &Repository, recipients: &Recipients) -> Result<()> {
        let place = || repository.place().to_owned();
        let encryption = &self.joining.encryption;
        if encryption.is_with_passphrase() {
            return Err(Error::KeysWereMade { place: place() });
        }
        match (repository.seal(), recipients.is_empty()) {
            (Seal::None, false) => Err(Error::IsNotEncrypted { place: place() }),
            (Seal::Age, _) if matches!(encryption, Encryption::None) => {
                Err(Error::IsEncrypted { place: place() })
            }
            (Seal::Age, true) => Err(repository::Error::NoRecipients { place: place() }.into()),
            _ => Ok(()),
        }
    }
}

/// A host that enters a repository, with its key.
struct Entrance<'a> {
    newcomer: &'a Newcomer<'a>,
    weak: WeakWrites,
    host_key: HostKey,
    now: Timestamp,
}

impl Entrance<'_> {
    fn url(&self) -> &str {
        self.newcomer.destination.url()
    }

    /// Publishes this host's key in a repository that is there.
    fn enter(&self, repository: Repository, recipients: &Recipients) -> Result<Repository> {
        // Before anything is published: a plugin may be missing.
        self.host_key.try_sealing_to(recipients)?;
        let repository = repository.guarded(self.weak)?;
        guard::publish(&**repository.backend(), self.url(), &self.host_key, self.now)?;
        repository.put_page()?;
        Ok(repository)
    }

    /// Makes the repository.
    fn make(
        self,
        backend: Arc<dyn Backend>,
        mut recipients: Recipients,
        new_key: Option<NewKey>,
    ) -> Result<(Writing, HowJoined)> {
        if let Some(new) = &new_key {
            recipients.add(&new.recipient)?;
        }
        self.host_key.try_sealing_to(&recipients)?;
        let backend = guard::guarded(backend, self.url(), self.weak)?;
        // The key first: a destination that is refused for overwriting is no repository then.
        guard::publish(&*backend, self.url(), &self.host_key, self.now)?;
        if let Some(new) = &new_key {
            new.wrapped.put(&*backend)?;
        }
        let seal = if recipients.is_empty() { Seal::None } else { Seal::Age };
        let made = Repository::make(backend, self.url(), self.now, seal);
        let (repository, is_made) = match made {
            Ok(repository) => {
                repository.put_page()?;
                (repository, true)
            }
            Err(error) => {
                let repository = self.newcomer.made_meanwhile(error.into())?;
                self.newcomer.refuse_other_seal(&repository, &recipients)?;
                (repository.guarded(self.weak)?, false)
            }
        };
        let writing = self.remember(repository, &recipients, new_key.as_ref())?;
        let invented = new_key.and_then(|new| new.invented);
        Ok((writing, if is_made { HowJoined::Made(invented) } else { HowJoined::Joined }))
    }

    /// Keeps on this host what it has to know of the repository.
    fn remember(
        self,
        repository: Repository,
        recipients: &Recipients,
        new_key: Option<&NewKey>,
    ) -> Result<Writing> {
        let Newcomer { host, destination, joining, state } = self.newcomer;
        let of_repository = state.repository(repository.id())?;
        if self.weak == WeakWrites::Accepted {
            of_repository.accept_weak_writes()?;
        }
        of_repository.trust(&self.host_key.verifying())?;
        if let Some(new) = new_key {
            of_repository.keep_wrapped(&new.wrapped)?;
        }
        if !recipients.is_empty() {
            of_repository.set_recipients(recipients)?;
        }
        let writing = Writing::new(host, repository, self.host_key, of_repository)?;
        if joining.anew {
            // The administrator said it: what this host stored there before does not count any more.
            forget_others(state.path(), &destination.spellings(), writing.id())?;
        }
        writing.remember(host, destination);
        Ok(writing)
    }
}

fn one_line(recipients: &Recipients) -> String {
    recipients.texts().collect::<Vec<_>>().join(", ")
}
