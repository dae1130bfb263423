//! Which bad bytes are kept already. The walk asks it for what the source holds damaged, the packer before it stores
//! such bytes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::object::{Object, Sha256};

/// Bad bytes that are kept already, by this run or an earlier one: they are kept once.
#[derive(Debug, Default)]
pub struct Salvaged(Mutex<HashMap<Object, Sha256>>);

impl Salvaged {
    /// What earlier runs kept.
    pub fn new(kept: Vec<(Object, Sha256)>) -> Self {
        Self(Mutex::new(kept.into_iter().collect()))
    }

    /// Whether these bytes are to be kept; if so they count as kept from now on.
    pub fn is_new(&self, object: Object, sha256: Sha256) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(object, sha256) != Some(sha256)
    }

    /// The SHA-256 of an object's bad bytes that are kept.
    pub fn kept(&self, object: &Object) -> Option<Sha256> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(object).copied()
    }
}
