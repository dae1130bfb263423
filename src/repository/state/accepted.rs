//! The file of accepted damage of the source, and the file of accepted bad stored files.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::{RepositoryState, replace};
use crate::repository::acceptances::{Acceptances, AcceptedFaults};
use crate::repository::{Error, Result};

impl RepositoryState {
    fn accepted_path(&self) -> PathBuf {
        self.path.join("accepted")
    }

    /// Accepted damage; `None` if this host has no such file.
    pub fn accepted(&self) -> Result<Option<Acceptances>> {
        let path = self.accepted_path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::State { path, source }),
        };
        let parsed = Acceptances::parse(&text);
        parsed
            .map(Some)
            .map_err(|reason| Error::Malformed { what: path.display().to_string(), reason })
    }

    /// Replaces the accepted damage.
    pub fn set_accepted(&self, accepted: &Acceptances) -> Result<()> {
        let path = self.accepted_path();
        let text = accepted.to_text().map_err(|error| Error::Malformed {
            what: path.display().to_string(),
            reason: error.to_string(),
        })?;
        replace(&path, text.as_bytes())
    }

    fn accepted_faults_path(&self) -> PathBuf {
        self.path.join("accepted-faults")
    }

    /// Bad stored files that are accepted here.
    pub fn accepted_faults(&self) -> Result<AcceptedFaults> {
        let path = self.accepted_faults_path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(AcceptedFaults::default());
            }
            Err(source) => return Err(Error::State { path, source }),
        };
        AcceptedFaults::parse(&text)
            .map_err(|reason| Error::Malformed { what: path.display().to_string(), reason })
    }

    /// Replaces the accepted bad files.
    pub fn set_accepted_faults(&self, accepted: &AcceptedFaults) -> Result<()> {
        let path = self.accepted_faults_path();
        let text = accepted.to_text().map_err(|error| Error::Malformed {
            what: path.display().to_string(),
            reason: error.to_string(),
        })?;
        replace(&path, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::configuration::RepositoryId;
    use crate::repository::state::StateFolder;

    #[test]
    fn what_is_accepted_is_remembered_and_nothing_is_not_no_word() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let repository = state.repository(&RepositoryId::random().unwrap()).unwrap();
        assert_eq!(repository.accepted().unwrap(), None);
        let none = Acceptances::default();
        repository.set_accepted(&none).unwrap();
        assert_eq!(repository.accepted().unwrap(), Some(none));
        replace(&repository.accepted_path(), b"oops\n").unwrap();
        let error = repository.accepted().unwrap_err().to_string();
        assert!(error.contains("accepted") && error.contains("line 1"), "{error}");
    }
}
