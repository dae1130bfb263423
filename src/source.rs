//! Turns what discovery found into what readers of an installation need: where its objects, its
//! databases and its ordinary files are. Shared by backup and verify.

pub mod databases;
pub mod doubt;
mod pieces;
pub mod presence;
pub mod readings;

use std::path::PathBuf;

use crate::database::{Pointers, SqliteSource};
use crate::object::Kind;
use crate::seafile::discover::{Installation, SqliteFile};
use crate::seafile::files::ScanOptions;
use crate::seafile::folders::ObjectFolders;

/// Gives the files in the type that the database layer takes.
pub fn sqlite_sources(files: &[SqliteFile]) -> Vec<SqliteSource> {
    let source =
        |file: &SqliteFile| SqliteSource { role: file.role.to_string(), path: file.file.clone() };
    files.iter().map(source).collect()
}

/// Finds the folders of the installation's objects. Each library is in the storage class that the
/// database names. Also returns one message for each library whose class the configuration does not
/// define.
pub fn object_folders(
    installation: &Installation,
    pointers: &Pointers,
) -> (ObjectFolders, Vec<String>) {
    let storage = &installation.object_storage;
    let mut folders = ObjectFolders::new(&installation.data_dir);
    for kind in Kind::ALL {
        folders.set_folder(kind, storage.roots.folder(kind).to_owned());
        for class in &storage.classes {
            folders.add_class(&class.id, kind, class.roots.folder(kind).to_owned());
        }
    }
    let unknown = pointers
        .storage_classes
        .iter()
        .filter_map(|(library, class)| folders.assign(*library, class).err())
        .map(|error| error.to_string())
        .collect();
    (folders, unknown)
}

/// Whether block ids may be random, as Pro makes them with `skip_block_hash`. Then a block that
/// does not match its id is not proved bad.
pub fn has_random_block_ids(installation: &Installation) -> bool {
    installation.skip_block_hash
}

/// Chooses the installation's ordinary files: everything except objects and dumped databases.
pub fn scan_options(
    installation: &Installation,
    excludes: &[String],
    also: &[PathBuf],
) -> ScanOptions {
    let data = PathBuf::from("seafile-data");
    let mut skip_paths: Vec<PathBuf> =
        Kind::ALL.iter().map(|kind| data.join("storage").join(kind.folder())).collect();
    if installation.object_storage.shared_folders {
        skip_paths.extend(Kind::ALL.iter().map(|kind| data.join(kind.folder())));
    }
    for file in databases::files(installation) {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            let mut path = file.path.clone().into_os_string();
            path.push(suffix);
            skip_paths.push(path.into());
        }
    }
    let program = installation.program_folder.as_ref().and_then(|folder| folder.file_name());
    ScanOptions {
        top: installation.top.clone(),
        data_dir: installation.data_dir.clone(),
        skip_paths,
        program_folder: program.map(|name| name.to_string_lossy().into_owned()),
        conf_dir: (installation.conf_dir.clone())
            .filter(|_| !installation.top.join("conf").is_dir()),
        followed_links: installation.links.iter().map(|link| link.path.clone()).collect(),
        excludes: excludes.to_vec(),
        also: [also, &installation.outside].concat(),
    }
}
