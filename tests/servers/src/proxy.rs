//! A TCP proxy that stands for a long line: everything arrives later, nothing gets lost. It can also
//! cut the line.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::address;

/// A proxy to one server, until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// One way.
    delay: Duration,
    server: SocketAddr,
    accepted: AtomicUsize,
    requests: AtomicU64,
    upward: AtomicU64,
    downward: AtomicU64,
    /// Bytes after which the next line is cut once; `u64::MAX` for never.
    cut_after: AtomicU64,
    /// How many connections are served; more are taken and not answered.
    served: AtomicUsize,
    /// Whether nothing goes on to clients.
    holds: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// To a loopback port; a byte takes half of `round_trip` each way.
    pub fn start(server: u16, round_trip: Duration) -> Self {
        crate::wait::step("start a proxy");
        let listener = TcpListener::bind(address(0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            delay: round_trip / 2,
            server: address(server),
            accepted: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            upward: AtomicU64::new(0),
            downward: AtomicU64::new(0),
            cut_after: AtomicU64::new(u64::MAX),
            served: AtomicUsize::new(usize::MAX),
            holds: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let accepting = Arc::downgrade(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Some(shared) = accepting.upgrade() else {
                    return;
                };
                shared.connect(client.unwrap());
            }
        });
        Self { port, shared }
    }

    /// Serves so many connections in all; more are taken and get no answer.
    pub fn serve_only(&self, connections: usize) {
        self.shared.served.store(connections, Ordering::SeqCst);
    }

    /// Connections taken so far.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Requests of HTTP/1.1 from clients so far, as far as each comes in one piece.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Bytes from clients so far.
    pub fn sent(&self) -> u64 {
        self.shared.upward.load(Ordering::SeqCst)
    }

    /// Bytes to clients so far.
    pub fn received(&self) -> u64 {
        self.shared.downward.load(Ordering::SeqCst)
    }

    /// Cuts every connection once, when so many more bytes came from clients.
    pub fn cut_after(&self, bytes: u64) {
        let at = self.sent() + bytes;
        self.shared.cut_after.store(at, Ordering::SeqCst);
    }

    /// Keeps back what servers say, until the answer is dropped: also by a panic, for a scope would wait
    /// for threads that wait for the server.
    #[must_use]
    pub fn hold(&self) -> Held {
        self.shared.holds.store(true, Ordering::SeqCst);
        Held(Arc::clone(&self.shared))
    }

    /// Cuts every connection now.
    pub fn cut(&self) {
        self.shared.cut();
    }
}

/// While this lives, nothing goes on to clients of a [`Proxy`].
#[derive(Debug)]
pub struct Held(Arc<Shared>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.holds.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.holds.store(false, Ordering::SeqCst);
        self.shared.cut();
    }
}

impl Shared {
    fn connect(self: Arc<Self>, client: TcpStream) {
        let before = self.accepted.fetch_add(1, Ordering::SeqCst);
        if before >= self.served.load(Ordering::SeqCst) {
            self.open.lock().unwrap().push(client);
            return;
        }
        let Ok(server) = TcpStream::connect(self.server) else {
            return;
        };
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
            self.open.lock().unwrap().push(stream.try_clone().unwrap());
        }
        let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        pump(Arc::clone(&self), from, to, |shared| &shared.upward);
        pump(self, server, client, |shared| &shared.downward);
    }

    /// Waits while what servers say is kept back.
    fn wait(&self, counter: &AtomicU64) {
        while std::ptr::eq(counter, &raw const self.downward) && self.holds.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // It may have ended already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Counts; whether the line is cut by it.
    fn count(&self, counter: &AtomicU64, bytes: u64) -> bool {
        let now = counter.fetch_add(bytes, Ordering::SeqCst) + bytes;
        let limit = self.cut_after.load(Ordering::SeqCst);
        std::ptr::eq(counter, &raw const self.upward)
            && now >= limit
            && self
                .cut_after
                .compare_exchange(limit, u64::MAX, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
    }
}

/// The ends of request lines; an answer's first line is another.
fn count_requests(bytes: &[u8]) -> u64 {
    const END: &[u8] = b" HTTP/1.1\r\n";
    bytes.windows(END.len()).filter(|end| *end == END).count() as u64
}

/// One direction: one thread reads, one writes what is due.
fn pump(
    shared: Arc<Shared>,
    mut from: TcpStream,
    mut to: TcpStream,
    counter: fn(&Shared) -> &AtomicU64,
) {
    let delay = shared.delay;
    let (sender, due) = mpsc::channel::<(Instant, Vec<u8>)>();
    let holding = Arc::clone(&shared);
    thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(count) = from.read(&mut buffer) {
            if count == 0 {
                break;
            }
            let requests = count_requests(&buffer[..count]);
            shared.requests.fetch_add(requests, Ordering::SeqCst);
            if shared.count(counter(&shared), count as u64) {
                shared.cut();
                break;
            }
            if sender.send((Instant::now() + delay, buffer[..count].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (at, bytes) in due {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            holding.wait(counter(&holding));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
