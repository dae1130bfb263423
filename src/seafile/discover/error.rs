//! Why an installation cannot be backed up, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::origin::SettingOrigin;
use crate::seafile::config::ReadError;

/// Why [`discover`](super::discover) failed.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The folder holds nothing of Seafile.
    #[error("{top} is not a Seafile installation: looked for {looked_for}")]
    NotAnInstallation {
        /// The folder.
        top: PathBuf,
        /// The files and folders that an installation would have.
        looked_for: String,
        /// A folder near it that does look like one.
        near: Option<PathBuf>,
    },
    /// A file or folder could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Something that is needed does not exist.
    #[error("{what} is missing: {path} ({from})")]
    Missing {
        /// What it is.
        what: String,
        /// Where it should be.
        path: PathBuf,
        /// Why it is needed: the origin that names it.
        from: SettingOrigin,
        /// The next step.
        advice: String,
    },
    /// The installation can be understood in more than one way.
    #[error("{what}")]
    Unclear {
        /// What is unclear.
        what: String,
        /// The option that decides.
        advice: String,
    },
    /// A configuration file says something that makes no sense.
    #[error("{path}: {why}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        why: String,
    },
    /// A kind of installation that seawall does not back up.
    #[error("{what} cannot be backed up: {value:?} ({from})")]
    Unsupported {
        /// Which part of the installation.
        what: String,
        /// The setting's value.
        value: String,
        /// Where it is set.
        from: SettingOrigin,
        /// The next step.
        advice: String,
    },
}

impl DiscoverError {
    pub(super) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub(super) fn config(path: &Path, error: ReadError) -> Self {
        match error {
            ReadError::Io(source) => Self::read(path, source),
            ReadError::TooLong => Self::invalid(path, error.to_string()),
        }
    }

    pub(super) fn invalid(path: &Path, why: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_owned(), why: why.into() }
    }

    /// The next step, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotAnInstallation { near, .. } => {
                let near = near.as_ref()?;
                Some(format!("{} looks like one: name that folder", near.display()))
            }
            Self::Read { source, .. } => (source.kind() == io::ErrorKind::PermissionDenied)
                .then(|| "run seawall as the user that Seafile runs as, or as root".to_owned()),
            Self::Missing { advice, .. }
            | Self::Unclear { advice, .. }
            | Self::Unsupported { advice, .. } => Some(advice.clone()),
            Self::Invalid { .. } => None,
        }
    }
}
