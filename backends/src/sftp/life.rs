//! Whether a connection lives: what is under way on it, and when something last moved.
//!
//! There is no time limit for one request: a queue of requests on a slow line takes long, and every
//! answer shows that the line works. A connection is dead when requests wait and nothing was
//! answered for a while.

use std::future::Future;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::errors::lost;
use crate::Result;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Life {
    /// Cutting it ends everything that uses it.
    socket: TcpStream,
    stalled_after: Duration,
    /// Whether the server was seen not to sync a folder; shared by all connections to it.
    unsynced_folders: Arc<AtomicBool>,
    ended: watch::Sender<bool>,
    state: Mutex<LifeState>,
    /// The most requests that were under way at once.
    peak: AtomicUsize,
    is_over: AtomicBool,
}

#[derive(Debug)]
struct LifeState {
    waiting: usize,
    moved: Instant,
    reason: Option<String>,
}

/// A request that is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a Life);

impl Life {
    /// Begins to watch over a connection.
    pub(super) fn begin(
        socket: TcpStream,
        stalled_after: Duration,
        unsynced_folders: Arc<AtomicBool>,
    ) -> Arc<Self> {
        let life = Arc::new(Self {
            socket,
            stalled_after,
            unsynced_folders,
            ended: watch::Sender::new(false),
            state: Mutex::new(LifeState { waiting: 0, moved: Instant::now(), reason: None }),
            peak: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        tokio::spawn(watch_over(Arc::downgrade(&life), stalled_after));
        life
    }

    /// Notes that a request is made.
    pub(super) fn request(&self) -> Waiting<'_> {
        let mut state = self.state();
        if state.waiting == 0 {
            state.moved = Instant::now();
        }
        state.waiting += 1;
        self.peak.fetch_max(state.waiting, Ordering::Relaxed);
        Waiting(self)
    }

    /// The most requests that were under way at once.
    #[cfg(test)]
    pub(super) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// After how long without an answer it is over.
    pub(super) fn stalled_after(&self) -> Duration {
        self.stalled_after
    }

    /// The server cannot sync a folder.
    pub(super) fn note_unsynced_folder(&self) {
        self.unsynced_folders.store(true, Ordering::Relaxed);
    }

    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Ends it: what is under way fails. The first reason stays.
    pub(super) fn end(&self, reason: &str) {
        let text = || reason.to_owned();
        self.state().reason.get_or_insert_with(text);
        self.is_over.store(true, Ordering::Release);
        self.ended.send_replace(true);
        // It may be closed already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Why it is over.
    pub(super) fn reason(&self) -> String {
        let reason = self.state().reason.clone();
        reason.unwrap_or_else(|| "the connection was closed".to_owned())
    }

    /// What the work gives, unless the connection ends before.
    pub(super) async fn guard<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut ended = self.ended.subscribe();
        tokio::select! {
            biased;
            done = work => done,
            _ = ended.wait_for(|ended| *ended) => Err(lost(&self.reason())),
        }
    }

    fn state(&self) -> MutexGuard<'_, LifeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting<'_> {
    /// The answer came.
    pub(super) fn answered(&self) {
        self.0.state().moved = Instant::now();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

async fn watch_over(life: Weak<Life>, stalled_after: Duration) {
    let pause = (stalled_after / 8).clamp(Duration::from_millis(10), Duration::from_secs(5));
    loop {
        tokio::time::sleep(pause).await;
        let Some(life) = life.upgrade() else {
            return;
        };
        let stalled = {
            let state = life.state();
            state.waiting > 0 && state.moved.elapsed() > stalled_after
        };
        if stalled {
            let seconds = stalled_after.as_secs_f32();
            life.end(&format!("the server answered nothing for {seconds} seconds"));
        }
        if life.is_over() {
            return;
        }
    }
}
