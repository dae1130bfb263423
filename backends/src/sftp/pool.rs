//! Connections and their sessions: made when they are needed, made again when they died.
//!
//! A call takes the session that the fewest others use. Sessions beyond the first are opened when
//! all that are open are busy, on each connection in turn; where the server wants no more of them
//! its calls share what there is.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as AsyncMutex;

use super::connection::{Connection, Line};
use super::session::Session;
use crate::{Error, ErrorKind, Result};

/// Sessions of one connection: servers allow 10 (`MaxSessions`).
const SESSIONS: usize = 4;
/// After this time a server that wanted no more is asked again.
const REFUSED_FOR: Duration = Duration::from_mins(1);

/// All connections to one server.
#[derive(Debug)]
pub(super) struct Pool {
    line: Line,
    connections: Vec<AsyncMutex<Option<Arc<Connection>>>>,
    lanes: Vec<Lane>,
    choosing: Mutex<()>,
    software: Mutex<String>,
}

/// A place for one session.
#[derive(Debug)]
struct Lane {
    /// Which connection it belongs to.
    connection: usize,
    session: AsyncMutex<Option<Arc<Session>>>,
    is_open: std::sync::atomic::AtomicBool,
    users: AtomicUsize,
    refused: Mutex<Option<Instant>>,
}

/// A session that a call uses, until this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    pool: Arc<Pool>,
    lane: usize,
    session: Arc<Session>,
}

impl Pool {
    /// Up to so many connections.
    pub(super) fn new(line: Line, connections: usize) -> Arc<Self> {
        let place = |number: usize| Lane {
            connection: number % connections,
            session: AsyncMutex::default(),
            is_open: false.into(),
            users: AtomicUsize::new(0),
            refused: Mutex::default(),
        };
        Arc::new(Self {
            line,
            connections: (0..connections).map(|_| AsyncMutex::default()).collect(),
            lanes: (0..connections * SESSIONS).map(place).collect(),
            choosing: Mutex::default(),
            software: Mutex::default(),
        })
    }

    /// How many calls at a time have a session each.
    pub(super) fn width(&self) -> usize {
        self.lanes.len()
    }

    /// What the server at the end is called.
    pub(super) fn name(&self) -> String {
        let last = self.line.hops.last();
        last.map(|hop| hop.shown()).unwrap_or_default()
    }

    /// What the server's software calls itself; empty before the first connection.
    pub(super) fn software(&self) -> String {
        lock(&self.software).clone()
    }

    /// A session to use.
    ///
    /// Errors: as [`Line::connect`], if there is none to share.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease> {
        for _ in 0..=self.lanes.len() {
            let lane = self.choose();
            // Counted until this is dropped, also if opening fails.
            let user = User(Arc::clone(self), lane);
            match self.session(lane).await {
                Ok(Some(session)) => {
                    std::mem::forget(user);
                    return Ok(Lease {
                        pool: Arc::clone(self),
                        lane,
                        session,
                    });
                }
                Ok(None) => self.refuse(lane),
                // The server may want no more connections than there are.
                Err(_) if self.another_is_open(lane) => self.refuse(lane),
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::Transient)
            .with_source(format!("{} lets nobody open a session", self.name())))
    }

    /// The lane with the fewest users, preferably an open one; none that was refused a moment ago if
    /// there is another.
    fn choose(&self) -> usize {
        let _one_at_a_time = lock(&self.choosing);
        let rank = |lane: &Lane| {
            let refused = *lock(&lane.refused);
            let is_refused = refused.is_some_and(|at| at.elapsed() < REFUSED_FOR);
            let is_closed = !lane.is_open.load(Ordering::Relaxed);
            let users = lane.users.load(Ordering::Relaxed);
            (is_refused && is_closed, users, is_closed)
        };
        let lanes = self.lanes.iter().enumerate();
        let chosen = lanes.min_by_key(|(_, lane)| rank(lane));
        let number = chosen.map_or(0, |(number, _)| number);
        self.lanes[number].users.fetch_add(1, Ordering::Relaxed);
        number
    }

    fn refuse(&self, lane: usize) {
        *lock(&self.lanes[lane].refused) = Some(Instant::now());
    }

    fn another_is_open(&self, lane: usize) -> bool {
        let mut lanes = self.lanes.iter().enumerate();
        lanes.any(|(number, other)| number != lane && other.is_open.load(Ordering::Relaxed))
    }

    /// The lane's session, opened if there is none that lives. None: the server wants no more on this
    /// connection.
    async fn session(&self, number: usize) -> Result<Option<Arc<Session>>> {
        let lane = &self.lanes[number];
        let mut place = lane.session.lock().await;
        if let Some(session) = place.as_ref().filter(|session| session.is_alive()) {
            return Ok(Some(Arc::clone(session)));
        }
        lane.is_open.store(false, Ordering::Relaxed);
        *place = None;
        let connection = self.connection(lane.connection).await?;
        let life = Arc::clone(connection.life());
        let opening = async {
            match connection.open_channel().await? {
                Some(channel) => Session::begin(channel, Arc::clone(&life)).await.map(Some),
                None => Ok(None),
            }
        };
        let Some(session) = life.guard(opening).await? else {
            return Ok(None);
        };
        let session = Arc::new(session);
        *place = Some(Arc::clone(&session));
        lane.is_open.store(true, Ordering::Relaxed);
        Ok(Some(session))
    }

    async fn connection(&self, number: usize) -> Result<Arc<Connection>> {
        let mut place = self.connections[number].lock().await;
        if let Some(connection) = place.as_ref().filter(|connection| connection.is_alive()) {
            return Ok(Arc::clone(connection));
        }
        *place = None;
        for lane in self.lanes.iter().filter(|lane| lane.connection == number) {
            lane.is_open.store(false, Ordering::Relaxed);
        }
        let connection = Arc::new(self.line.connect().await?);
        lock(&self.software).clone_from(&connection.software);
        *place = Some(Arc::clone(&connection));
        Ok(connection)
    }
}

/// Somebody who uses a lane.
struct User(Arc<Pool>, usize);

impl Drop for User {
    fn drop(&mut self) {
        self.0.lanes[self.1].users.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lease {
    /// Does something with the session; when the connection dies it fails.
    pub(super) async fn run<'a, T>(
        &'a self,
        work: impl Future<Output = Result<T>> + 'a,
    ) -> Result<T> {
        self.session.life().guard(work).await
    }
}

impl Deref for Lease {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(User(Arc::clone(&self.pool), self.lane));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
