//! Where a repository is, and how this host reaches it.

use std::path::PathBuf;
use std::sync::Arc;

use seawall_backends::{self as backends, Backend, ErrorKind, Options};

use super::{Error, Result};
use crate::place::{absolute, real};
use crate::repository::{self, names};

/// Where a repository is, and how this host reaches it.
#[derive(Debug)]
pub struct Destination {
    url: String,
    reached: DestinationAccess,
}

#[derive(Debug)]
enum DestinationAccess {
    /// Through a backend that is opened with these options.
    By(Box<Options>),
    /// Through a backend that is open.
    Through(Arc<dyn Backend>),
}

impl Destination {
    /// A URL or path as the administrator gave it.
    pub fn new(url: &str, options: Options) -> Self {
        Self { url: url.to_owned(), reached: DestinationAccess::By(Box::new(options)) }
    }

    /// A backend that is open; `name` is for messages.
    pub fn of_backend(backend: Arc<dyn Backend>, name: &str) -> Self {
        Self { url: name.to_owned(), reached: DestinationAccess::Through(backend) }
    }

    /// The URL or path as it was given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Opens what is there.
    ///
    /// # Errors
    ///
    /// [`repository::Error::NoRepository`] if the place itself is missing.
    pub(super) fn open(&self) -> Result<Arc<dyn Backend>> {
        let options = match &self.reached {
            DestinationAccess::By(options) => options,
            DestinationAccess::Through(backend) => return Ok(Arc::clone(backend)),
        };
        backends::open(&self.url, options).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                repository::Error::NoRepository { place: self.url.clone() }.into()
            }
            _ => error.into(),
        })
    }

    /// Makes a place for a new repository. A key that an `init` published there before it broke off does
    /// not count as content.
    ///
    /// # Errors
    ///
    /// [`Error::NotEmpty`] if anything else is there.
    pub(super) fn create(&self) -> Result<Arc<dyn Backend>> {
        let backend = match &self.reached {
            DestinationAccess::By(options) => backends::create(&self.url, options)?,
            DestinationAccess::Through(backend) => Arc::clone(backend),
        };
        let first = backend
            .list("")
            .find(|entry| entry.as_ref().map_or(true, |entry| !entry.key.is_below(names::KEYS)))
            .transpose()?;
        match first {
            Some(first) => Err(Error::NotEmpty { place: self.url.clone(), key: first.key }),
            None => Ok(backend),
        }
    }

    /// How the place may have been written down: as it is given, and where its links lead now.
    pub(super) fn spellings(&self) -> Vec<String> {
        let Some(path) = backends::local_path(&self.url) else {
            return vec![self.url.trim_end_matches('/').to_owned()];
        };
        let mut spellings = vec![absolute(&path), real(&path)];
        spellings.dedup();
        let text = |path: PathBuf| path.to_string_lossy().trim_end_matches('/').to_owned();
        spellings.into_iter().map(text).collect()
    }
}
