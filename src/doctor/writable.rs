//! Checks whether the account that will run Seafile can write where it must.
//!
//! After a move to another image or machine the owners' numbers may mean other accounts: then
//! Seafile starts, and fails at the first upload.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Report;
use crate::object::Kind;
use crate::place::shell;
use crate::seafile::discover::Installation;

/// The file that a restore leaves in the folder that it filled. (A copy of `restore::NOTES`,
/// because verbs do not use each other.)
const NOTES: &str = "RESTORE-NOTES.txt";
/// User and group in Seafile's own images with `NON_ROOT=true`.
const NON_ROOT: u32 = 8000;
/// How many folders of libraries are checked in each folder of objects.
const SAMPLE: usize = 20;
/// The most folders that are searched for docker's files.
const MOST_FOLDERS: usize = 200;

/// A user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UserAccount {
    uid: u32,
    gid: u32,
    is_non_root: bool,
}

/// Checks whether the account may write to the folders that Seafile writes to. It goes by owner and
/// mode and tries no write: on this machine the file system may be mounted read-only.
pub(super) fn writable(report: &mut Report, installation: &Installation) {
    let Some(account) = account(installation) else {
        return;
    };
    let closed: Vec<PathBuf> = folders(installation)
        .into_iter()
        .filter(|folder| fs::metadata(folder).is_ok_and(|found| !lets_in(&found, account)))
        .collect();
    let UserAccount { uid, gid, .. } = account;
    let Some(first) = closed.first() else {
        let text = format!("user {uid} can write to storage, conf, seahub-data and logs");
        return report.ok("writable", text);
    };
    let more = match closed.len() {
        1 => String::new(),
        all => format!(" and {} more folders", all - 1),
    };
    let why = if account.is_non_root {
        " (NON_ROOT=true: Seafile runs as this user)"
    } else {
        " (the owner of the data folder: Seafile has to run as this user)"
    };
    let text = format!("user {uid} cannot write to {}{more}{why}", first.display());
    let top = shell(&installation.top.to_string_lossy()).into_owned();
    let next = format!("`chown -R {uid}:{gid} {top}`, or restore with --owner {uid}:{gid}");
    if installation.top.join(NOTES).exists() {
        report.bad("writable", text, next);
    } else {
        // An installation that no restore filled may be closed on purpose.
        report.note("writable", text, Some(next));
    }
}

/// The account that will run Seafile.
fn account(installation: &Installation) -> Option<UserAccount> {
    if is_non_root(&installation.top) {
        return Some(UserAccount { uid: NON_ROOT, gid: NON_ROOT, is_non_root: true });
    }
    let data = fs::metadata(&installation.data_dir).ok()?;
    Some(UserAccount { uid: data.uid(), gid: data.gid(), is_non_root: false })
}

/// Whether a `.env` or compose file sets `NON_ROOT`: in the installation, its `conf`, or in
/// `extra`, where a restore puts such files.
fn is_non_root(top: &Path) -> bool {
    let mut folders = vec![top.join("extra"), top.join("conf"), top.to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.pop().filter(|_| seen < MOST_FOLDERS) {
        seen += 1;
        let is_extra = folder.starts_with(top.join("extra"));
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_docker = [".env", ".yml", ".yaml"].iter().any(|end| name.ends_with(end));
            if is_extra && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if is_docker && fs::read_to_string(&path).is_ok_and(|text| says_non_root(&text))
            {
                return true;
            }
        }
    }
    false
}

fn says_non_root(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim().trim_start_matches("- ");
        let value = line.strip_prefix("NON_ROOT").map(str::trim_start);
        let value = value.and_then(|rest| rest.strip_prefix(['=', ':']));
        value.is_some_and(|value| value.trim().trim_matches(['"', '\'']) == "true")
    })
}

fn folders(installation: &Installation) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        ["conf", "seahub-data", "logs"].iter().map(|name| installation.top.join(name)).collect();
    all.push(installation.data_dir.clone());
    for kind in Kind::ALL {
        let root = installation.object_storage.roots.folder(kind).to_owned();
        let below = fs::read_dir(&root).into_iter().flatten().flatten();
        let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        all.extend(below.take(SAMPLE).map(|entry| entry.path()));
        all.push(root);
    }
    all
}

fn lets_in(found: &Metadata, account: UserAccount) -> bool {
    let needed = if found.uid() == account.uid {
        0o300
    } else if found.gid() == account.gid {
        0o030
    } else {
        0o003
    };
    account.uid == 0 || found.mode() & needed == needed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_says_of_the_user() {
        for text in
            ["A=1\nNON_ROOT=true\n", "environment:\n  - NON_ROOT=true", "  NON_ROOT: \"true\""]
        {
            assert!(says_non_root(text), "{text}");
        }
        for text in ["NON_ROOT=false", "#NON_ROOT=true", "XNON_ROOT=true", "NON_ROOT_X=true"] {
            assert!(!says_non_root(text), "{text}");
        }
    }
}
