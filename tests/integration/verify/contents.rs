//! What is in an installation's stores, for tests to find what to break; and new content for it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use seawall::object::{Kind, LibraryId, Object, ObjectId, Store};
use seawall::seafile::check::{ObjectContent, check};
use seawall::seafile::fs::FsObject;

use crate::support::Source;

/// A library of an installation.
pub struct Contents<'a> {
    source: &'a Source,
    commits: LibraryId,
    content: LibraryId,
}

/// A file or folder of a tree.
#[derive(Debug, Clone)]
pub struct Entry {
    pub path: String,
    pub object: Object,
    pub blocks: Vec<Object>,
}

impl Entry {
    pub fn is_folder(&self) -> bool {
        self.path.ends_with('/')
    }

    pub fn needs(&self, object: Object) -> bool {
        self.object == object || self.blocks.contains(&object)
    }
}

impl<'a> Contents<'a> {
    pub fn new(source: &'a Source, library: &str) -> Self {
        let of = format!("FROM VirtualRepo WHERE repo_id = '{library}'");
        let content = match source.query(&format!("SELECT count(*) || '' {of}")).as_str() {
            "0" => library.to_owned(),
            _ => source.query(&format!("SELECT origin_repo {of}")),
        };
        Self { source, commits: library.parse().unwrap(), content: content.parse().unwrap() }
    }

    pub fn head(&self) -> Object {
        let library = self.commits;
        let text = format!(
            "SELECT commit_id FROM Branch WHERE repo_id = '{library}'
             UNION SELECT head_id FROM RepoTrash WHERE repo_id = '{library}'"
        );
        self.commit(self.source.query(&text).parse().unwrap())
    }

    pub fn commit(&self, id: ObjectId) -> Object {
        Object::new(Store::Library(self.commits), Kind::Commit, id)
    }

    pub fn read(&self, object: Object) -> ObjectContent {
        check(&object, &fs::read(path(self.source, &object)).unwrap()).unwrap()
    }

    pub fn parent(&self, commit: Object) -> Option<Object> {
        let ObjectContent::Commit(content) = self.read(commit) else { panic!("{commit}") };
        content.parent.map(|id| self.commit(id))
    }

    /// All commits before the head, by both parents.
    pub fn history(&self) -> Vec<Object> {
        let mut found: Vec<Object> = vec![self.head()];
        let mut next = 0;
        while let Some(commit) = found.get(next).copied() {
            next += 1;
            let ObjectContent::Commit(content) = self.read(commit) else { panic!("{commit}") };
            for parent in content.parents().map(|id| self.commit(id)) {
                if !found.contains(&parent) {
                    found.push(parent);
                }
            }
        }
        found.split_off(1)
    }

    pub fn root(&self, commit: Object) -> Object {
        let ObjectContent::Commit(content) = self.read(commit) else { panic!("{commit}") };
        Object::new(Store::Library(self.content), Kind::Fs, content.root)
    }

    /// Everything in a commit's tree, sorted by path; the root folder is `/`.
    pub fn entries(&self, commit: Object) -> Vec<Entry> {
        let mut pending = vec![("/".to_owned(), self.root(commit))];
        let mut entries = Vec::new();
        while let Some((path, object)) = pending.pop() {
            let mut blocks = Vec::new();
            if !object.id.is_empty() {
                match self.read(object) {
                    ObjectContent::Fs(FsObject::Folder(folder)) => {
                        for entry in folder.entries {
                            let slash = if entry.is_folder() { "/" } else { "" };
                            pending.push((
                                format!("{path}{}{slash}", entry.name),
                                Object { id: entry.id, ..object },
                            ));
                        }
                    }
                    ObjectContent::Fs(FsObject::File(file)) => {
                        blocks = file
                            .blocks
                            .iter()
                            .map(|&id| Object { kind: Kind::Block, id, ..object })
                            .collect();
                    }
                    other => panic!("{object}: {other:?}"),
                }
            }
            entries.push(Entry { path, object, blocks });
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries
    }

    /// Every path of the newest state that needs an object.
    pub fn paths_of(&self, object: Object) -> Vec<String> {
        let entries = self.entries(self.head()).into_iter();
        let needing = entries.filter(|entry| entry.needs(object));
        needing.map(|entry| entry.path).collect()
    }

    pub fn some_file(&self) -> Entry {
        let mut entries = self.entries(self.head()).into_iter();
        entries.find(|entry| !entry.blocks.is_empty()).unwrap()
    }

    /// The folder whose path comes last; the root folder, if there is no other.
    pub fn last_folder(&self) -> Entry {
        let entries = self.entries(self.head());
        let is_one = |entry: &&Entry| entry.is_folder() && !entry.object.id.is_empty();
        entries.iter().rfind(is_one).unwrap().clone()
    }
}

pub fn path(source: &Source, object: &Object) -> PathBuf {
    source.path.join(object.path())
}

/// Changes a file of the installation.
pub fn alter(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap_or_default();
    change(&mut bytes);
    put(path, &bytes);
}

pub fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(path);
    fs::File::create_new(path).unwrap().write_all(bytes).unwrap();
}

/// Stores a fs object; returns its id.
pub fn put_fs(source: &Source, library: &str, value: &serde_json::Value) -> ObjectId {
    use sha1::Digest as _;
    let json = serde_json::to_vec(value).unwrap();
    let id = ObjectId::new(sha1::Sha1::digest(&json).into());
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&json).unwrap();
    let object = Object::new(Store::Library(library.parse().unwrap()), Kind::Fs, id);
    put(&path(source, &object), &encoder.finish().unwrap());
    id
}

/// Stores a commit of that root on top of another, and makes it the head.
pub fn put_head(source: &Source, library: &str, parent: Object, root: ObjectId) -> Object {
    use sha1::Digest as _;
    let mut commit: serde_json::Value =
        serde_json::from_slice(&fs::read(path(source, &parent)).unwrap()).unwrap();
    let (creator, ctime) = ("0".repeat(40), 1_795_400_000_i64);
    let mut hash = sha1::Sha1::new();
    for text in [root.to_string().as_str(), &creator, "test", "made by a test"] {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    hash.update(ctime.to_be_bytes());
    let id = ObjectId::new(hash.finalize().into());
    commit["commit_id"] = id.to_string().into();
    commit["root_id"] = root.to_string().into();
    commit["creator"] = creator.into();
    commit["creator_name"] = "test".into();
    commit["description"] = "made by a test".into();
    commit["ctime"] = ctime.into();
    commit["parent_id"] = parent.id.to_string().into();
    commit["second_parent_id"] = serde_json::Value::Null;
    let head = Object { id, ..parent };
    put(&path(source, &head), &serde_json::to_vec(&commit).unwrap());
    set_head(source, library, id);
    head
}

pub fn set_head(source: &Source, library: &str, id: ObjectId) {
    source.sql(&format!("UPDATE Branch SET commit_id = '{id}' WHERE repo_id = '{library}'"));
}
