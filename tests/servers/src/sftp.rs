//! An SFTP server that answers oddly: a small one of version 3, in this process, behind a real sshd. It
//! serves the real files below the folder of that sshd, as far as a backup asks for them.

#![allow(clippy::disallowed_methods, reason = "files of a server that go with the test")]

use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;

use crate::process::address;
use crate::sshd::{Setup, Sshd};

/// A request, as far as a script may answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// A file is opened.
    Open,
    /// Something is closed.
    Close,
    /// Bytes are read.
    Read,
    /// Bytes are written.
    Write,
    /// Somebody looks at a path.
    Stat,
    /// A mode is changed by the path.
    SetStat,
    /// A mode is changed by a handle.
    SetStatByHandle,
    /// A folder is opened.
    OpenFolder,
    /// A folder is read.
    ReadFolder,
    /// A file is removed.
    Remove,
    /// A folder is made.
    MakeFolder,
    /// A file is renamed.
    Rename,
    /// An open file or folder is synced.
    Sync,
}

/// Says with which status and text a request is refused; the path is that of its handle, if it has one.
pub type Script = dyn Fn(Verb, &str) -> Option<(u32, &'static str)> + Send + Sync;

/// How it differs from other servers.
#[derive(Clone)]
pub struct Oddities {
    /// Requests that it refuses.
    pub script: Arc<Script>,
    /// The status for a name that is taken.
    pub exists: u32,
    /// Whether handles are bytes that are no text.
    pub binary_handles: bool,
    /// Whether it removes only files that their owner may write to, as Windows does.
    pub keeps_read_only: bool,
    /// Whether a status is its number alone.
    pub is_terse: bool,
    /// Extensions that it offers; it knows [`SYNC`].
    pub extensions: &'static [&'static str],
}

/// The extension by which a server syncs what is open (OpenSSH's `PROTOCOL`, section 4.6).
pub const SYNC: &str = "fsync@openssh.com";

impl Default for Oddities {
    fn default() -> Self {
        Self {
            script: Arc::new(|_, _| None),
            exists: 4,
            binary_handles: false,
            keeps_read_only: false,
            is_terse: false,
            extensions: &[],
        }
    }
}

/// The server, and the sshd before it.
pub struct OddSftp {
    /// What a client connects to.
    pub sshd: Sshd,
    sessions: Arc<AtomicUsize>,
    _script: TempDir,
}

/// What goes between an SSH session and a socket of this process.
const BRIDGE: &str =
    "exec 3<>/dev/tcp/127.0.0.1/PORT\ncat <&0 >&3 &\ncat <&3 &\nwait -n\nkill $(jobs -p)\n";

impl OddSftp {
    /// Starts one.
    pub fn start(oddities: Oddities) -> Self {
        let listener = TcpListener::bind(address(0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let folder = TempDir::new().unwrap();
        let script = folder.path().join("bridge");
        fs::write(&script, BRIDGE.replace("PORT", &port.to_string())).unwrap();
        let sessions = Arc::new(AtomicUsize::new(0));
        let begun = Arc::clone(&sessions);
        thread::spawn(move || {
            for stream in listener.incoming() {
                begun.fetch_add(1, Ordering::SeqCst);
                let session = Session::new(oddities.clone());
                thread::spawn(move || {
                    // A client that goes away ends its own session only.
                    let _ = session.converse(stream.unwrap());
                });
            }
        });
        let sshd = Sshd::start(&Setup {
            subsystem: format!("/bin/bash {}", script.display()),
            ..Setup::default()
        });
        Self { sshd, sessions, _script: folder }
    }

    /// Sessions that were begun: one that breaks is followed by another.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::SeqCst)
    }
}

/// An open file or folder.
struct Opened {
    path: String,
    file: Option<File>,
    /// The names that were not read yet.
    names: Vec<String>,
}

struct Session {
    oddities: Oddities,
    opened: HashMap<Vec<u8>, Opened>,
    next: u32,
}

/// A request that is taken apart from its beginning.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn number(&mut self) -> u32 {
        let (number, rest) = self.0.split_at(4);
        self.0 = rest;
        u32::from_be_bytes(number.try_into().unwrap())
    }

    fn long(&mut self) -> u64 {
        u64::from(self.number()) << 32 | u64::from(self.number())
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = self.number() as usize;
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes.to_vec()
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    /// The mode in attributes, if there is one and nothing before it.
    fn mode(&mut self) -> Option<u32> {
        (self.number() == 4).then(|| self.number())
    }
}

/// A status, or the kind and the fields of another answer.
type Answer = Result<(u8, Vec<u8>), (u32, String)>;

fn refuse(error: &io::Error, exists: u32) -> (u32, String) {
    let number = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => 2,
        ErrorKind::PermissionDenied => 3,
        ErrorKind::AlreadyExists => exists,
        _ => 4,
    };
    (number, error.to_string())
}

fn put(answer: &mut Vec<u8>, text: &[u8]) {
    answer.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    answer.extend_from_slice(text);
}

fn attributes(metadata: &Metadata) -> Vec<u8> {
    let time = u32::try_from(metadata.mtime()).unwrap().to_be_bytes();
    let mut attributes = 13_u32.to_be_bytes().to_vec();
    attributes.extend(metadata.size().to_be_bytes());
    attributes.extend(metadata.mode().to_be_bytes());
    attributes.extend([time, time].concat());
    attributes
}

const DONE: Answer = Err((0, String::new()));

impl Session {
    fn new(oddities: Oddities) -> Self {
        Self { oddities, opened: HashMap::new(), next: 0 }
    }

    fn converse(mut self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        loop {
            let mut len = [0; 4];
            stream.read_exact(&mut len)?;
            let mut packet = vec![0; u32::from_be_bytes(len) as usize];
            stream.read_exact(&mut packet)?;
            let (kind, mut fields) = (packet[0], Fields(&packet[1..]));
            let mut answer = Vec::new();
            if kind == 1 {
                answer.extend([2, 0, 0, 0, 3]);
                for extension in self.oddities.extensions {
                    put(&mut answer, extension.as_bytes());
                    put(&mut answer, b"1");
                }
            } else {
                let id = fields.number().to_be_bytes();
                match self.answer(kind, &mut fields) {
                    Ok((kind, body)) => {
                        answer.push(kind);
                        answer.extend(id);
                        answer.extend(body);
                    }
                    Err((number, text)) => {
                        answer.push(101);
                        answer.extend(id);
                        answer.extend(number.to_be_bytes());
                        if !self.oddities.is_terse {
                            put(&mut answer, text.as_bytes());
                            put(&mut answer, b"");
                        }
                    }
                }
            }
            let mut framed = Vec::new();
            put(&mut framed, &answer);
            stream.write_all(&framed)?;
        }
    }

    fn answer(&mut self, kind: u8, fields: &mut Fields<'_>) -> Answer {
        let verb = match kind {
            3 => Verb::Open,
            4 => Verb::Close,
            5 => Verb::Read,
            6 => Verb::Write,
            7 | 8 | 17 => Verb::Stat,
            9 => Verb::SetStat,
            10 => Verb::SetStatByHandle,
            11 => Verb::OpenFolder,
            12 => Verb::ReadFolder,
            13 => Verb::Remove,
            14 => Verb::MakeFolder,
            18 => Verb::Rename,
            200 if fields.bytes() == SYNC.as_bytes() => Verb::Sync,
            _ => return Err((8, "unsupported".to_owned())),
        };
        let by_handle = matches!(kind, 4 | 5 | 6 | 8 | 10 | 12 | 200);
        let named = fields.bytes();
        let path = if by_handle {
            let opened = self.opened.get(&named);
            let opened = opened.ok_or((9, "nobody opened that".to_owned()))?;
            opened.path.clone()
        } else {
            String::from_utf8(named.clone()).unwrap()
        };
        if let Some((number, text)) = (self.oddities.script)(verb, &path) {
            return Err((number, text.to_owned()));
        }
        let exists = self.oddities.exists;
        let about = move |error: io::Error| refuse(&error, exists);
        match verb {
            Verb::Open => self.open(&path, fields).map_err(about),
            Verb::Close => {
                self.opened.remove(&named);
                DONE
            }
            Verb::Read | Verb::Write => self.transfer(verb, &named, fields, about),
            Verb::Stat => {
                let seen =
                    if kind == 17 { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
                Ok((105, attributes(&seen.map_err(about)?)))
            }
            Verb::SetStat | Verb::SetStatByHandle => {
                if let Some(mode) = fields.mode() {
                    fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(about)?;
                }
                DONE
            }
            Verb::OpenFolder => {
                let entries = fs::read_dir(&path).map_err(about)?;
                let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
                let names = names.collect();
                Ok((102, self.handle(Opened { path, file: None, names })))
            }
            Verb::ReadFolder => self.read_folder(&named, &path),
            Verb::Sync => DONE,
            Verb::Remove => self.remove(&path).map_err(about).and(DONE),
            Verb::MakeFolder => fs::create_dir(&path).map_err(about).and(DONE),
            Verb::Rename => {
                // As OpenSSH: in one step, which refuses a name that is taken.
                let to = fields.text();
                fs::hard_link(&path, to).map_err(about)?;
                fs::remove_file(&path).map_err(about).and(DONE)
            }
        }
    }

    fn open(&mut self, path: &str, fields: &mut Fields<'_>) -> io::Result<(u8, Vec<u8>)> {
        let flags = fields.number();
        let mut options = OpenOptions::new();
        options.read(flags & 1 != 0).write(flags & 2 != 0);
        options.create_new(flags & 0x20 != 0);
        if let Some(mode) = fields.mode() {
            options.mode(mode);
        }
        let file = Some(options.open(path)?);
        let (path, names) = (path.to_owned(), Vec::new());
        Ok((102, self.handle(Opened { path, file, names })))
    }

    fn handle(&mut self, opened: Opened) -> Vec<u8> {
        self.next += 1;
        let number = self.next.to_be_bytes();
        let handle = if self.oddities.binary_handles {
            [&[0xff, 0xfe, 1, 0x80][..], &number].concat()
        } else {
            format!("handle {}", self.next).into_bytes()
        };
        let mut answer = Vec::new();
        put(&mut answer, &handle);
        self.opened.insert(handle, opened);
        answer
    }

    fn transfer(
        &self,
        verb: Verb,
        handle: &[u8],
        fields: &mut Fields<'_>,
        about: impl Fn(io::Error) -> (u32, String),
    ) -> Answer {
        let Some(file) = &self.opened[handle].file else {
            return Err((4, "a folder".to_owned()));
        };
        let offset = fields.long();
        if verb == Verb::Write {
            return file.write_all_at(&fields.bytes(), offset).map_err(about).and(DONE);
        }
        let mut bytes = vec![0; fields.number() as usize];
        let count = file.read_at(&mut bytes, offset).map_err(about)?;
        if count == 0 {
            return Err((1, "end".to_owned()));
        }
        let mut answer = Vec::new();
        put(&mut answer, &bytes[..count]);
        Ok((103, answer))
    }

    fn read_folder(&mut self, handle: &[u8], folder: &str) -> Answer {
        let opened = self.opened.get_mut(handle).unwrap();
        let names: Vec<String> = opened.names.drain(..opened.names.len().min(50)).collect();
        let mut answer = Vec::new();
        let mut count = 0_u32;
        for name in &names {
            // It may have gone away.
            let Ok(metadata) = fs::symlink_metadata(PathBuf::from(folder).join(name)) else {
                continue;
            };
            count += 1;
            put(&mut answer, name.as_bytes());
            put(&mut answer, name.as_bytes());
            answer.extend(attributes(&metadata));
        }
        if names.is_empty() {
            return Err((1, "end".to_owned()));
        }
        Ok((104, [&count.to_be_bytes()[..], &answer].concat()))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mode = fs::symlink_metadata(path)?.mode();
        if self.oddities.keeps_read_only && mode & 0o200 == 0 {
            return Err(ErrorKind::PermissionDenied.into());
        }
        fs::remove_file(path)
    }
}
