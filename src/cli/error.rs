//! How a verb ends: exit status, message, hint.

use crate::damage::SelectError;
use crate::database;
use crate::database::mysql::LoadError;
use crate::seafile::discover::DiscoverError;
use crate::{backup, host, repository, restore, verify};

/// The exit status of a verb (README, "Exit status").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// All is done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Finished, but read the report: damage, or something was left out.
    ReadTheReport = 3,
    /// There is no repository at that place.
    NoRepository = 10,
    /// Another run is busy with it.
    Busy = 11,
    /// A key is wrong or missing.
    NoKey = 12,
}

/// Why a verb failed.
#[derive(Debug)]
pub struct CommandError {
    /// The exit status.
    pub status: Status,
    /// What happened, with its causes.
    pub error: anyhow::Error,
    /// What to do next.
    pub hint: Option<String>,
}

impl CommandError {
    /// A failure with a next step.
    pub fn new(error: impl Into<anyhow::Error>, hint: impl Into<String>) -> Self {
        Self { status: Status::Failed, error: error.into(), hint: Some(hint.into()) }
    }
}

impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> Self {
        Self { status: Status::Failed, error, hint: None }
    }
}

impl From<repository::Error> for CommandError {
    fn from(error: repository::Error) -> Self {
        let hint = error.hint();
        Self { status: status_of(&error), hint, error: error.into() }
    }
}

fn status_of(error: &repository::Error) -> Status {
    match error {
        repository::Error::NoRepository { .. } => Status::NoRepository,
        repository::Error::Unvouched { .. }
        | repository::Error::Locked { .. }
        | repository::Error::Key { .. }
        | repository::Error::NoRecipients { .. } => Status::NoKey,
        _ => Status::Failed,
    }
}

impl From<host::Error> for CommandError {
    fn from(error: host::Error) -> Self {
        let status = match &error {
            host::Error::Repository(inner) => status_of(inner),
            host::Error::NotThere { .. } | host::Error::Replaced { .. } => Status::NoRepository,
            host::Error::Busy { .. } => Status::Busy,
            host::Error::NoHostKey { .. }
            | host::Error::AnotherKey { .. }
            | host::Error::NoStateFolder { .. }
            | host::Error::InTheClear { .. }
            | host::Error::NotVouchedFor { .. }
            | host::Error::NoPassphraseGiven
            | host::Error::NoWrappedKeys
            | host::Error::Identity { .. } => Status::NoKey,
            _ => Status::Failed,
        };
        Self { status, hint: error.hint(), error: error.into() }
    }
}

macro_rules! with_hint {
    ($($error:ty),*) => {$(
        impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                let hint = error.hint().map(Into::into);
                Self { status: Status::Failed, hint, error: error.into() }
            }
        }
    )*};
}

with_hint!(SelectError, DiscoverError, database::Error, verify::Error, LoadError);

impl From<backup::Error> for CommandError {
    fn from(error: backup::Error) -> Self {
        match error {
            backup::Error::Repository(error) => error.into(),
            backup::Error::Host(error) => error.into(),
            error => {
                let hint = error.hint();
                Self { status: Status::Failed, hint, error: error.into() }
            }
        }
    }
}

impl From<restore::Error> for CommandError {
    fn from(error: restore::Error) -> Self {
        let status = match &error {
            restore::Error::Repository(inner) => status_of(inner),
            _ => Status::Failed,
        };
        Self { status, hint: error.hint(), error: error.into() }
    }
}

impl From<database::mysql::Error> for CommandError {
    fn from(error: database::mysql::Error) -> Self {
        database::Error::from(error).into()
    }
}

impl From<seawall_backends::Error> for CommandError {
    fn from(error: seawall_backends::Error) -> Self {
        repository::Error::from(error).into()
    }
}
