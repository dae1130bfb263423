//! Knows which bad bytes are kept already. The walk asks when it finds a damaged object in the
//! source, and the packer asks before it stores bad bytes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::object::{Object, Sha256};

/// Bad bytes that this run or an earlier one has kept: each is kept once.
#[derive(Debug, Default)]
pub struct SalvagedObjects(Mutex<HashMap<Object, Sha256>>);

impl SalvagedObjects {
    /// Begins with what earlier runs kept.
    pub fn new(kept: Vec<(Object, Sha256)>) -> Self {
        Self(Mutex::new(kept.into_iter().collect()))
    }

    /// Whether these bytes have to be kept. If so, they count as kept from now on.
    pub fn is_new(&self, object: Object, sha256: Sha256) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(object, sha256) != Some(sha256)
    }

    /// The SHA-256 of the bad bytes that are kept of an object.
    pub fn kept(&self, object: &Object) -> Option<Sha256> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(object).copied()
    }
}
