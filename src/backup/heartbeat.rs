//! Heartbeats of a long run. They keep `prune` from declaring it dead.

use std::sync::{Mutex, PoisonError};

use crate::repository::names::SnapshotId;
use crate::repository::{Repository, Result, runs};
use crate::time::{Clock, Timestamp};

/// Puts a heartbeat when one is due.
pub struct Heartbeat {
    repository: Repository,
    clock: Clock,
    state: Mutex<HeartbeatState>,
}

struct HeartbeatState {
    snapshot: SnapshotId,
    number: u32,
    last: Timestamp,
}

impl Heartbeat {
    /// Begins right after the intent of `snapshot` was put.
    pub fn new(repository: &Repository, clock: &Clock, snapshot: SnapshotId) -> Self {
        let state = HeartbeatState { snapshot, number: 0, last: clock.now() };
        Self { repository: repository.clone(), clock: clock.clone(), state: Mutex::new(state) }
    }

    /// Puts a heartbeat if one is due. It is called often, and does nothing most of the time.
    pub fn beat(&self) -> Result<()> {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(state.last) >= runs::HEARTBEAT_EVERY {
            state.number += 1;
            state.last = now;
            runs::put_heartbeat(
                self.repository.backend().as_ref(),
                state.snapshot,
                state.number,
                now,
            )?;
        }
        Ok(())
    }
}
