//! What an installation holds: users of Seafile write some of it, and its server the rest.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use seawall::database::mysql::{DumpText, Statements, is_complete};
use seawall::database::pointers::read_pointers;
use seawall::database::sqlite::{SqliteSource, copy_all};
use seawall::object::{Kind, Object};
use seawall::seafile::commit::{Commit, MAX_COMMIT_BYTES};
use seawall::seafile::config::compose::services;
use seawall::seafile::config::dotenv::{self, Dotenv};
use seawall::seafile::config::ini::{self, Ini};
use seawall::seafile::config::python::PythonSettings;
use seawall::seafile::config::template::expand;
use seawall::seafile::discover::{Environment, discover, link_text};
use seawall::seafile::folders::{ObjectEntry, ObjectFolders, StoreEntry};
use seawall::seafile::fs::{self as format, FsObject};

use crate::{folder, pieces, put, text};

/// The JSON of a commit.
pub fn commit(data: &[u8]) {
    if let Ok(commit) = Commit::parse(data) {
        assert!(data.len() <= MAX_COMMIT_BYTES);
        let _ = commit.id_check();
        assert!(commit.parents().count() <= 2);
    }
}

/// An fs object as it lies on disk, of either form.
pub fn fs(data: &[u8]) {
    if let Ok((object, _)) = format::parse(data) {
        bounded(&object, data.len().saturating_mul(1100));
    }
}

/// An fs object of version 0: binary.
pub fn binary_fs(data: &[u8]) {
    let mut bytes = vec![0, 0, 0];
    bytes.extend_from_slice(data);
    if let Ok((object, _)) = format::parse(&bytes) {
        bounded(&object, bytes.len());
    }
}

/// An fs object of version 1: the JSON, before it is compressed.
pub fn json_fs(data: &[u8]) {
    if let Ok((object, _)) = format::parse(&stored_zlib(data)) {
        bounded(&object, data.len());
    }
}

/// A zlib stream's inside, behind a right header: deflate blocks of any sort.
pub fn inflated(data: &[u8]) {
    let mut bytes = vec![0x78, 0x9c];
    bytes.extend_from_slice(data);
    let _ = format::parse(&bytes);
}

/// No more entries than bytes stand for them.
fn bounded(object: &FsObject, bytes: usize) {
    match object {
        FsObject::File(file) => assert!(file.blocks.len() <= bytes / 20),
        FsObject::Folder(folder) => assert!(folder.entries.len() <= bytes / 40),
    }
}

/// A zlib stream of stored blocks: nothing is compressed, and no checksum is in the way.
fn stored_zlib(data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x78, 0x01];
    let mut chunks = data.chunks(0xffff).peekable();
    if chunks.peek().is_none() {
        bytes.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(chunk) = chunks.next() {
        bytes.push(u8::from(chunks.peek().is_none()));
        let len = u16::try_from(chunk.len()).expect("chunks fit");
        bytes.extend(len.to_le_bytes());
        bytes.extend((!len).to_le_bytes());
        bytes.extend_from_slice(chunk);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for &byte in data {
        a = (a + u32::from(byte)) % 65521;
        b = (b + a) % 65521;
    }
    bytes.extend((b << 16 | a).to_be_bytes());
    bytes
}

/// Paths of objects.
pub fn object_path(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Some(object) = Object::from_path(text) {
        assert_eq!(object.path(), text);
    }
}

/// Names in the folders of objects: store, 0xff, folder, 0xff, file.
pub fn folder_names(data: &[u8]) {
    let folder = folder();
    let mut path = folder.path().join("storage/blocks");
    for name in pieces::<3>(data) {
        let plain = !name.is_empty() && name.len() < 200 && !name.contains(&0);
        if !plain || name.contains(&b'/') || name == b"." || name == b".." {
            return;
        }
        path.push(OsStr::from_bytes(name));
    }
    put(&path, b"x");
    let folders = ObjectFolders::new(folder.path());
    for store in folders.stores(Kind::Block).expect("a folder") {
        let StoreEntry::Store(store) = store else {
            continue;
        };
        for found in folders.objects(Kind::Block, store) {
            if let ObjectEntry::Object(id) = found.expect("a folder") {
                let object = Object::new(store, Kind::Block, id);
                assert_eq!(folders.path(&object), path);
            }
        }
    }
}

/// A dump of a database, read in pieces whose length the first byte says.
pub fn statements(data: &[u8]) {
    let [step, dump @ ..] = data else { return };
    let all = |input: &mut dyn std::io::Read| {
        let mut statements = Statements::new(input);
        let mut all = Vec::new();
        loop {
            match statements.next() {
                Ok(Some(statement)) => all.push((statement.text.to_vec(), statement.line)),
                Ok(None) => return (all, String::new()),
                Err(error) => return (all, error.to_string()),
            }
        }
    };
    let mut slow = Slow(dump, usize::from(*step).max(1));
    let (found, error) = all(&mut &*dump);
    assert_eq!(all(&mut slow), (found.clone(), error));
    let bytes: usize = found.iter().map(|(text, _)| text.len()).sum();
    let lines = dump.split(|&byte| byte == b'\n').count() as u64;
    assert!(bytes <= dump.len());
    assert!(found.iter().all(|(text, line)| !text.is_empty() && (1..=lines).contains(line)));
}

struct Slow<'a>(&'a [u8], usize);

impl std::io::Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let most = into.len().min(self.1);
        std::io::Read::read(&mut self.0, &mut into[..most])
    }
}

/// seafile.conf, ccnet.conf and seafevents.conf.
pub fn ini(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = text.lines().count();
    for reader in [ini::IniReader::Glib, ini::IniReader::ConfigParser] {
        let ini = Ini::parse(&text, reader);
        assert!(ini.ignored_lines().iter().all(|&line| line <= lines));
        for section in ["database", "fileserver", "storage", "Database", "DATABASE"] {
            for key in ["type", "host", "port", "dir", "password"] {
                if let Some(value) = ini.get(section, key) {
                    assert!(ini.has_section(section) && value.line <= lines);
                    let _ = (value.unescaped(), value.as_go_reads(), value.is_true());
                    assert!(ini.interpolated(section, key).is_some());
                }
            }
            let misspelled = ini.misspelled(section, &["host"]);
            assert!(misspelled.iter().all(|&line| line <= lines));
        }
    }
}

/// `.env`.
pub fn dotenv(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for reader in dotenv::DotenvReader::ALL {
        let outside = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        let dotenv = Dotenv::parse(&text, reader, &outside);
        for (name, _) in dotenv.iter() {
            assert!(!name.is_empty());
            assert!(dotenv.get(name).is_some());
        }
    }
}

/// Compose files.
pub fn compose(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = text.split('\n').count() + text.matches('\r').count();
    let Ok(services) = services(&text) else {
        return;
    };
    for service in services {
        for (name, value) in &service.environment {
            let Some(value) = value else { continue };
            assert!(value.line <= lines, "{name}");
            let _ = expand(&value.text, &|name| (name == "HOME").then(|| "/root".into()));
        }
    }
}

/// A file in the place of a link.
pub fn link(data: &[u8]) {
    if let Some(target) = link_text(data) {
        assert!(!target.as_os_str().is_empty());
    }
}

/// A dump of a database that was on a server, as a check reads it.
pub fn dump_text(data: &[u8]) {
    if let Ok(text) = DumpText::read(&mut &*data) {
        assert_eq!(text.is_complete(), is_complete(data));
        if let Ok(pointers) = text.pointers() {
            assert!(pointers.libraries.is_sorted_by_key(|library| library.id));
        }
    }
}

/// `seahub_settings.py`.
pub fn python(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let settings = PythonSettings::parse(&text, &|name| (name == "HOME").then(|| "/root".into()));
    let lines = text.split('\n').count() + text.matches('\r').count();
    if let Some(found) = settings.get_in("DATABASES", &["default", "ENGINE"]) {
        assert!(found.line <= lines);
        let _ = found.text();
    }
    // Values may be passwords.
    let _ = format!("{settings:?}");
}

/// The configuration of an installation: seafile.conf, ccnet.conf, settings, `.env`, between 0xff.
pub fn settings(data: &[u8]) {
    let [seafile, ccnet, seahub, env] = pieces(data);
    let folder = installation(seafile);
    put(&folder.path().join("conf/ccnet.conf"), ccnet);
    put(&folder.path().join("conf/seahub_settings.py"), seahub);
    put(&folder.path().join(".env"), env);
    look(folder.path());
}

/// The JSON file of storage classes.
pub fn storage_classes(data: &[u8]) {
    let conf = b"[storage]\nenable_storage_classes = true\nstorage_classes_file = classes.json\n";
    let folder = installation(conf);
    put(&folder.path().join("conf/classes.json"), data);
    look(folder.path());
}

fn installation(seafile_conf: &[u8]) -> tempfile::TempDir {
    let folder = folder();
    for path in ["seafile-server-11.0.13", "seafile-data/storage/commits"] {
        std::fs::create_dir_all(folder.path().join(path)).expect("a folder can be made");
    }
    put(&folder.path().join("conf/seafile.conf"), seafile_conf);
    folder
}

fn look(top: &std::path::Path) {
    if let Err(error) = discover(top, &Environment::default()) {
        let _ = (error.to_string(), error.hint());
    }
}

/// A database file as it was dumped: its pointers.
pub fn database(data: &[u8]) {
    let folder = folder();
    let path = folder.path().join("seafile.db");
    put(&path, data);
    let _ = read_pointers(&path);
}

/// A live database with a write-ahead log or a journal: the database, `\xff\xfflog\xff\xff`, the
/// log; the last byte says which of the two it is.
pub fn database_log(data: &[u8]) {
    const CUT: &[u8] = b"\xff\xfflog\xff\xff";
    let at = data.windows(CUT.len()).position(|window| window == CUT);
    let (database, log) = at.map_or((data, &[][..]), |at| (&data[..at], &data[at + CUT.len()..]));
    let folder = folder();
    let path = folder.path().join("source/seafile.db");
    put(&path, database);
    let suffix = if data.last().is_some_and(|byte| byte % 2 == 0) { "-wal" } else { "-journal" };
    put(&folder.path().join(format!("source/seafile.db{suffix}")), log);
    let spool = folder.path().join("spool");
    std::fs::create_dir(&spool).expect("a folder can be made");
    let source = SqliteSource { role: "seafile".into(), path: path.clone() };
    if let Ok(copies) = copy_all(&[source], &spool) {
        let _ = read_pointers(&copies[0].file);
    }
    assert_eq!(std::fs::read(&path).expect("the source"), database);
}
