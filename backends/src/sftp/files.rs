//! Files of the user's SSH settings, read with bounds.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pattern;
use crate::destination::invalid;
use crate::options::Variable;
use crate::{Error, Result};

/// The longest file of known hosts, configuration or a key.
const MAX_LEN: u64 = 16 * 1024 * 1024;
/// How many files `Include` may bring in.
const MAX_INCLUDED: usize = 64;

/// Where a user's files are.
#[derive(Clone)]
pub(super) struct Home {
    folder: Option<PathBuf>,
    variable: Arc<Variable>,
}

impl Home {
    pub(super) fn new(variable: &Arc<Variable>) -> Self {
        let folder = variable("HOME").filter(|home| home.starts_with('/'));
        Self { folder: folder.map(PathBuf::from), variable: Arc::clone(variable) }
    }

    /// A file of `~/.ssh`.
    pub(super) fn ssh(&self, name: &str) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        Some(folder.join(".ssh").join(name))
    }

    /// A file as a configuration names it: `~`, `${VARIABLE}` and the tokens of `ssh_config(5)` that
    /// are given (`%%` and `%d`, the home, besides); relative names are below `~/.ssh`. None if
    /// there is something else in it.
    pub(super) fn expand(&self, text: &str, tokens: &[(char, &str)]) -> Option<PathBuf> {
        let home = self.folder.as_ref().and_then(|home| home.to_str());
        let text = match text.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{}{rest}", home?),
            Some(_) => return None,
            None => text.to_owned(),
        };
        let mut expanded = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['%', '$']) {
            expanded.push_str(&rest[..at]);
            let special = &rest[at..];
            rest = if let Some(variable) = special.strip_prefix("${") {
                let (name, after) = variable.split_once('}')?;
                expanded.push_str(&(self.variable)(name)?);
                after
            } else if let Some(after) = special.strip_prefix('$') {
                expanded.push('$');
                after
            } else {
                let token = special.chars().nth(1)?;
                let given = tokens.iter().find(|(name, _)| *name == token);
                expanded.push_str(match token {
                    '%' => "%",
                    'd' => home?,
                    _ => given?.1,
                });
                &special[1 + token.len_utf8()..]
            };
        }
        expanded.push_str(rest);
        let path = PathBuf::from(expanded);
        if path.is_absolute() { Some(path) } else { self.ssh("").map(|folder| folder.join(path)) }
    }
}

/// A file as text. None: it is not there.
///
/// Errors: as the operating system's, `Invalid` if it is too long.
pub(super) fn read(path: &Path) -> Result<Option<String>> {
    let about = |error: io::Error| {
        let text = format!("{}: {error}", path.display());
        Error::new(Error::from(error).kind()).with_source(text)
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(about(error)),
    };
    let mut bytes = Vec::new();
    let read = file.take(MAX_LEN + 1).read_to_end(&mut bytes);
    read.map_err(about)?;
    if bytes.len() as u64 > MAX_LEN {
        let text = format!("{}: longer than {MAX_LEN} bytes", path.display());
        return Err(invalid(text));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Reads what `Include` names; files that are not there, or may not be read, are left out.
pub(super) struct Includes<'a> {
    pub(super) home: &'a Home,
    /// What relative names are below.
    pub(super) folder: PathBuf,
    count: usize,
}

impl<'a> Includes<'a> {
    pub(super) fn new(home: &'a Home, folder: PathBuf) -> Self {
        Self { home, folder, count: 0 }
    }

    /// The texts of one name; its last part may have wildcards.
    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        let path = if name.starts_with(['/', '~', '$']) {
            self.home.expand(name, &[])
        } else {
            Some(self.folder.join(name))
        };
        let mut texts = Vec::new();
        for path in path.map(|path| wild(&path)).unwrap_or_default() {
            if self.count == MAX_INCLUDED {
                break;
            }
            self.count += 1;
            texts.extend(read(&path).ok().flatten());
        }
        texts
    }
}

/// The files that a path with wildcards in its last part names, sorted.
fn wild(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some((folder, name)) = path.parent().zip(name) else {
        return Vec::new();
    };
    if !name.contains(['*', '?']) {
        return vec![path.to_owned()];
    }
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let wanted = |found: &String| !found.starts_with('.') && pattern::matches(name, found);
    let mut found: Vec<PathBuf> = names.filter(wanted).map(|name| folder.join(name)).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Home {
        Home::new(
            &(Arc::new(|name: &str| match name {
                "HOME" => Some("/home/a".to_owned()),
                "KEYS" => Some("/keys".to_owned()),
                _ => None,
            }) as Arc<Variable>),
        )
    }

    #[test]
    fn names_are_expanded() {
        let expand = |text: &str| {
            let path = home().expand(text, &[('h', "host"), ('r', "user")]);
            path.map(|path| path.to_str().unwrap().to_owned())
        };
        for (text, path) in [
            ("~/.ssh/id", "/home/a/.ssh/id"),
            ("/x/%h-%r-%%", "/x/host-user-%"),
            ("%d/id", "/home/a/id"),
            ("${KEYS}/id", "/keys/id"),
            ("id", "/home/a/.ssh/id"),
            ("/a$b", "/a$b"),
        ] {
            assert_eq!(expand(text).as_deref(), Some(path), "{text}");
        }
        for text in ["~b/x", "/x/%z", "/x/%", "${NOT}/x", "${KEYS"] {
            assert_eq!(expand(text), None, "{text}");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "files that go with the test")]
    fn included_names_may_have_wildcards() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.conf", "a.conf", ".c.conf", "d.other"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let home = home();
        let mut includes = Includes::new(&home, folder.path().to_owned());
        assert_eq!(includes.texts("*.conf"), ["a.conf", "b.conf"]);
        assert_eq!(includes.texts("d.other"), ["d.other"]);
        assert_eq!(includes.texts("none"), Vec::<String>::new());
        assert_eq!(includes.texts("~/none"), Vec::<String>::new());
        for _ in 0..MAX_INCLUDED {
            includes.texts("d.other");
        }
        assert_eq!(includes.texts("d.other"), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_does_not_end_is_refused() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Invalid);
        assert!(read(Path::new("/nowhere")).unwrap().is_none());
    }
}
