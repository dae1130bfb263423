//! Fake installations of each generation, and the example that comes with seawall.
#![expect(clippy::disallowed_methods, reason = "tests need no durable files")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::object::Kind;

mod cases;
mod layouts;
mod mysql;
mod storage;

/// A fake installation in a temporary folder.
pub(super) struct Fake {
    folder: TempDir,
}

impl Fake {
    /// An empty top folder.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("haiwen")).unwrap();
        Self { folder }
    }

    /// An installation with a program folder, which tells version and edition, with objects, and
    /// with configuration in `conf`.
    pub(super) fn with_program(program: &str, seafile_conf: &str) -> Self {
        Self::new()
            .folder(program)
            .link("seafile-server-latest", program)
            .folder("seafile-data/storage/commits")
            .file("conf/seafile.conf", seafile_conf)
    }

    fn top(&self) -> PathBuf {
        fs::canonicalize(self.folder.path()).unwrap().join("haiwen")
    }

    fn folder(self, path: &str) -> Self {
        fs::create_dir_all(self.top().join(path)).unwrap();
        self
    }

    pub(super) fn file(self, path: &str, text: &str) -> Self {
        let path = self.top().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// `{top}` in a text stands for the top folder.
    fn file_with_top(self, path: &str, text: &str) -> Self {
        let text = text.replace("{top}", self.top().to_str().unwrap());
        self.file(path, &text)
    }

    fn link(self, path: &str, target: &str) -> Self {
        symlink(target, self.top().join(path)).unwrap();
        self
    }

    /// A `SQLite` file with some libraries.
    fn sqlite(self, path: &str, libraries: usize) -> Self {
        let path = self.top().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let connection = Connection::open(path).unwrap();
        connection.execute("CREATE TABLE Repo (repo_id)", []).unwrap();
        for _ in 0..libraries {
            connection.execute("INSERT INTO Repo VALUES (1)", []).unwrap();
        }
        self
    }

    pub(super) fn discover(&self) -> Result<Installation, DiscoverError> {
        self.discover_with(&[])
    }

    fn discover_with(&self, variables: &[(&str, &str)]) -> Result<Installation, DiscoverError> {
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        discover(&self.top(), &Environment::new(variables))
    }
}

/// Roles and paths of `SQLite` files.
fn sqlite_files(installation: &Installation) -> Vec<(DatabaseRole, &str)> {
    let DatabaseKind::Sqlite(files) = &installation.database else {
        panic!("not SQLite: {:?}", installation.database);
    };
    files.iter().map(|file| (file.role.clone(), file.path.to_str().unwrap())).collect()
}

fn mysql_settings(installation: &Installation) -> &MysqlSettings {
    match &installation.database {
        DatabaseKind::Mysql(settings) => settings,
        other @ DatabaseKind::Sqlite(_) => panic!("not MySQL: {other:?}"),
    }
}

/// The findings as lines, as `--dry-run` shows them.
fn lines(installation: &Installation) -> Vec<String> {
    installation
        .findings
        .iter()
        .map(|finding| format!("{} = {} ({})", finding.what, finding.value, finding.from))
        .collect()
}

/// An error with its hint, in one line.
fn complaint(result: Result<Installation, DiscoverError>) -> String {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    format!("{text} | {}", error.hint().unwrap_or_default())
}
