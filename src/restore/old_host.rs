//! Finds lines of restored configuration that name hosts, ports, addresses or paths. The
//! administrator has to look at them if the installation now runs on another machine. Nothing is
//! parsed and nothing is changed. What may be a secret is cut off.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;

use super::folders::{self, TargetFolders};

/// The most bytes of a file that are looked at.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The longest line that is shown, in characters.
const MAX_LINE: usize = 160;
/// The most folders below `extra` that are looked into.
const MAX_FOLDERS: usize = 200;

/// Words in a key or before a value that mean a secret: a line is shown up to such a word.
const SECRETS: [&str; 9] =
    ["pass", "pwd", "secret", "key", "token", "credential", "auth", "salt", "dsn"];

/// Words in a key that mean a host, port, address or path.
const PLACES: [&str; 14] = [
    "host", "port", "url", "uri", "server", "domain", "address", "bind", "listen", "socket",
    "root", "path", "dir", "volume",
];

/// A line to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldHostLine {
    /// The file, inside the installation.
    pub file: String,
    /// The line's number, from 1.
    pub number: usize,
    /// What it says, without secrets.
    pub text: String,
}

/// Every line that names a place, in all configuration files of the target.
pub fn lines(folders: &TargetFolders, names: &[&str]) -> Vec<OldHostLine> {
    let mut found = Vec::new();
    for file in files(folders) {
        if let Ok(text) = read(folders, &file) {
            found.extend(lines_of(&file, &text, names));
        }
    }
    found
}

/// Files that were backed up besides the installation, by their paths in the target.
pub fn extra(folders: &TargetFolders) -> Vec<String> {
    let mut found = Vec::new();
    for (folder, names) in below_extra(folders) {
        found.extend(names.iter().map(|name| format!("{folder}/{name}")));
    }
    found.sort();
    found
}

/// Folders below `extra`, each with the names of its files.
fn below_extra(folders: &TargetFolders) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut pending = vec!["extra".to_owned()];
    while let Some(folder) = pending.pop().filter(|_| found.len() < MAX_FOLDERS) {
        let (below, names) = names_in(folders, &folder);
        pending.extend(below.iter().map(|name| format!("{folder}/{name}")));
        found.push((folder, names));
    }
    found
}

fn files(folders: &TargetFolders) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["", "conf", "ccnet", "seafile-data", "pro-data"] {
        let inside = |name: &String| {
            if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") }
        };
        let (_, names) = names_in(folders, folder);
        found.extend(names.iter().filter(|name| is_configuration(name)).map(inside));
    }
    for (folder, names) in below_extra(folders) {
        let of_interest = names.iter().filter(|name| is_configuration(name));
        found.extend(of_interest.map(|name| format!("{folder}/{name}")));
    }
    found
}

fn is_configuration(name: &str) -> bool {
    const ENDINGS: [&str; 7] = [".conf", ".py", ".ini", ".yml", ".yaml", ".env", ".toml"];
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Folders and files in a folder; none if it cannot be read.
fn names_in(folders: &TargetFolders, path: &str) -> (Vec<String>, Vec<String>) {
    let (mut below, mut files) = (Vec::new(), Vec::new());
    let entries =
        folders.find(path).ok().flatten().and_then(|folder| rustix::fs::Dir::new(folder).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type() {
            rustix::fs::FileType::Directory if name != "." && name != ".." => below.push(name),
            rustix::fs::FileType::RegularFile => files.push(name),
            _ => {}
        }
    }
    (below, files)
}

fn read(folders: &TargetFolders, path: &str) -> io::Result<String> {
    let (folder, name) = folders::split(path);
    let folder = folders.find(folder)?.ok_or(io::ErrorKind::NotFound)?;
    let mut bytes = Vec::new();
    folders::open_file(folder.as_fd(), name)?.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn lines_of(file: &str, text: &str, names: &[&str]) -> Vec<OldHostLine> {
    let numbered = text.lines().enumerate();
    numbered
        .filter_map(|(index, line)| {
            Some(OldHostLine {
                file: file.to_owned(),
                number: index + 1,
                text: shown(line.trim(), names)?,
            })
        })
        .collect()
}

/// What to show of a line. `None`: it names no place, or has no key. A line without a key of its
/// own may be the rest of a secret that began above.
fn shown(line: &str, names: &[&str]) -> Option<String> {
    if line.is_empty() || line.starts_with(['#', ';', '[']) || line.starts_with("//") {
        return None;
    }
    let at = line.find(['=', ':'])?;
    let (open, is_cut) = without_secret(line);
    let key = line[..at].to_lowercase();
    let value = open.get(at + 1..).unwrap_or("");
    let is_place = PLACES.iter().any(|word| words(&key).any(|found| found.contains(word)));
    let is_number_or_name = value.chars().any(char::is_alphanumeric);
    let names_place = value.contains("://")
        || has_path(value)
        || names.iter().any(|name| !name.is_empty() && open.contains(name));
    if !(names_place || is_place && is_number_or_name) {
        return None;
    }
    let text: String = without_password(open.trim_end())
        .chars()
        .filter(|letter| !letter.is_control())
        .take(MAX_LINE)
        .collect();
    Some(if is_cut { format!("{text} …") } else { text })
}

/// The line up to the first word that means a secret, and whether anything was cut.
fn without_secret(line: &str) -> (&str, bool) {
    let lower = line.to_ascii_lowercase();
    let found = SECRETS.iter().filter_map(|word| {
        let at = lower.find(word)?;
        Some(at + word.len())
    });
    match found.min() {
        // The word itself is shown whole: it tells what was cut.
        Some(at) => {
            let rest = &line[at..];
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
            (&line[..at + end.unwrap_or(rest.len())], true)
        }
        None => (line, false),
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric())
}

/// Whether a value has an absolute path.
fn has_path(value: &str) -> bool {
    let value = value.trim_start();
    let starts = |text: &str| {
        let mut letters = text.chars();
        letters.next() == Some('/') && letters.next().is_some_and(char::is_alphanumeric)
    };
    let pieces = value.split(['"', '\'', ' ', ',', '=', ':', '(', '[']);
    pieces.into_iter().any(starts)
}

/// `scheme://user:…@host` instead of a password in a URL.
fn without_password(text: &str) -> String {
    let Some(at) = text.find("://") else {
        return text.to_owned();
    };
    let (scheme, rest) = text.split_at(at + 3);
    let end = rest.find(['/', ' ', '"', '\'']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}{user}:…@{host}{behind}")
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_name_a_place_are_shown() {
        for line in [
            "SERVICE_URL = 'https://cloud.example.org'",
            "host = 0.0.0.0",
            "port=8082",
            "dir = /mnt/blocks",
            "SEAFILE_VOLUME=/opt/seafile-data",
            "- /opt/x:/shared",
            "'HOST': 'db.example',",
            "name = old.example",
        ] {
            assert_eq!(shown(line, &["old.example"]).as_deref(), Some(line), "{line}");
        }
    }

    #[test]
    fn other_lines_are_not() {
        for line in [
            "",
            "# host = x",
            "; port = 1",
            "[fileserver]",
            "enabled = true",
            "'a',",
            "quota = 2",
            "workers = 10",
            "host =",
            "name = x/y",
            "'rest of a value /with/a/path'",
        ] {
            assert_eq!(shown(line, &[]), None, "{line}");
        }
    }

    #[test]
    fn secrets_are_cut_off() {
        for (line, expected) in [
            ("'HOST': 'db', 'PASSWORD': 'hunter2'", Some("'HOST': 'db', 'PASSWORD …")),
            ("password = /hunter2", None),
            ("SECRET_KEY = 'https://hunter2'", None),
            ("url = mysql://root:hunter2@db:3306/x", Some("url = mysql://root:…@db:3306/x")),
            ("url = redis://:hunter2@cache", Some("url = redis://:…@cache")),
            ("JWT_PRIVATE_KEY=/hunter2://", None),
            ("url = https://x/?token=hunter2", Some("url = https://x/?token …")),
        ] {
            let shown = shown(line, &[]);
            assert_eq!(shown.as_deref(), expected, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_behind_a_word_for_secrets_is_shown(before in "[a-z =:/']{0,20}", word in 0usize..9, after in "[ =:/']{1,3}") {
            let line = format!("{before}{}{after}HUNTER2", SECRETS[word]);
            if let Some(text) = shown(&line, &["HUNTER2"]) {
                proptest::prop_assert!(!text.contains("HUNTER2"), "{}", text);
            }
        }
    }
}
