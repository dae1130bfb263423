//! One connection: over the machines on the way, each with its key checked and logged in to.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::cipher;
use russh::client::{self, DisconnectReason, Handle};
use russh::keys::{Algorithm, PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelOpenFailure, Preferred};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::errors::{lost, retold, shown};
use super::known_hosts::{self, Verdict, fingerprint};
use super::life::Life;
use super::login::{self, Secrets};
use super::route::{Hop, at_hop};
use crate::destination::invalid;
use crate::{Error, Result};

/// How long a machine may take to answer the call, and to agree on a cipher.
const CONNECT: Duration = Duration::from_secs(20);
/// What a server may send on one channel before it is asked to go on: more than any line has under
/// way.
const WINDOW: u32 = 16 * 1024 * 1024;

/// How to get to a server.
#[derive(Debug)]
pub(super) struct SshLine {
    /// The machines on the way; the server is the last.
    pub(super) hops: Vec<Arc<Hop>>,
    pub(super) secrets: Secrets,
    pub(super) stalled_after: Duration,
    /// Whether the server was seen not to sync a folder.
    pub(super) unsynced_folders: Arc<AtomicBool>,
}

/// A connection to a server that one is logged in to.
pub(super) struct Connection {
    /// The server's, and before it those of the machines on the way.
    handles: Vec<Handle<Watcher>>,
    life: Arc<Life>,
    /// What the server calls itself: `SSH-2.0-OpenSSH_9.2p1`.
    pub(super) software: String,
}

impl SshLine {
    /// Connects, once.
    ///
    /// Errors: `Transient` where the network or the server may be back soon, `Invalid` for a host key
    /// that is not the known one, `PermissionDenied` for a login that is refused.
    pub(super) async fn connect(&self) -> Result<Connection> {
        let Some((first, others)) = self.hops.split_first() else {
            return Err(invalid("no machine is named".to_owned()));
        };
        let about = |hop: &Arc<Hop>| {
            let hop = Arc::clone(hop);
            move |error: Error| at_hop(&hop, &error)
        };
        let stream = call(first).await.map_err(about(first))?;
        let stream = stream.into_std().map_err(Error::from)?;
        let socket = stream.try_clone().map_err(Error::from)?;
        let life = Life::begin(socket, self.stalled_after, Arc::clone(&self.unsynced_folders));
        let stream = TcpStream::from_std(stream).map_err(Error::from)?;
        let mut handles: Vec<Handle<Watcher>> = Vec::new();
        let (handle, mut software) =
            self.enter(first, &life, stream).await.map_err(about(first))?;
        handles.push(handle);
        for hop in others {
            let entered = match handles.last() {
                Some(before) => self.enter_through(before, hop, &life).await,
                None => Err(lost("the way is lost")),
            };
            let (handle, entered_software) = entered.map_err(about(hop))?;
            handles.push(handle);
            software = entered_software;
        }
        Ok(Connection { handles, life, software })
    }

    async fn enter_through(
        &self,
        before: &Handle<Watcher>,
        hop: &Arc<Hop>,
        life: &Arc<Life>,
    ) -> Result<(Handle<Watcher>, String)> {
        let opening =
            before.channel_open_direct_tcpip(hop.host.as_str(), hop.port.into(), "127.0.0.1", 0);
        let channel = match tokio::time::timeout(CONNECT, opening).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(russh::Error::ChannelOpenFailure(
                ChannelOpenFailure::AdministrativelyProhibited,
            ))) => {
                return Err(invalid(
                    "the machine before it does not let connections through".to_owned(),
                )
                .with_hint("its sshd_config needs: AllowTcpForwarding yes"));
            }
            Ok(Err(error)) => return Err(lost(&format!("through the machine before it: {error}"))),
            Err(_) => return Err(lost("the machine before it did not get through")),
        };
        self.enter(hop, life, channel.into_stream()).await
    }

    /// Agrees on a cipher, checks the host key, and logs in.
    async fn enter<S>(
        &self,
        hop: &Arc<Hop>,
        life: &Arc<Life>,
        stream: S,
    ) -> Result<(Handle<Watcher>, String)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let seen = Arc::new(Mutex::new(SeenMachine::default()));
        let watcher = Watcher {
            hop: Arc::clone(hop),
            is_behind_another: self.hops.first().is_some_and(|first| !Arc::ptr_eq(first, hop)),
            seen: Arc::clone(&seen),
            life: Arc::clone(life),
        };
        let config = Arc::new(self.config(hop));
        let entering = client::connect_stream(config, stream, watcher);
        let mut handle = match tokio::time::timeout(CONNECT, entering).await {
            Ok(Ok(handle)) => handle,
            Ok(Err(stop)) => return Err(stop.into_error()),
            Err(_) => return Err(lost("the server does not answer as an SSH server does")),
        };
        let entered = login::log_in(&mut handle, hop, &self.secrets, &seen).await;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Err(error), Some(last_words)) = (&entered, &seen.last_words) {
            return Err(retold(error, |source| format!("{source}: {last_words}")));
        }
        entered?;
        Ok((handle, seen.software.clone()))
    }

    fn config(&self, hop: &Hop) -> client::Config {
        // Often enough that no router forgets the connection; answers to data count too.
        let interval = Duration::from_secs(30).min(self.stalled_after);
        let patience = self.stalled_after.as_secs() / interval.as_secs().max(1);
        client::Config {
            window_size: WINDOW,
            keepalive_interval: Some(interval),
            keepalive_max: usize::try_from(patience).unwrap_or(usize::MAX).max(3),
            nodelay: true,
            preferred: Preferred {
                key: Cow::Owned(key_kinds(hop)),
                cipher: Cow::Borrowed(&[
                    cipher::AES_256_GCM,
                    cipher::AES_128_GCM,
                    cipher::CHACHA20_POLY1305,
                    cipher::AES_256_CTR,
                    cipher::AES_192_CTR,
                    cipher::AES_128_CTR,
                ]),
                compression: Cow::Borrowed(&[russh::compression::NONE]),
                ..Preferred::DEFAULT
            },
            ..client::Config::default()
        }
    }
}

/// The kinds of host keys to ask for, those that are known of the host first: one with several keys
/// would look changed otherwise. Nothing is signed with SHA-1.
fn key_kinds(hop: &Hop) -> Vec<Algorithm> {
    let (name, port) = &hop.known_as;
    let known = hop.known.algorithms(name, *port);
    let is_known = |kind: &Algorithm| {
        let mut known = known.iter();
        known.any(|known| known == kind || (is_rsa(known) && is_rsa(kind)))
    };
    let mut kinds: Vec<Algorithm> = Preferred::DEFAULT.key.to_vec();
    kinds.retain(|kind| !matches!(kind, Algorithm::Rsa { hash: None }));
    kinds.sort_by_key(|kind| !is_known(kind));
    kinds
}

fn is_rsa(kind: &Algorithm) -> bool {
    matches!(kind, Algorithm::Rsa { .. })
}

/// Opens a TCP connection, to one of the machine's addresses after the other.
async fn call(hop: &Hop) -> Result<TcpStream> {
    let name = (hop.host.as_str(), hop.port);
    let calling = async {
        let mut failure = None;
        for address in tokio::net::lookup_host(name).await? {
            match tokio::time::timeout(CONNECT / 2, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = Some(error),
                Err(_) => failure = Some(std::io::ErrorKind::TimedOut.into()),
            }
        }
        Err(failure.unwrap_or_else(|| std::io::Error::other("the name has no address")))
    };
    let called = tokio::time::timeout(CONNECT, calling).await;
    let stream = called.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    let stream = stream.map_err(|error: std::io::Error| {
        lost(&format!("cannot connect: {error}")).with_hint(
            "is the name right, and does an SSH server listen there? (ssh -v shows more)",
        )
    })?;
    // Without it small requests wait for one another.
    stream.set_nodelay(true).map_err(Error::from)?;
    Ok(stream)
}

impl Connection {
    /// Opens a channel for a session. None: the server has as many as it wants.
    pub(super) async fn open_channel(&self) -> Result<Option<Channel<client::Msg>>> {
        let Some(handle) = self.handles.last() else {
            return Ok(None);
        };
        let waiting = self.life.request();
        match handle.channel_open_session().await {
            Ok(channel) => {
                waiting.answered();
                Ok(Some(channel))
            }
            Err(russh::Error::ChannelOpenFailure(_)) => Ok(None),
            Err(error) => Err(lost(&format!("opening a channel: {error}"))),
        }
    }

    /// Its state.
    pub(super) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// Whether requests can still be made.
    pub(super) fn is_alive(&self) -> bool {
        !self.life.is_over() && !self.handles.iter().any(Handle::is_closed)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.life.end("the connection was closed");
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("software", &self.software).finish_non_exhaustive()
    }
}

/// What was seen of a machine.
#[derive(Debug, Default)]
pub(super) struct SeenMachine {
    software: String,
    /// What it said when it hung up.
    last_words: Option<String>,
}

impl SeenMachine {
    /// Whether it hung up on purpose, and said so.
    pub(super) fn hung_up(&self) -> bool {
        self.last_words.is_some()
    }
}

/// Checks a machine's key, and notes what is seen of it.
pub(super) struct Watcher {
    hop: Arc<Hop>,
    is_behind_another: bool,
    seen: Arc<Mutex<SeenMachine>>,
    life: Arc<Life>,
}

/// It goes with what keeps the connection running, in whichever way that ended.
impl Drop for Watcher {
    fn drop(&mut self) {
        let said = self.seen().last_words.clone();
        let said = said.map_or(String::new(), |words| format!(": {words}"));
        self.life.end(&format!("the connection was closed{said}"));
    }
}

/// Why a connection did not come about.
#[derive(Debug)]
pub(super) enum Stop {
    HostKey(Error),
    Library(russh::Error),
}

impl From<russh::Error> for Stop {
    fn from(error: russh::Error) -> Self {
        Self::Library(error)
    }
}

impl Stop {
    fn into_error(self) -> Error {
        match self {
            Self::HostKey(error) => error,
            Self::Library(error @ russh::Error::NoCommonAlgo { .. }) => {
                invalid(format!("the server has no safe algorithm in common: {error}"))
            }
            Self::Library(error) => lost(&format!("no SSH connection came about: {error}")),
        }
    }
}

impl client::Handler for Watcher {
    type Error = Stop;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> std::result::Result<bool, Stop> {
        let key = shown.public_key();
        let (name, port) = &self.hop.known_as;
        match self.hop.known.judge(name, *port, &key) {
            Verdict::Known => Ok(true),
            verdict => Err(Stop::HostKey(self.refusal(&key, verdict))),
        }
    }

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        _: &russh::Names,
        session: &mut client::Session,
    ) -> std::result::Result<(), Stop> {
        let software = shown(&String::from_utf8_lossy(session.remote_sshid()));
        self.seen().software = software;
        Ok(())
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<Stop>,
    ) -> std::result::Result<(), Stop> {
        match reason {
            DisconnectReason::ReceivedDisconnect(said) => {
                self.seen().last_words = Some(shown(&said.message));
                Ok(())
            }
            DisconnectReason::Error(stop) => Err(stop),
        }
    }
}

impl Watcher {
    fn seen(&self) -> std::sync::MutexGuard<'_, SeenMachine> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what is wrong with a key, and what to do next.
    fn refusal(&self, key: &PublicKey, verdict: Verdict) -> Error {
        let (kind, print) = (key.algorithm(), fingerprint(key));
        let (name, port) = &self.hop.known_as;
        let name = known_hosts::name(name, *port);
        let file = self.hop.known_file.as_ref();
        let file = file.map_or("~/.ssh/known_hosts".to_owned(), |file| file.display().to_string());
        match verdict {
            Verdict::Changed(at, known) => invalid(format!(
                "THE HOST KEY HAS CHANGED: {name} shows {kind} {print}, but {}, line {} has {known}",
                at.file.display(),
                at.line
            ))
            .with_hint(format!(
                "somebody may be listening in; ask who runs the server. If the key was changed on purpose: ssh-keygen -f {} -R '{name}', and add the new one",
                at.file.display()
            )),
            Verdict::Revoked(at) => invalid(format!(
                "the host key {kind} {print} of {name} is revoked by {}, line {}",
                at.file.display(),
                at.line
            ))
            .with_hint("do not connect before whoever runs the server has given it a new key"),
            Verdict::Unknown(others) => {
                let others: Vec<String> = others.iter().map(ToString::to_string).collect();
                let besides = if others.is_empty() {
                    String::new()
                } else {
                    format!("; known are only keys of other kinds ({})", others.join(", "))
                };
                invalid(format!(
                    "the host key of {name} is not known: it is {kind} {print}{besides}"
                ))
                .with_hint(self.next_step(&file))
            }
            Verdict::Known => invalid("the host key is known".to_owned()),
        }
    }

    fn next_step(&self, file: &str) -> String {
        let Hop { host, port, .. } = &*self.hop;
        let compare = "compare the fingerprint with the server's own (there: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)";
        if self.is_behind_another {
            format!("{compare}; then let ssh add it, by connecting once through the same machines")
        } else {
            format!("{compare}; then add it: ssh-keyscan -p {port} '{host}' >> '{file}'")
        }
    }
}
