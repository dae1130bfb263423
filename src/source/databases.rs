//! An installation's databases, in files or on servers: copies as of one moment, and the pointers
//! in Seafile's own database.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use sha2::Digest as _;

use super::pieces::Pieces;
use crate::database::mysql::{
    self, DumpError, MySqlAddress, MySqlConnection, MySqlErrorKind, MySqlServer, MySqlSnapshot,
    MySqlTls, UnreadableInDatabase,
};
use crate::database::{self, Pointers, SqliteCopy, SqliteSource};
use crate::object::Sha256;
use crate::seafile::discover::{
    DatabaseKind, Installation, MysqlDatabase, MysqlSettings, SqliteFile,
};

/// The role of Seafile's own database, which has the libraries.
pub const SEAFILE: &str = "seafile";
/// How often a snapshot is tried, because tables were altered meanwhile.
const ATTEMPTS: usize = 5;
/// The zstd level of dumps in the spool. It is low: they are read only once.
const LEVEL: i32 = 1;
/// The most pieces that wait on their way from the server to the spool.
const PIECES: usize = 8;
/// Where servers have their socket on Debian, Red Hat and other systems.
const SOCKETS: [&str; 4] = [
    "/run/mysqld/mysqld.sock",
    "/var/run/mysqld/mysqld.sock",
    "/var/lib/mysql/mysql.sock",
    "/tmp/mysql.sock",
];

/// A database that could not be reached, copied or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A database failed.
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

/// Where a database is.
#[derive(Debug, Clone)]
pub enum DatabasePlace {
    /// A file of the installation.
    File(SqliteFile),
    /// A database on a server, with its name there.
    Server(MySqlServer, String),
}

/// A copy in the spool, which is deleted when this is dropped.
pub struct Copy {
    /// `seafile`, `ccnet` …
    pub role: String,
    /// Where it comes from.
    pub place: DatabasePlace,
    /// Its length in bytes; of a dump, before compression.
    pub len: u64,
    /// The SHA-256 of these bytes.
    pub sha256: Sha256,
    /// What is wrong with the database in the source, one line each. Empty if it is sound.
    pub integrity: Vec<String>,
    /// The server's version; `None` for a file.
    pub server: Option<String>,
    /// What distinguishes the server from others; `None` for a file.
    pub identity: Option<String>,
    kept: KeptDump,
}

enum KeptDump {
    File(SqliteCopy),
    /// SQL text, compressed.
    Dump(tempfile::NamedTempFile),
}

/// Copies of all databases.
pub struct Copies {
    /// The copies: first the databases on servers, server by server, then the files.
    pub all: Vec<Copy>,
    /// The pointers in Seafile's own database, as of its copy.
    pub pointers: Pointers,
    /// The longest time that a lock on one of the files was held.
    pub locked_for: Duration,
    /// Facts for the administrator, one line each.
    pub notes: Vec<String>,
    /// Names of databases on the servers that the installation's configuration does not name.
    pub others: Vec<String>,
}

impl Copy {
    /// Writes its bytes, decompressed.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.kept {
            KeptDump::File(copy) => io::copy(&mut File::open(&copy.file)?, out)?,
            KeptDump::Dump(file) => {
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

/// The installation's databases on servers: (role, server, name).
pub fn on_servers(installation: &Installation) -> Vec<(String, MySqlServer, String)> {
    let DatabaseKind::Mysql(MysqlSettings { databases, .. }) = &installation.database else {
        return Vec::new();
    };
    let place = |database: &MysqlDatabase| {
        let name = database.name.value.clone();
        (database.role.to_string(), server_of(database), name)
    };
    databases.iter().map(place).collect()
}

/// How to reach a database on a server.
pub(super) fn server_of(database: &MysqlDatabase) -> MySqlServer {
    let text = |setting: &Option<crate::seafile::discover::Setting<String>>| {
        setting.as_ref().map(|setting| setting.value.clone())
    };
    let host = text(&database.host).unwrap_or_else(|| "localhost".to_owned());
    let port = database.port.value;
    let socket = text(&database.unix_socket).map(PathBuf::from);
    // MySQL and MariaDB clients use the socket for `localhost`, and accounts are made for that.
    let usual = || {
        let mut sockets = SOCKETS.iter().map(PathBuf::from);
        let is_default = host == "localhost" && port == 3306;
        sockets.find(|socket| is_default && socket.exists())
    };
    MySqlServer {
        address: match socket.or_else(usual) {
            Some(socket) => MySqlAddress::Socket(socket),
            None => MySqlAddress::Tcp { host, port },
        },
        user: text(&database.user).unwrap_or_else(|| "seafile".to_owned()),
        password: database.password.as_ref().map(|password| password.value.clone()),
        tls: if database.use_ssl {
            MySqlTls::Required {
                ca_file: text(&database.ca_path).map(PathBuf::from),
                skip_verify: database.skip_verify,
            }
        } else {
            MySqlTls::Off
        },
    }
}

/// Checks that the servers can be reached and read, before a run stores anything.
pub fn look(installation: &Installation) -> Result<(), Error> {
    for (_, server, name) in on_servers(installation) {
        begin(&server, &[&name])?;
    }
    Ok(())
}

/// Copies all databases: Seafile's own server first, other servers next, files last. Those on one
/// server are of one moment.
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
            place: DatabasePlace::File(file.clone()),
            len: copy.len,
            sha256: copy.sha256,
            integrity: copy.integrity.clone(),
            server: None,
            identity: None,
            kept: KeptDump::File(copy),
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

/// A server and account, and its databases as (role, name).
type ServerGroup<'a> = (&'a MySqlServer, Vec<(&'a str, &'a str)>);

/// Groups databases by server. Two spellings or accounts of one server form one group, if the first
/// account may read all its databases.
fn group(on_servers: &[(String, MySqlServer, String)]) -> Result<Vec<ServerGroup<'_>>, Error> {
    let mut groups: Vec<ServerGroup<'_>> = Vec::new();
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

/// Whether `other` is the same server as `server` and its account can read this database.
fn is_readable_by(other: &MySqlServer, server: &MySqlServer, name: &str) -> Result<bool, Error> {
    let identity = |server: &MySqlServer| MySqlConnection::open(server)?.identity();
    Ok(identity(other)? == identity(server)? && begin(other, &[name]).is_ok())
}

/// Seafile's own database, to read pointers again.
#[derive(Debug, Clone)]
pub enum SeafileDatabase {
    /// A file.
    File(SqliteSource),
    /// On a server, with its name there.
    Server(MySqlServer, String),
}

impl SeafileDatabase {
    /// Seafile's own database of an installation.
    pub fn of(installation: &Installation) -> Result<Self, Error> {
        let on_servers = on_servers(installation);
        if let Some((_, server, name)) = on_servers.into_iter().find(|(role, ..)| role == SEAFILE) {
            return Ok(Self::Server(server, name));
        }
        let sources = super::sqlite_sources(files(installation));
        let seafile = sources.into_iter().find(|source| source.role == SEAFILE);
        seafile.map(Self::File).ok_or(Error::NoSeafileDatabase)
    }

    /// Reads the pointers as they are now.
    pub fn pointers(&self, spool: &Path) -> Result<Pointers, database::Error> {
        match self {
            Self::File(source) => database::read_pointers_live(source, spool),
            Self::Server(server, name) => pointers_of(server, name),
        }
    }
}

/// Reads the pointers of a database on a server. Tables that cannot be read are left out as
/// unknown.
fn pointers_of(server: &MySqlServer, name: &str) -> Result<Pointers, database::Error> {
    let mut unreadable = Vec::new();
    loop {
        match begin_without(server, &[name], &unreadable)?.pointers(name) {
            Err(database::Error::Server(error)) => match error.kind() {
                MySqlErrorKind::Unreadable(table) => unreadable.push((**table).clone()),
                _ => return Err(error.into()),
            },
            result => return result,
        }
    }
}

/// Begins a snapshot; tries again if an ALTER TABLE came between.
fn begin(server: &MySqlServer, names: &[&str]) -> Result<MySqlSnapshot, mysql::Error> {
    begin_without(server, names, &[])
}

fn begin_without(
    server: &MySqlServer,
    names: &[&str],
    unreadable: &[UnreadableInDatabase],
) -> Result<MySqlSnapshot, mysql::Error> {
    let mut attempts = 1;
    loop {
        match MySqlSnapshot::begin_without(server, names, unreadable) {
            Err(error) if *error.kind() == MySqlErrorKind::Changed && attempts < ATTEMPTS => {
                attempts += 1;
            }
            result => return result,
        }
    }
}

/// Dumps databases of a server as of one moment into files `….sql.zst` of a folder.
///
/// `databases` has (name of the file, name of the database). Returns the paths and lengths in
/// bytes, in that order, once all files are synced.
pub fn keep_dumps(
    server: &MySqlServer,
    databases: &[(&str, &str)],
    folder: &Path,
) -> Result<Vec<(PathBuf, u64)>, database::Error> {
    let failed = |source: io::Error| database::Error::Spool { file: folder.to_owned(), source };
    let copies = dump_group(server, databases, folder)?.copies;
    // The caller replaces these databases afterwards, so every table must be in the dump.
    let lacking = copies.iter().find_map(|copy| copy.integrity.first());
    if let Some(lacking) = lacking {
        return Err(mysql::Error::incomplete(server, lacking).into());
    }
    let copies = copies.into_iter();
    let keep = |copy: Copy| {
        let path = folder.join(format!("{}.sql.zst", copy.role));
        let KeptDump::Dump(file) = copy.kept else {
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

/// Dumps of databases of one server, as of one moment.
struct Dumped {
    copies: Vec<Copy>,
    pointers: Option<Pointers>,
    notes: Vec<String>,
    others: Vec<String>,
}

fn dump_group(
    server: &MySqlServer,
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
            MySqlErrorKind::Changed if attempts < ATTEMPTS => attempts += 1,
            // Dump again without that table. Each attempt removes one table, so this ends.
            MySqlErrorKind::Unreadable(table) => unreadable.push((**table).clone()),
            _ => return Err(error.into()),
        }
    }
}

fn try_dump_group(
    server: &MySqlServer,
    databases: &[(&str, &str)],
    unreadable: &[UnreadableInDatabase],
    spool: &Path,
) -> Result<Dumped, database::Error> {
    let names: Vec<&str> = databases.iter().map(|(_, name)| *name).collect();
    let mut snapshot = MySqlSnapshot::begin_without(server, &names, unreadable)?;
    let mut dumped = Dumped {
        copies: Vec::new(),
        pointers: None,
        notes: Vec::new(),
        others: snapshot.others()?,
    };
    // The walk starts from the pointers, so they are read first. They are small and delay nobody.
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

/// Dumps one database into the spool. A second thread hashes, compresses and writes, so that the
/// server need not wait for the disk.
fn dump(
    snapshot: &MySqlSnapshot,
    server: &MySqlServer,
    role: &str,
    name: &str,
    spool: &Path,
) -> Result<(Copy, Vec<String>), database::Error> {
    let failed = |source: io::Error| database::Error::Spool { file: spool.to_owned(), source };
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
        let written =
            writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer of a dump stopped")));
        (totals, written)
    });
    // A failed write also makes sending fail, so its error is the cause.
    let (len, sha256) = written.map_err(failed)?;
    let totals = totals.map_err(|error| match error {
        DumpError::Server(error) => error.into(),
        DumpError::Write(error) => failed(error),
    })?;
    let copy = Copy {
        role: role.to_owned(),
        place: DatabasePlace::Server(server.clone(), name.to_owned()),
        len,
        sha256,
        integrity: snapshot.unreadable(name)?.iter().map(ToString::to_string).collect(),
        server: Some(snapshot.version().to_owned()),
        identity: Some(snapshot.identity()?),
        kept: KeptDump::Dump(file),
    };
    Ok((copy, totals.notes))
}
