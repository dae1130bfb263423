//! Connections and their sessions: opened when they are needed, and opened again after they died.
//!
//! A call takes the session with the fewest users. If all open sessions are busy, another one is
//! opened, on each connection in turn. If the server refuses more, calls share the open sessions.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as AsyncMutex;

use super::connection::{Connection, SshLine};
use super::errors::retold;
use super::session::Session;
use crate::{Error, ErrorKind, Result};

/// Sessions of one connection: servers allow 10 (`MaxSessions`).
const SESSIONS: usize = 4;
/// After this time a server that wanted no more is asked again.
const REFUSED_FOR: Duration = Duration::from_mins(1);

/// All connections to one server.
#[derive(Debug)]
pub(super) struct Pool {
    line: SshLine,
    connections: Vec<AsyncMutex<ConnectionSlot>>,
    lanes: Vec<Lane>,
    choosing: Mutex<()>,
    software: Mutex<String>,
}

/// A place for one connection.
#[derive(Debug, Default)]
struct ConnectionSlot {
    connection: Option<Arc<Connection>>,
    /// When connecting failed last, and how.
    failed: Option<(Instant, Error)>,
}

/// A place for one session.
#[derive(Debug)]
struct Lane {
    /// Which connection it belongs to.
    connection: usize,
    session: Mutex<Option<Arc<Session>>>,
    /// Held by the one who opens a session.
    opening: AsyncMutex<()>,
    users: AtomicUsize,
    refused: Mutex<Option<Instant>>,
}

/// A session that a call uses, until this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    session: Arc<Session>,
    _user: User,
}

impl Pool {
    /// Up to so many connections.
    pub(super) fn new(line: SshLine, connections: usize) -> Arc<Self> {
        let place = |number: usize| Lane {
            connection: number % connections,
            session: Mutex::default(),
            opening: AsyncMutex::default(),
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

    /// Whether the server was seen not to sync a folder.
    pub(super) fn has_unsynced_folders(&self) -> bool {
        self.line.unsynced_folders.load(Ordering::Relaxed)
    }

    /// What the server's software calls itself; empty before the first connection.
    pub(super) fn software(&self) -> String {
        lock(&self.software).clone()
    }

    /// A session to use.
    ///
    /// Errors: as [`SshLine::connect`], if there is none to share.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease> {
        let asked = Instant::now();
        for _ in 0..=self.lanes.len() {
            let lane = self.choose();
            // Counted until this is dropped, also if opening fails.
            let user = User(Arc::clone(self), lane);
            match self.session(lane, asked).await {
                Ok(Some(session)) => {
                    return Ok(Lease { session, _user: user });
                }
                Ok(None) => self.refuse(lane),
                // The server may want no more connections than there are (`MaxStartups`, a hoster's limit).
                Err(_) if self.another_is_open(lane) => self.refuse_connections(lane),
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
            let is_closed = lane.session().is_none();
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

    /// Leaves all connections alone that have no session: this call would otherwise wait for each of them, as
    /// long as a server may take that does not answer.
    fn refuse_connections(&self, lane: usize) {
        let is_used = |connection: usize| {
            let mut lanes = self.lanes.iter();
            lanes.any(|lane| lane.connection == connection && lane.session().is_some())
        };
        for (number, other) in self.lanes.iter().enumerate() {
            if number == lane || !is_used(other.connection) {
                self.refuse(number);
            }
        }
    }

    fn another_is_open(&self, lane: usize) -> bool {
        let mut lanes = self.lanes.iter().enumerate();
        lanes.any(|(number, other)| number != lane && other.session().is_some())
    }

    /// The lane's session, opened if there is none that lives. None: the server wants no more on this
    /// connection.
    async fn session(&self, number: usize, asked: Instant) -> Result<Option<Arc<Session>>> {
        let lane = &self.lanes[number];
        let _only_one = lane.opening.lock().await;
        if let Some(session) = lane.session() {
            return Ok(Some(session));
        }
        let connection = self.connection(lane.connection, asked).await?;
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
        *lock(&lane.session) = Some(Arc::clone(&session));
        Ok(Some(session))
    }

    /// A connection that lives. One attempt answers all who asked before it failed: one after the
    /// other they would wait for as many.
    async fn connection(&self, number: usize, asked: Instant) -> Result<Arc<Connection>> {
        let mut place = self.connections[number].lock().await;
        let living = place.connection.take().filter(|one| one.is_alive());
        if let Some(connection) = living {
            place.connection = Some(Arc::clone(&connection));
            return Ok(connection);
        }
        if let Some((at, error)) = &place.failed
            && *at >= asked
        {
            return Err(retold(error, str::to_owned));
        }
        match self.line.connect().await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                lock(&self.software).clone_from(&connection.software);
                place.connection = Some(Arc::clone(&connection));
                Ok(connection)
            }
            Err(error) => {
                place.failed = Some((Instant::now(), retold(&error, str::to_owned)));
                Err(error)
            }
        }
    }
}

impl Lane {
    /// Its session, if that lives.
    fn session(&self) -> Option<Arc<Session>> {
        let session = lock(&self.session);
        session.as_ref().filter(|one| one.is_alive()).cloned()
    }
}

#[cfg(test)]
impl Pool {
    /// Calls that have a session, or wait for one.
    pub(super) fn users(&self) -> usize {
        let users = self.lanes.iter().map(|lane| &lane.users);
        users.map(|users| users.load(Ordering::Relaxed)).sum()
    }

    /// Sessions that live.
    pub(super) fn sessions(&self) -> Vec<Arc<Session>> {
        self.lanes.iter().filter_map(Lane::session).collect()
    }
}

/// Somebody who uses a lane, until this is dropped.
#[derive(Debug)]
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
