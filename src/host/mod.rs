//! This host at a repository: the state folder, the keys that it trusts, and the only way to open a
//! repository.
//!
//! A [`Host`] opens a [`Destination`]. [`Host::read`] gives a [`Reading`] for verbs that only read, also on
//! machines that no repository knows. [`Host::write`] and [`Host::join`] give a [`Writing`] for a host that
//! backs up. The trust model is decided here and nowhere else: which signatures count, whether files are
//! encrypted and to whom, and whether a destination that overwrites is good enough.
//!
//! Nothing here prints. A [`Warning`] goes to the function [`Host::tell`].

pub mod acceptances;
pub mod catalog;
mod destination;
mod error;
mod join;
mod kept;
mod key_list;
mod keys;
mod owner;
mod passphrase;
mod reading;
pub mod secrets;
mod share;
pub mod state;
mod writing;

pub use destination::Destination;
pub use error::Error;
pub use join::{Encryption, HowJoined, Joining};
pub use key_list::{KeyList, Signer};
pub use keys::{Keys, NewKey, PASSPHRASE_VARIABLE, parse_recipients};
pub use owner::name as user_name;
pub use reading::Reading;
pub use writing::{Rewritten, Writing};

pub use crate::crypt::{Person, Recipients, set_person};
pub use crate::repository::guard::WeakWrites;
pub use crate::repository::note::VerifyingKey;
pub use crate::repository::readers::Audience;

use std::path::PathBuf;

use crate::repository::RepositoryId;

/// Result of an operation of this host.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Is told what the administrator has to know although the work goes on.
pub type Tell<'a> = &'a dyn Fn(Warning);

/// This host, and what the administrator gave to open repositories.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// The state folder's path. A machine that only reads may have no place for one.
    pub state: Option<&'a std::path::Path>,
    /// Keys whose signatures the administrator vouches for in this run.
    pub trusted: &'a [VerifyingKey],
    /// What opens encrypted files.
    pub keys: &'a Keys,
    /// Is told warnings.
    pub tell: Tell<'a>,
}

/// What the administrator has to know although the work goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Warning {
    /// `seawall.json` is missing, damaged or another repository's. What signed markers say counts instead.
    ConfigurationOverruled {
        /// What is wrong with it.
        problem: Error,
        /// The repository's id, as the markers have it.
        id: RepositoryId,
    },
    /// `seawall.json` and signed markers disagree on whether files are encrypted. The markers count.
    EncryptionOverruled {
        /// Whether `seawall.json` says that they are.
        said_encrypted: bool,
    },
    /// The repository has more keys behind passphrases than are tried.
    ManyWrappedKeys {
        /// How many were tried.
        tried: usize,
    },
    /// Other users can read a file that holds a secret, and only its owner can change that.
    SecretOpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The list of accepted bad files cannot be read, so none counts as accepted.
    AcceptedFaultsUnreadable {
        /// Why.
        problem: Error,
    },
    /// It could not be kept that this host stored at this place.
    PlaceNotRemembered {
        /// Why.
        problem: Error,
    },
}

/// The host's name, for its key and for manifests.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
