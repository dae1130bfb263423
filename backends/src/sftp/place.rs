//! Where on the server a repository is, and the server's names for what is in it.

use crate::destination::{Remote, invalid};
use crate::{Key, Result};

/// A folder of the server: absolute, or relative to where a session begins, which is the home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SftpFolder {
    folder: String,
}

impl SftpFolder {
    /// The folder of a URL: `/x` is absolute, `/~/x` below the home, `/~` the home itself.
    ///
    /// Errors: `Invalid`.
    pub(super) fn of(remote: &Remote) -> Result<Self> {
        const NEXT: &str =
            "name a folder: sftp://host/path, or sftp://host/~/path below the home folder";
        let path = remote.path.as_str();
        let folder = match path.strip_prefix("/~") {
            Some("") => ".",
            Some(rest) => rest.strip_prefix('/').ok_or_else(|| {
                invalid("the home folder of another user cannot be named".to_owned())
                    .with_hint(NEXT)
            })?,
            None if path.is_empty() => {
                return Err(invalid("this sftp:// URL names no folder".to_owned()).with_hint(NEXT));
            }
            None => path,
        };
        let folder = match folder.trim_end_matches('/') {
            "" if path.starts_with("/~") => ".",
            "" => "/",
            trimmed if path.starts_with("/~") => trimmed.trim_start_matches('/'),
            trimmed => trimmed,
        };
        Ok(Self { folder: folder.to_owned() })
    }

    /// A folder as the server names it.
    #[cfg(test)]
    pub(super) fn of_folder(folder: &str) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder itself.
    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// What is at a path of the repository (a key, or folders of one; empty for the folder itself).
    pub(super) fn at(&self, path: &str) -> String {
        match (self.folder.as_str(), path) {
            (folder, "") => folder.to_owned(),
            ("/", path) => format!("/{path}"),
            (folder, path) => format!("{folder}/{path}"),
        }
    }

    /// A key's path.
    pub(super) fn of_key(&self, key: &Key) -> String {
        self.at(key.as_str())
    }

    /// The folder and those above it, from the top: `/a`, `/a/b`. The root, and where a session
    /// begins, are there already.
    pub(super) fn ancestors(&self) -> Vec<&str> {
        let ends = self.folder.match_indices('/').map(|(at, _)| at);
        ends.chain([self.folder.len()])
            .map(|end| &self.folder[..end])
            .filter(|folder| !matches!(*folder, "" | "." | "/"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, ParsedUrl};

    fn remote(url: &str) -> Remote {
        match ParsedUrl::parse(url).unwrap() {
            ParsedUrl::Remote(remote) => remote,
            ParsedUrl::Folder(_) => panic!("{url} is no folder"),
        }
    }

    #[test]
    fn paths_are_absolute_or_below_the_home() {
        for (url, folder, key) in [
            ("sftp://h/a", "/a", "/a/k/x"),
            ("sftp://h/a/b/", "/a/b", "/a/b/k/x"),
            ("sftp://h/", "/", "/k/x"),
            ("sftp://h/~", ".", "./k/x"),
            ("sftp://h/~/", ".", "./k/x"),
            ("sftp://h/~/a/b", "a/b", "a/b/k/x"),
            ("sftp://h/~//a", "a", "a/k/x"),
            ("sftp://h/a%20b/~c", "/a b/~c", "/a b/~c/k/x"),
        ] {
            let place = SftpFolder::of(&remote(url)).unwrap();
            assert_eq!(place.folder(), folder, "{url}");
            assert_eq!(place.of_key(&Key::parse("k/x").unwrap()), key, "{url}");
            assert_eq!(place.at(""), folder, "{url}");
        }
    }

    #[test]
    fn other_homes_and_no_folder_are_refused() {
        for url in ["sftp://h/~user", "sftp://h/~user/x", "sftp://h"] {
            let error = SftpFolder::of(&remote(url)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
            assert!(error.hint().unwrap().contains("sftp://host/~/path"));
        }
    }

    #[test]
    fn ancestors_begin_at_the_top() {
        let ancestors = |url: &str| {
            let place = SftpFolder::of(&remote(url)).unwrap();
            place.ancestors().join(" ")
        };
        assert_eq!(ancestors("sftp://h/a/b/c"), "/a /a/b /a/b/c");
        assert_eq!(ancestors("sftp://h/~/a/b"), "a a/b");
        assert_eq!(ancestors("sftp://h/~"), "");
        assert_eq!(ancestors("sftp://h/"), "");
    }
}
