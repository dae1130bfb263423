//! Makes a valid installation of any size: the example's, with libraries added. Real ids, real
//! formats (objects of version 1, SQLite), nothing that a server would not read. It shares no code
//! with seawall.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use sha1::{Digest as _, Sha1};

/// When everything was made, in seconds since 1970.
const TIME: u64 = 1_795_383_251;
const OWNER: &str = "alice@example.com";
const ZEROS: &str = "0000000000000000000000000000000000000000";

/// What to add.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Libraries.
    pub libraries: usize,
    /// Files of one block in each: two objects a file.
    pub files: usize,
    /// Files in a folder.
    pub folder: usize,
    /// The mean length of a file in bytes; lengths are between a quarter and seven quarters of it.
    pub mean_len: usize,
    /// Blocks of one more file, each as long as a file; 0: no such file.
    pub blocks: usize,
    /// More commits, each with one file that is new.
    pub commits: usize,
}

/// Adds libraries to the installation at `top`, whose SQLite databases are there. Returns how many
/// objects were written. The same `seed` makes the same bytes.
pub fn grow(top: &Path, size: Size, seed: u64) -> u64 {
    let mut random = Random(seed | 1);
    let database = rusqlite::Connection::open(top.join("seafile-data/seafile.db")).unwrap();
    database.execute_batch("BEGIN").unwrap();
    let mut objects = 0;
    for number in 0..size.libraries {
        let id = random.uuid();
        let mut library = Library::new(top, &id);
        let head = library.fill(size, &mut random, &format!("Synthetic {number}"));
        objects += library.objects;
        let row = |statement: &str, values: &[&str]| {
            let values = rusqlite::params_from_iter(values.iter());
            database.execute(statement, values).unwrap();
        };
        row("INSERT INTO Repo VALUES (?)", &[&id]);
        row("INSERT INTO Branch VALUES ('master', ?, ?)", &[&id, &head]);
        row("INSERT INTO RepoHead VALUES (?, 'master')", &[&id]);
        row("INSERT INTO RepoOwner VALUES (?, ?)", &[&id, OWNER]);
        row(
            &format!("INSERT INTO RepoInfo VALUES (?, ?, {TIME}, 1, 0, ?, 0)"),
            &[&id, &format!("Synthetic {number}"), OWNER],
        );
    }
    database.execute_batch("COMMIT").unwrap();
    objects
}

/// Replaces one of so many files of each folder, in every library that [`grow`] added. Returns how many objects were
/// written. The same `seed` makes the same bytes.
pub fn change(top: &Path, one_of: usize, mean_len: usize, seed: u64) -> u64 {
    let mut random = Random(seed | 1);
    let database = rusqlite::Connection::open(top.join("seafile-data/seafile.db")).unwrap();
    let heads: Vec<(String, String)> = database
        .prepare("SELECT repo_id, commit_id FROM Branch JOIN RepoInfo USING (repo_id) WHERE RepoInfo.name LIKE 'Synthetic %' ORDER BY 1")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    database.execute_batch("BEGIN").unwrap();
    let mut objects = 0;
    for (id, head) in heads {
        let mut library = Library::new(top, &id);
        let new = library.replace(&head, one_of, mean_len, &mut random);
        let values = [new, id];
        let statement = "UPDATE Branch SET commit_id = ? WHERE repo_id = ?";
        database.execute(statement, rusqlite::params_from_iter(values)).unwrap();
        objects += library.objects;
    }
    database.execute_batch("COMMIT").unwrap();
    objects
}

/// Writes ordinary files of so many bytes in the mean, a hundred in a folder.
pub fn files(folder: &Path, count: usize, mean_len: usize) {
    let mut random = Random(count as u64 | 1);
    for number in 0..count {
        let folder = folder.join(format!("{:03}", number / 100));
        fs::create_dir_all(&folder).unwrap();
        let len = mean_len / 4 + random.below(mean_len * 3 / 2 + 1);
        fs::write(folder.join(format!("{number:05}.dat")), random.body(len)).unwrap();
    }
}

/// A library that is being written.
struct Library {
    storage: PathBuf,
    id: String,
    objects: u64,
}

impl Library {
    fn new(top: &Path, id: &str) -> Self {
        Self { storage: top.join("seafile-data/storage"), id: id.to_owned(), objects: 0 }
    }

    /// Writes files, folders and two commits; the head's id.
    fn fill(&mut self, size: Size, random: &mut Random, name: &str) -> String {
        let mut folders = Vec::new();
        let mut left = size.files;
        while left > 0 {
            let count = left.min(size.folder);
            left -= count;
            let files = (0..count)
                .map(|number| {
                    let len = size.mean_len / 4 + random.below(size.mean_len * 3 / 2 + 1);
                    let body = random.body(len);
                    let id = self.file(&body);
                    dirent(&id, 33188, &format!("file-{number:05}.dat"), Some(body.len()))
                })
                .collect::<Vec<_>>();
            let folder = self.folder(&files);
            let name = format!("folder-{:05}", folders.len());
            folders.push(dirent(&folder, 16384, &name, None));
        }
        if size.blocks > 0 {
            let (id, len) = self.large(size, random);
            folders.push(dirent(&id, 33188, "large.dat", Some(len)));
        }
        let root = self.folder(&folders);
        let first = self.commit(ZEROS, None, "Created library", name);
        let mut head = self.commit(&root, Some(&first), "Added files", name);
        let mut changing = folders.clone();
        for number in 0..size.commits {
            changing.truncate(folders.len());
            let body = random.body(size.mean_len);
            let id = self.file(&body);
            changing.push(dirent(&id, 33188, "newest.dat", Some(body.len())));
            let root = self.folder(&changing);
            head = self.commit(&root, Some(&head), &format!("Commit {number}"), name);
        }
        head
    }

    /// A file of many blocks; its id and length.
    fn large(&mut self, size: Size, random: &mut Random) -> (String, usize) {
        let mut len = 0;
        let blocks: Vec<String> = (0..size.blocks)
            .map(|_| {
                let body = random.body(size.mean_len);
                let id = hex(&Sha1::digest(&body));
                self.write("blocks", &id, &body);
                len += body.len();
                format!("\"{id}\"")
            })
            .collect();
        let blocks = blocks.join(", ");
        let id = self
            .fs(&format!(r#"{{"block_ids": [{blocks}], "size": {len}, "type": 1, "version": 1}}"#));
        (id, len)
    }

    /// A commit after `head`, with some files replaced; its id.
    fn replace(
        &mut self,
        head: &str,
        one_of: usize,
        mean_len: usize,
        random: &mut Random,
    ) -> String {
        let commit = String::from_utf8(fs::read(self.path("commits", head)).unwrap()).unwrap();
        let (_, rest) = commit.split_once("\"root_id\": \"").unwrap();
        let mut folders = self.dirents(&rest[..40]);
        for folder in folders.iter_mut().filter(|entry| entry.contains(r#""mode": 16384"#)) {
            let old = folder[r#"{"id": ""#.len()..][..40].to_owned();
            let mut files = self.dirents(&old);
            for number in (0..files.len()).step_by(one_of) {
                let at = number + random.below(one_of.min(files.len() - number));
                let len = mean_len / 4 + random.below(mean_len * 3 / 2 + 1);
                let body = random.body(len);
                let id = self.file(&body);
                let (_, name) = files[at].split_once("\"name\": \"").unwrap();
                let (name, _) = name.split_once('"').unwrap();
                files[at] = dirent(&id, 33188, name, Some(body.len()));
            }
            *folder = folder.replace(&old, &self.folder(&files));
        }
        let root = self.folder(&folders);
        let text = format!("Changed files {:016x}", random.next());
        self.commit(&root, Some(head), &text, "Synthetic")
    }

    /// The entries of a folder, as they stand there.
    fn dirents(&self, id: &str) -> Vec<String> {
        let bytes = fs::read(self.path("fs", id)).unwrap();
        let mut json = String::new();
        ZlibDecoder::new(&bytes[..]).read_to_string(&mut json).unwrap();
        let (_, list) = json.split_once('[').unwrap();
        let (list, _) = list.split_once(']').unwrap();
        let split = list.split_inclusive('}').map(|entry| entry.trim_start_matches(", "));
        split.map(ToOwned::to_owned).collect()
    }

    fn file(&mut self, body: &[u8]) -> String {
        let block = hex(&Sha1::digest(body));
        self.write("blocks", &block, body);
        let len = body.len();
        self.fs(&format!(r#"{{"block_ids": ["{block}"], "size": {len}, "type": 1, "version": 1}}"#))
    }

    fn folder(&mut self, dirents: &[String]) -> String {
        let dirents = dirents.join(", ");
        self.fs(&format!(r#"{{"dirents": [{dirents}], "type": 3, "version": 1}}"#))
    }

    fn fs(&mut self, json: &str) -> String {
        let id = hex(&Sha1::digest(json));
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(json.as_bytes()).unwrap();
        self.write("fs", &id, &encoder.finish().unwrap());
        id
    }

    fn commit(&mut self, root: &str, parent: Option<&str>, text: &str, name: &str) -> String {
        let mut hash = Sha1::new();
        for part in [root, ZEROS, OWNER, text] {
            hash.update(part);
            hash.update(b"\0");
        }
        hash.update(TIME.to_be_bytes());
        let id = hex(&hash.finalize());
        let parent = parent.map_or("null".to_owned(), |parent| format!("\"{parent}\""));
        let library = &self.id;
        let json = format!(
            r#"{{"commit_id": "{id}", "root_id": "{root}", "repo_id": "{library}", "creator_name": "{OWNER}", "creator": "{ZEROS}", "description": "{text}", "ctime": {TIME}, "parent_id": {parent}, "second_parent_id": null, "repo_name": "{name}", "repo_desc": "", "repo_category": null, "no_local_history": 1, "version": 1}}"#
        );
        self.write("commits", &id, json.as_bytes());
        id
    }

    fn path(&self, kind: &str, id: &str) -> PathBuf {
        let (first, rest) = id.split_at(2);
        let folder = self.storage.join(kind).join(&self.id);
        folder.join(first).join(rest)
    }

    fn write(&mut self, kind: &str, id: &str, bytes: &[u8]) {
        let path = self.path(kind, id);
        match fs::write(&path, bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let folder = path.parent().unwrap();
                DirBuilder::new().recursive(true).create(folder).unwrap();
                fs::write(&path, bytes).unwrap();
            }
            written => written.unwrap(),
        }
        self.objects += 1;
    }
}

/// Keys in the order of Seafile's own JSON.
fn dirent(id: &str, mode: u32, name: &str, len: Option<usize>) -> String {
    match len {
        Some(len) => format!(
            r#"{{"id": "{id}", "mode": {mode}, "modifier": "{OWNER}", "mtime": {TIME}, "name": "{name}", "size": {len}}}"#
        ),
        None => format!(r#"{{"id": "{id}", "mode": {mode}, "mtime": {TIME}, "name": "{name}"}}"#),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Marsaglia's xorshift: fast, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// Every other body does not compress, as photos do not; the others are words.
    fn body(&mut self, len: usize) -> Vec<u8> {
        let is_text = self.next().is_multiple_of(2);
        let mut body = Vec::with_capacity(len + 8);
        while body.len() < len {
            let word = self.next();
            if is_text {
                write!(body, "word{} ", word % 5000).unwrap();
            } else {
                body.extend(word.to_le_bytes());
            }
        }
        body.truncate(len);
        body
    }

    fn uuid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            b >> 48 & 0xfff,
            b & 0xffff_ffff_ffff
        )
    }
}
