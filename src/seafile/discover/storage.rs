//! Finds out where the objects lie: below the data folder, or in folders that the Professional
//! edition's storage back ends name. Storage that is no folder (S3, Ceph, Swift …) is refused by
//! name.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::DiscoveredParts;
use super::configuration::SeafileConfiguration;
use super::error::DiscoverError;
use super::folders;
use super::origin::{Setting, SettingOrigin};
use super::places::{self, is_folder};
use super::program::SeafileEdition;
use super::warning::DiscoverWarning;
use crate::object::Kind;
use crate::seafile::config;

/// A folder for each kind of object. Each holds one folder for each library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRoots {
    /// The folder of commits.
    pub commits: PathBuf,
    /// The folder of fs objects.
    pub fs: PathBuf,
    /// The folder of blocks.
    pub blocks: PathBuf,
}

impl ObjectRoots {
    /// Gives each kind the folder `storage/<kind>` below its own folder.
    fn below(folder: impl Fn(Kind) -> PathBuf) -> Self {
        let root = |kind: Kind| folder(kind).join("storage").join(kind.folder());
        Self { commits: root(Kind::Commit), fs: root(Kind::Fs), blocks: root(Kind::Block) }
    }

    /// The folder of one kind.
    pub fn folder(&self, kind: Kind) -> &Path {
        match kind {
            Kind::Commit => &self.commits,
            Kind::Fs => &self.fs,
            Kind::Block => &self.blocks,
        }
    }
}

/// A storage class of the Professional edition. The table `RepoStorageId` says which libraries are
/// in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageClass {
    /// Its id, as in the database.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Whether libraries without a row in the table belong to it.
    pub is_default: bool,
    /// Its folders.
    pub roots: ObjectRoots,
}

/// Where objects lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectStorage {
    /// The folders of libraries without a known class.
    pub roots: ObjectRoots,
    /// The storage classes; none on most servers.
    pub classes: Vec<StorageClass>,
    /// Whether the data folder itself has `commits`, `fs` or `blocks` of Seafile 1 and 2.
    pub shared_folders: bool,
    /// The setting that says where objects lie.
    pub from: SettingOrigin,
}

impl ObjectStorage {
    /// The folders of a storage class.
    pub fn class(&self, id: &str) -> Option<&StorageClass> {
        self.classes.iter().find(|class| class.id == id)
    }
}

/// The Professional edition's section for each kind of object.
const SECTIONS: [(Kind, &str); 3] = [
    (Kind::Commit, "commit_object_backend"),
    (Kind::Fs, "fs_object_backend"),
    (Kind::Block, "block_backend"),
];

/// The settings that say where objects lie.
enum StorageChoice {
    Folders,
    Sections,
    Classes(SettingOrigin),
}

/// Reads the settings and checks that the folders exist.
pub(super) fn object_storage(
    seen: &DiscoveredParts,
    warnings: &mut Vec<DiscoverWarning>,
) -> Result<ObjectStorage, DiscoverError> {
    let ignored = why_ignored(seen)?;
    if ignored.is_none() {
        refuse_encryption(seen)?;
    }
    let mut shared_folders = false;
    for kind in Kind::ALL {
        shared_folders |= is_folder(&seen.data_dir.join(kind.folder()))?;
    }
    let usual = ObjectRoots::below(|_| seen.data_dir.to_owned());
    let chosen = match ignored {
        Some(why) => {
            warnings.extend(dead_settings(seen, &why));
            StorageChoice::Folders
        }
        None => storage(seen)?,
    };
    let (roots, classes, from) = match chosen {
        StorageChoice::Folders => (usual, Vec::new(), SettingOrigin::Default),
        StorageChoice::Sections => {
            let (roots, from) = section_roots(seen)?;
            (roots, Vec::new(), from)
        }
        StorageChoice::Classes(from) => {
            let classes = classes(seen)?;
            let default = classes.iter().find(|class| class.is_default);
            let roots = default.map_or(usual, |class| class.roots.clone());
            (roots, classes, from)
        }
    };
    if classes.is_empty() && !shared_folders {
        expect_storage(seen, &roots)?;
    }
    Ok(ObjectStorage { roots, classes, shared_folders, from })
}

/// Requires the folder `storage`, which a server makes when it starts. If it is missing, a disk is
/// not mounted.
fn expect_storage(seen: &DiscoveredParts, roots: &ObjectRoots) -> Result<(), DiscoverError> {
    let storage = seen.data_dir.join("storage");
    let is_used = Kind::ALL.into_iter().any(|kind| roots.folder(kind).starts_with(&storage));
    if is_used && !is_folder(&storage)? {
        let what = "the folder of objects";
        return Err(places::missing_folder(what, &storage, SettingOrigin::Default));
    }
    Ok(())
}

/// `None` if the program reads the settings of object storage; else the reason why it does not. The
/// community edition opens the folders in its data folder without reading the settings
/// (`common/block-mgr.c`, `obj-store.c`). If the edition is not known, the administrator decides.
fn why_ignored(seen: &DiscoveredParts) -> Result<Option<String>, DiscoverError> {
    let is_on_disk = seen.configuration.environment.options().objects_on_disk;
    match seen.edition() {
        Some(SeafileEdition::Community) => {
            let from = seen.program.edition.as_ref().map(|edition| &edition.from);
            let from = from.map(|from| format!(" ({from})")).unwrap_or_default();
            Ok(Some(format!("the community edition{from} does not read it")))
        }
        None if is_on_disk => Ok(Some("--objects-on-disk was given".to_owned())),
        None => {
            let settings = settings_of_other_storage(seen);
            match settings.into_iter().next() {
                Some(setting) if holds_objects(seen) => Err(unclear(seen, &setting)),
                _ => Ok(None),
            }
        }
        Some(SeafileEdition::Professional) => Ok(None),
    }
}

fn unclear(seen: &DiscoveredParts, setting: &Setting<String>) -> DiscoverError {
    DiscoverError::Unclear {
        what: format!(
            "{} says that objects are not in folders ({}), but {} holds blocks, and which edition of \
             Seafile runs is not known",
            setting.from,
            setting.value,
            seen.data_dir.join("storage/blocks").display()
        ),
        advice:
            "the community edition does not read that setting: if it is the one that runs, add \
                 --objects-on-disk; the Professional's object storage cannot be backed up yet"
                .to_owned(),
    }
}

fn holds_objects(seen: &DiscoveredParts) -> bool {
    let blocks = seen.data_dir.join("storage").join(Kind::Block.folder());
    folders::entries(&blocks).iter().any(|path| path.is_dir())
}

/// The settings that put objects elsewhere than in the data folder.
fn settings_of_other_storage(seen: &DiscoveredParts) -> Vec<Setting<String>> {
    let SeafileConfiguration { seafile, environment, .. } = seen.configuration;
    let is_13 = seen.program.is_at_least(13, 0) != Some(false);
    let variable = environment.get("SEAF_SERVER_STORAGE_TYPE");
    let variable = variable.filter(|variable| is_13 && variable.value != "disk");
    let describe = |what: String, setting: &Setting<String>| {
        let text = format!("{what} = {}", setting.value);
        Setting::new(text, setting.from.clone())
    };
    let mut found: Vec<Setting<String>> = variable
        .map(|setting| describe("SEAF_SERVER_STORAGE_TYPE".to_owned(), setting))
        .into_iter()
        .collect();
    let classes = seafile.get("storage", "enable_storage_classes");
    let is_on = seafile.is_true("storage", "enable_storage_classes");
    if let (Some(classes), true) = (classes, is_on.is_some_and(|on| on.value)) {
        found.push(describe("enable_storage_classes".to_owned(), &classes));
    }
    for (_, section) in SECTIONS {
        let name = seafile.get(section, "name").filter(|name| name.value != "fs");
        if let Some(setting) = name.or_else(|| seafile.get(section, "dir")) {
            found.push(describe(format!("[{section}]"), &setting));
        }
    }
    if let Some(key) = seafile.get("store_crypt", "key_path") {
        found.push(describe("[store_crypt]".to_owned(), &key));
    }
    found
}

fn dead_settings(seen: &DiscoveredParts, why: &str) -> Vec<DiscoverWarning> {
    let settings = settings_of_other_storage(seen).into_iter();
    let warning = |setting: Setting<String>| DiscoverWarning::DeadStorage {
        at: setting.from,
        what: setting.value,
        why: why.to_owned(),
    };
    settings.map(warning).collect()
}

/// Refuses objects that Seafile encrypts itself. They do not match their ids, so seawall could not
/// verify them.
fn refuse_encryption(seen: &DiscoveredParts) -> Result<(), DiscoverError> {
    match seen.configuration.seafile.get("store_crypt", "key_path") {
        Some(setting) => Err(DiscoverError::Unsupported {
            what: "storage that Seafile encrypts ([store_crypt])".to_owned(),
            value: setting.value,
            from: setting.from,
            advice: "objects cannot be verified against their ids; back up the storage with \
                     another tool, together with the key"
                .to_owned(),
        }),
        None => Ok(()),
    }
}

fn storage(seen: &DiscoveredParts) -> Result<StorageChoice, DiscoverError> {
    // The variable exists since 13 and wins.
    if seen.program.is_at_least(13, 0) != Some(false)
        && let Some(named) = seen.configuration.environment.get("SEAF_SERVER_STORAGE_TYPE")
    {
        return match named.value.as_str() {
            "disk" => Ok(StorageChoice::Folders),
            "multiple" => Ok(StorageChoice::Classes(named.from.clone())),
            _ => Err(refused("objects (SEAF_SERVER_STORAGE_TYPE)", named)),
        };
    }
    let enabled = seen.configuration.seafile.is_true("storage", "enable_storage_classes");
    Ok(match enabled {
        Some(enabled) if enabled.value => StorageChoice::Classes(enabled.from),
        _ => StorageChoice::Sections,
    })
}

fn refused(what: &str, named: &Setting<String>) -> DiscoverError {
    DiscoverError::Unsupported {
        what: what.to_owned(),
        value: named.value.clone(),
        from: named.from.clone(),
        advice: "seawall reads objects from folders only: copy them with the object storage's own \
                 tools, or move the libraries to a storage class on disk first"
            .to_owned(),
    }
}

/// Reads `[commit_object_backend]` and so on: `name = fs` and `dir`.
fn section_roots(seen: &DiscoveredParts) -> Result<(ObjectRoots, SettingOrigin), DiscoverError> {
    let file = &seen.configuration.seafile;
    let mut from = SettingOrigin::Default;
    let mut folders = Vec::new();
    for (kind, section) in SECTIONS {
        if let Some(name) = file.get(section, "name")
            && name.value != "fs"
        {
            let what = format!("{} in [{section}]", plural(kind));
            return Err(refused(&what, &name));
        }
        let folder = match file.get(section, "dir") {
            Some(dir) => {
                let what = format!("the folder of {}", plural(kind));
                from = dir.from.clone();
                existing_folder(seen, &what, &dir)?
            }
            None => seen.data_dir.to_owned(),
        };
        folders.push((kind, folder));
    }
    let roots = ObjectRoots::below(|kind| {
        let folder = folders.iter().find(|(of, _)| *of == kind);
        folder.map_or_else(|| seen.data_dir.to_owned(), |(_, folder)| folder.clone())
    });
    Ok((roots, from))
}

/// The plural word for objects of a kind.
pub(super) const fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Commit => "commits",
        Kind::Fs => "fs objects",
        Kind::Block => "blocks",
    }
}

fn existing_folder(
    seen: &DiscoveredParts,
    what: &str,
    named: &Setting<String>,
) -> Result<PathBuf, DiscoverError> {
    let folder = seen.on_this_machine(Path::new(&named.value));
    if folder.is_absolute() && is_folder(&folder)? {
        Ok(folder)
    } else {
        let from = named.from.clone();
        Err(places::missing_folder(what, &folder, from))
    }
}

#[derive(Deserialize)]
struct ClassEntry {
    storage_id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    is_default: bool,
    commits: BackendEntry,
    fs: BackendEntry,
    blocks: BackendEntry,
}

#[derive(Deserialize)]
struct BackendEntry {
    backend: String,
    dir: Option<String>,
}

/// Reads the JSON file that `storage_classes_file` names. A relative path begins at `conf/`.
fn classes(seen: &DiscoveredParts) -> Result<Vec<StorageClass>, DiscoverError> {
    let file = &seen.configuration.seafile;
    let Some(named) = file.get("storage", "storage_classes_file") else {
        let path = seen.folders.inside("conf/seafile.conf");
        let why = "storage classes are enabled, but [storage] has no storage_classes_file";
        return Err(DiscoverError::invalid(&path, why));
    };
    let path = seen.folders.conf_dir.join(&named.value);
    let path = seen.on_this_machine(&path);
    let text = config::read_text(&path).map_err(|error| DiscoverError::config(&path, error))?;
    let Some(text) = text else {
        return Err(DiscoverError::Missing {
            what: "the file of storage classes".to_owned(),
            path,
            from: named.from,
            advice: "with docker, it must lie in the volume to be found".to_owned(),
        });
    };
    // The error's own text is not used: it may quote the file, which holds keys of object storage.
    let entries: Vec<ClassEntry> = serde_json::from_str(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let why = format!("no list of storage classes in JSON: line {line}, column {column}");
        DiscoverError::invalid(&path, why)
    })?;
    entries.iter().map(|entry| class(seen, &path, entry)).collect()
}

fn class(
    seen: &DiscoveredParts,
    path: &Path,
    entry: &ClassEntry,
) -> Result<StorageClass, DiscoverError> {
    let id = &entry.storage_id;
    let folder = |kind: Kind, backend: &BackendEntry| {
        let from = SettingOrigin::Path(path.to_owned());
        let what = format!("{} of storage class {id}", plural(kind));
        if backend.backend != "fs" {
            let named = Setting::new(backend.backend.clone(), from);
            return Err(refused(&what, &named));
        }
        let Some(dir) = &backend.dir else {
            let why = format!("{what} have no dir");
            return Err(DiscoverError::invalid(path, why));
        };
        existing_folder(seen, &what, &Setting::new(dir.clone(), from))
    };
    let commits = folder(Kind::Commit, &entry.commits)?;
    let fs = folder(Kind::Fs, &entry.fs)?;
    let blocks = folder(Kind::Block, &entry.blocks)?;
    Ok(StorageClass {
        id: id.clone(),
        name: entry.name.clone(),
        is_default: entry.is_default,
        roots: ObjectRoots::below(|kind| match kind {
            Kind::Commit => commits.clone(),
            Kind::Fs => fs.clone(),
            Kind::Block => blocks.clone(),
        }),
    })
}
