//! An installation's databases, files or on a server: copies as of one moment, and what Seafile's own
//! points to.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use sha2::Digest as _;

use super::pieces::Pieces;
use crate::database::mysql::{
    self, Address, Connection, DumpError, ErrorKind, InDatabase, Server, Snapshot, Tls,
};
use crate::database::{self, Pointers, SqliteCopy, SqliteSource};
use crate::object::Sha256;
use crate::seafile::discover::{
    DatabaseKind, Installation, MysqlDatabase, MysqlSettings, SqliteFile,
};

/// The role of the database that knows the libraries.
pub const SEAFILE: &str = "seafile";
/// How often a snapshot is taken anew because tables were altered meanwhile.
const ATTEMPTS: usize = 5;
/// The zstd level of dumps in the spool, which are read once.
const LEVEL: i32 = 1;
/// Pieces on their way from the server to the spool.
const PIECES: usize = 8;
/// Where servers on Debian, Red Hat and elsewhere have their socket.
const SOCKETS: [&str; 4] = [
    "/run/mysqld/mysqld.sock",
    "/var/run/mysqld/mysqld.sock",
    "/var/lib/mysql/mysql.sock",
    "/tmp/mysql.sock",
];

/// A database that could not be reached, copied or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// As the layer below says.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// Nothing names Seafile's own database.
    #[error("the installation has no database of the libraries")]
    NoSeafileDatabase,
}

impl From<mysql::Error> for Error {
    fn from(error: mysql::Error) -> Self {
        Self::Database(error.into())
    }
}

/// A database where it is.
#[derive(Debug, Clone)]
pub enum Place {
    /// A file of the installation.
    File(SqliteFile),
    /// On a server, under this name.
    Server(Server, String),
}

/// A copy in the spool; it goes when this is dropped.
pub struct Copy {
    /// `seafile`, `ccnet` …
    pub role: String,
    /// Where it comes from.
    pub place: Place,
    /// Its length, in bytes.
    pub len: u64,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
    /// What is wrong with the database itself.
    pub integrity: Vec<String>,
    /// The server's version.
    pub server: Option<String>,
    /// What tells the server from others.
    pub identity: Option<String>,
    kept: Kept,
}

enum Kept {
    File(SqliteCopy),
    /// SQL text, compressed.
    Dump(tempfile::NamedTempFile),
}

/// Copies of all databases.
pub struct Copies {
    /// The copies, in the order in which the installation lists them.
    pub all: Vec<Copy>,
    /// What Seafile's own points to.
    pub pointers: Pointers,
    /// The longest time that a lock on one of them was held.
    pub locked_for: Duration,
    /// What the administrator should know.
    pub notes: Vec<String>,
    /// Databases on those servers that are not the installation's by its configuration.
    pub others: Vec<String>,
}

impl Copy {
    /// Writes its bytes.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.kept {
            Kept::File(copy) => io::copy(&mut File::open(&copy.file)?, out)?,
            Kept::Dump(file) => {
                let file = BufReader::new(file.reopen()?);
                io::copy(&mut zstd::Decoder::with_buffer(file)?, out)?
            }
        };
        Ok(())
    }
}

/// The installation's databases that are files.
pub fn files(installation: &Installation) -> &[SqliteFile] {
    match &installation.database {
        DatabaseKind::Sqlite(files) => files,
        DatabaseKind::Mysql(settings) => &settings.sqlite,
    }
}

/// The servers and names of those that are not.
pub fn on_servers(installation: &Installation) -> Vec<(String, Server, String)> {
    let DatabaseKind::Mysql(MysqlSettings { databases, .. }) = &installation.database else {
        return Vec::new();
    };
    let place = |database: &MysqlDatabase| {
        let name = database.name.value.clone();
        (database.role.to_string(), server_of(database), name)
    };
    databases.iter().map(place).collect()
}

/// How one is reached.
pub(super) fn server_of(database: &MysqlDatabase) -> Server {
    let text = |setting: &Option<crate::seafile::discover::Setting<String>>| {
        setting.as_ref().map(|setting| setting.value.clone())
    };
    let host = text(&database.host).unwrap_or_else(|| "localhost".to_owned());
    let port = database.port.value;
    let socket = text(&database.unix_socket).map(PathBuf::from);
    // Clients of these servers take that name for a socket, and accounts are made accordingly.
    let usual = || {
        let mut sockets = SOCKETS.iter().map(PathBuf::from);
        let is_default = host == "localhost" && port == 3306;
        sockets.find(|socket| is_default && socket.exists())
    };
    Server {
        address: match socket.or_else(usual) {
            Some(socket) => Address::Socket(socket),
            None => Address::Tcp { host, port },
        },
        user: text(&database.user).unwrap_or_else(|| "seafile".to_owned()),
        password: database
            .password
            .as_ref()
            .map(|password| password.value.clone()),
        tls: if database.use_ssl {
            Tls::Required {
                ca_file: text(&database.ca_path).map(PathBuf::from),
                skip_verify: database.skip_verify,
            }
        } else {
            Tls::Off
        },
    }
}

/// Looks whether the servers can be reached and read: before a run stores anything.
pub fn look(installation: &Installation) -> Result<(), Error> {
    for (_, server, name) in on_servers(installation) {
        begin(&server, &[&name])?;
    }
    Ok(())
}

/// Copies all databases: those on one server as of one moment, and Seafile's own server first.
pub fn copy(installation: &Installation, spool: &Path) -> Result<Copies, Error> {
    let mut all = Vec::new();
    let mut pointers = None;
    let mut notes = Vec::new();
    let mut others: Vec<String> = Vec::new();
    let on_servers = on_servers(installation);
    let groups = group(&on_servers)?;
    let started = Instant::now();
    for (number, (server, databases)) in groups.iter().enumerate() {
        if number == 1 {
            notes.push(format!(
                "the databases are on {} servers or accounts: their dumps are of different moments, {} ms apart or more",
                groups.len(),
                started.elapsed().as_millis()
            ));
        }
        let dumped = dump_group(server, databases, spool)?;
        all.extend(dumped.copies);
        pointers = pointers.or(dumped.pointers);
        notes.extend(dumped.notes);
        others.extend(dumped.others);
    }
    let is_ours = |name: &String| on_servers.iter().any(|(_, _, ours)| ours == name);
    others.retain(|name| !is_ours(name));
    others.sort();
    others.dedup();
    let files = files(installation);
    let copies = database::copy_all(&super::sqlite_sources(files), spool)?;
    let mut locked_for = Duration::ZERO;
    for (copy, file) in copies.into_iter().zip(files) {
        locked_for = locked_for.max(copy.locked_for);
        if copy.role == SEAFILE {
            pointers = Some(database::read_pointers(&copy.file)?);
        }
        all.push(Copy {
            role: copy.role.clone(),
            place: Place::File(file.clone()),
            len: copy.len,
            sha256: copy.sha256,
            integrity: copy.integrity.clone(),
            server: None,
            identity: None,
            kept: Kept::File(copy),
        });
    }
    Ok(Copies {
        all,
        pointers: pointers.ok_or(Error::NoSeafileDatabase)?,
        locked_for,
        notes,
        others,
    })
}

/// A server and account, and the databases there by role and name.
type Group<'a> = (&'a Server, Vec<(&'a str, &'a str)>);

/// Databases of one server together, also where it is spelled in two ways or reached by two accounts, if
/// the first may read all of them.
fn group(on_servers: &[(String, Server, String)]) -> Result<Vec<Group<'_>>, Error> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (role, server, name) in on_servers {
        let mut found = None;
        for (number, (known, _)) in groups.iter().enumerate() {
            if *known == server || is_readable_by(known, server, name)? {
                found = Some(number);
                break;
            }
        }
        match found.and_then(|number| groups.get_mut(number)) {
            Some((_, databases)) => databases.push((role, name)),
            None => groups.push((server, vec![(role, name)])),
        }
    }
    Ok(groups)
}

/// Whether a database of `server` is also to be had from `other`, under the same name.
fn is_readable_by(other: &Server, server: &Server, name: &str) -> Result<bool, Error> {
    let identity = |server: &Server| Connection::open(server)?.identity();
    Ok(identity(other)? == identity(server)? && begin(other, &[name]).is_ok())
}

/// Seafile's own database, to be asked again.
#[derive(Debug, Clone)]
pub enum SeafileDatabase {
    /// A file.
    File(SqliteSource),
    /// On a server, under this name.
    Server(Server, String),
}

impl SeafileDatabase {
    /// That of an installation.
    pub fn of(installation: &Installation) -> Result<Self, Error> {
        let on_servers = on_servers(installation);
        if let Some((_, server, name)) = on_servers.into_iter().find(|(role, ..)| role == SEAFILE) {
            return Ok(Self::Server(server, name));
        }
        let sources = super::sqlite_sources(files(installation));
        let seafile = sources.into_iter().find(|source| source.role == SEAFILE);
        seafile.map(Self::File).ok_or(Error::NoSeafileDatabase)
    }

    /// What it points to now.
    pub fn pointers(&self, spool: &Path) -> Result<Pointers, database::Error> {
        match self {
            Self::File(source) => database::read_pointers_live(source, spool),
            Self::Server(server, name) => pointers_of(server, name),
        }
    }
}

/// What a database on a server points to; of tables that cannot be read it is not known.
fn pointers_of(server: &Server, name: &str) -> Result<Pointers, database::Error> {
    let mut unreadable = Vec::new();
    loop {
        match begin_without(server, &[name], &unreadable)?.pointers(name) {
            Err(database::Error::Server(error)) => match error.kind() {
                ErrorKind::Unreadable(table) => unreadable.push((**table).clone()),
                _ => return Err(error.into()),
            },
            result => return result,
        }
    }
}

/// A snapshot; one that was outrun by an ALTER is taken anew.
fn begin(server: &Server, names: &[&str]) -> Result<Snapshot, mysql::Error> {
    begin_without(server, names, &[])
}

fn begin_without(
    server: &Server,
    names: &[&str],
    unreadable: &[InDatabase],
) -> Result<Snapshot, mysql::Error> {
    let mut attempts = 1;
    loop {
        match Snapshot::begin_without(server, names, unreadable) {
            Err(error) if *error.kind() == ErrorKind::Changed && attempts < ATTEMPTS => {
                attempts += 1;
            }
            result => return result,
        }
    }
}

/// Dumps databases of a server (each with the name of its file), all as of one moment, whatever they
/// hold, into files `….sql.zst` of a folder; gives their paths and lengths, in bytes.
pub fn keep_dumps(
    server: &Server,
    databases: &[(&str, &str)],
    folder: &Path,
) -> Result<Vec<(PathBuf, u64)>, database::Error> {
    let failed = |source: io::Error| database::Error::Spool {
        file: folder.to_owned(),
        source,
    };
    let copies = dump_group(server, databases, folder)?.copies;
    // What is replaced afterwards must all be kept.
    let lacking = copies.iter().find_map(|copy| copy.integrity.first());
    if let Some(lacking) = lacking {
        return Err(mysql::Error::incomplete(server, lacking).into());
    }
    let copies = copies.into_iter();
    let keep = |copy: Copy| {
        let path = folder.join(format!("{}.sql.zst", copy.role));
        let Kept::Dump(file) = copy.kept else {
            unreachable!("what is on a server is dumped as text")
        };
        file.as_file().sync_all().map_err(failed)?;
        let len = file.as_file().metadata().map_err(failed)?.len();
        let kept = file.persist_noclobber(&path);
        kept.map_err(|error| failed(error.error))?;
        Ok((path, len))
    };
    let kept: Result<Vec<_>, database::Error> = copies.map(keep).collect();
    let folder = File::open(folder).and_then(|folder| folder.sync_all());
    folder.map_err(failed)?;
    kept
}

/// Databases of one server as of one moment.
struct Dumped {
    copies: Vec<Copy>,
    pointers: Option<Pointers>,
    notes: Vec<String>,
    others: Vec<String>,
}

fn dump_group(
    server: &Server,
    databases: &[(&str, &str)],
    spool: &Path,
) -> Result<Dumped, database::Error> {
    let mut attempts = 1;
    let mut unreadable = Vec::new();
    loop {
        let error = match try_dump_group(server, databases, &unreadable, spool) {
            Err(database::Error::Server(error)) => error,
            result => return result,
        };
        match error.kind() {
            ErrorKind::Changed if attempts < ATTEMPTS => attempts += 1,
            // Once more without it: each takes one table away, so that this ends.
            ErrorKind::Unreadable(table) => unreadable.push((**table).clone()),
            _ => return Err(error.into()),
        }
    }
}

fn try_dump_group(
    server: &Server,
    databases: &[(&str, &str)],
    unreadable: &[InDatabase],
    spool: &Path,
) -> Result<Dumped, database::Error> {
    let names: Vec<&str> = databases.iter().map(|(_, name)| *name).collect();
    let mut snapshot = Snapshot::begin_without(server, &names, unreadable)?;
    let mut dumped = Dumped {
        copies: Vec::new(),
        pointers: None,
        notes: Vec::new(),
        others: snapshot.others()?,
    };
    // What the walk starts from comes first, and holds nobody up.
    if let Some((_, name)) = databases.iter().find(|(role, _)| *role == SEAFILE) {
        dumped.pointers = Some(snapshot.pointers(name)?);
    }
    for (role, name) in databases {
        let (copy, notes) = dump(&snapshot, server, role, name, spool)?;
        dumped.copies.push(copy);
        dumped.notes.extend(notes);
    }
    snapshot.unlock();
    Ok(dumped)
}

/// Dumps one database into the spool. A second thread hashes, compresses and writes, so that the server
/// is not kept waiting.
fn dump(
    snapshot: &Snapshot,
    server: &Server,
    role: &str,
    name: &str,
    spool: &Path,
) -> Result<(Copy, Vec<String>), database::Error> {
    let failed = |source: io::Error| database::Error::Spool {
        file: spool.to_owned(),
        source,
    };
    let file = tempfile::Builder::new()
        .prefix("dump-")
        .suffix(".sql.zst")
        .tempfile_in(spool)
        .map_err(failed)?;
    let (sender, pieces) = sync_channel::<Vec<u8>>(PIECES);
    let (totals, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut hasher = sha2::Sha256::new();
            let mut len = 0;
            let mut out = zstd::Encoder::new(BufWriter::new(file.as_file()), LEVEL)?;
            for piece in pieces {
                hasher.update(&piece);
                len += piece.len() as u64;
                out.write_all(&piece)?;
            }
            out.finish()?.into_inner()?;
            io::Result::Ok((len, Sha256::new(hasher.finalize().into())))
        });
        let mut out = Pieces::new(sender);
        let totals = snapshot.dump(name, &mut out).and_then(|totals| {
            out.send()?;
            Ok(totals)
        });
        drop(out);
        let written = writer
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the writer of a dump stopped")));
        (totals, written)
    });
    // That it could not be written is why it could not be sent.
    let (len, sha256) = written.map_err(failed)?;
    let totals = totals.map_err(|error| match error {
        DumpError::Server(error) => error.into(),
        DumpError::Write(error) => failed(error),
    })?;
    let copy = Copy {
        role: role.to_owned(),
        place: Place::Server(server.clone(), name.to_owned()),
        len,
        sha256,
        integrity: snapshot
            .unreadable(name)?
            .iter()
            .map(ToString::to_string)
            .collect(),
        server: Some(snapshot.version().to_owned()),
        identity: Some(snapshot.identity()?),
        kept: Kept::Dump(file),
    };
    Ok((copy, totals.notes))
}
