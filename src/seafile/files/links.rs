//! Links that lead out of an installation: which of them are followed, and which must be told because nobody stores
//! what they lead to.
//!
//! Administrators move parts of an installation to other disks by links, and containers consist of links into their
//! volume. At the places where that is usual, what the link leads to is stored in its place. Elsewhere a link stays a
//! link: it may lead to the disk that holds the backups, or to everything.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::found::names_in;
use super::patterns::Rules;
use super::scan::ScanOptions;
use super::walk::{CONF, SEAFILE_DATA};

/// What of the top folder may lie elsewhere.
const IN_TOP: [&str; 13] = [
    ".env",
    "avatars",
    "ccnet",
    "conf",
    "custom",
    "md-data",
    "media",
    "notification",
    "notification-data",
    "pro-data",
    "seafile-license.txt",
    "seahub-data",
    "seahub_settings.py",
];

/// Where a link that leads nowhere means that a disk is not there: nobody leaves such a link behind. Of the other places
/// discovery tells.
const NEVER_EMPTY: [&str; 6] = [
    "avatars",
    "md-data",
    "notification-data",
    "seafile-license.txt",
    "seahub-data/avatars",
    "seahub-data/custom",
];

/// Of these folders anything may lie elsewhere.
const WITH_ALL: [&str; 3] = ["ccnet", "pro-data", "seahub-data"];

/// Of these only files: a folder in them is nothing of Seafile's.
const WITH_FILES: [&str; 2] = ["conf", SEAFILE_DATA];

/// Beside programs of the system, which each host has: a Python environment links to them.
const SYSTEM: [&str; 10] =
    ["/bin", "/dev", "/lib", "/lib32", "/lib64", "/proc", "/sbin", "/sys", "/usr/bin", "/usr/lib"];

/// A link that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownLink {
    /// Its path inside the installation.
    pub path: PathBuf,
    /// Where it leads: absolute, without links. What lies there is stored at the link's place.
    pub target: PathBuf,
}

/// The places whose content is stored: the installation, and what its followed links and `--also` lead to.
#[derive(Debug, Clone)]
pub(super) struct Roots {
    /// The top folder, the data folder and the configuration folder.
    own: Vec<PathBuf>,
    all: Vec<PathBuf>,
}

impl Roots {
    fn new(options: &ScanOptions) -> Self {
        let real = |path: &Path| fs::canonicalize(path).ok();
        let own: Vec<_> = [&options.top, &options.data_dir]
            .into_iter()
            .chain(&options.conf_dir)
            .filter_map(|path| real(path))
            .collect();
        let mut roots = Self { all: own.clone(), own };
        let followed = options.followed_links.iter();
        let followed = followed.filter_map(|path| real(&source(options, path)));
        let also = options.also.iter().filter_map(|path| real(path));
        for target in followed.chain(also).collect::<Vec<_>>() {
            roots.add(target);
        }
        roots
    }

    fn add(&mut self, target: PathBuf) {
        if !self.holds_own(&target) {
            self.all.push(target);
        }
    }

    /// Whether what lies there is stored anyway.
    fn store(&self, target: &Path) -> bool {
        self.all.iter().any(|root| target.starts_with(root))
    }

    /// Whether the installation itself lies in there: whoever follows such a link never ends.
    pub(super) fn holds_own(&self, target: &Path) -> bool {
        self.own.iter().any(|own| own.starts_with(target))
    }

    /// Where a link leads, if that is a file or folder that nobody stores.
    pub(super) fn lost_behind(&self, link: &Path) -> Option<PathBuf> {
        let target = fs::canonicalize(link).ok()?;
        let found = fs::metadata(&target).ok()?;
        let is_system = SYSTEM.iter().any(|folder| target.starts_with(folder));
        let is_content = found.is_dir() || found.is_file();
        (is_content && !is_system && !self.store(&target)).then_some(target)
    }
}

/// The links that a scan follows besides those that its options name: links at known places that lead to something that
/// is not stored anyway.
pub fn known_links(options: &ScanOptions) -> Result<Vec<KnownLink>, super::Error> {
    let rules = Rules::new(&options.excludes)?;
    Ok(find(options, &rules).0)
}

/// The same, and the places whose content is stored then.
pub(super) fn find(options: &ScanOptions, rules: &Rules) -> (Vec<KnownLink>, Roots) {
    let mut roots = Roots::new(options);
    let mut links = Vec::new();
    let named: HashSet<&Path> = options.followed_links.iter().map(PathBuf::as_path).collect();
    let skipped: HashSet<&Path> = options.skip_paths.iter().map(PathBuf::as_path).collect();
    let mut look = |path: PathBuf, files_only: bool| {
        let source = source(options, &path);
        let is_link = fs::symlink_metadata(&source).is_ok_and(|found| found.is_symlink());
        if !is_link
            || named.contains(&*path)
            || skipped.contains(&*path)
            || rules.find(&path).is_some()
        {
            return;
        }
        let Some(target) = roots.lost_behind(&source) else {
            return;
        };
        // Where other stored places lie in it, they would be stored twice, objects among them.
        let holds_others = roots.all.iter().any(|root| root.starts_with(&target));
        if !holds_others && (!files_only || target.is_file()) {
            roots.add(target.clone());
            links.push(KnownLink { path, target });
        }
    };
    for name in IN_TOP {
        look(PathBuf::from(name), false);
    }
    look(Path::new(SEAFILE_DATA).join("library-template"), false);
    let folders = WITH_ALL.map(|name| (name, false)).into_iter();
    for (folder, files_only) in folders.chain(WITH_FILES.map(|name| (name, true))) {
        // What cannot be listed is told by the walk.
        let mut found = names_in(&source(options, Path::new(folder))).unwrap_or_default();
        found.sort_unstable();
        for name in found {
            look(Path::new(folder).join(name), files_only);
        }
    }
    (links, roots)
}

/// Whether a link at a known place leads nowhere.
pub(super) fn is_broken(path: &Path, source: &Path) -> bool {
    let is_known = NEVER_EMPTY.iter().any(|known| path == Path::new(known));
    let is_absent = |error: std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    is_known && fs::metadata(source).is_err_and(is_absent)
}

/// Where a path inside the installation really lies.
fn source(options: &ScanOptions, path: &Path) -> PathBuf {
    let at = |folder: &Path, rest: &Path| {
        // Joined with nothing, a path would end in `/`.
        let is_itself = rest.as_os_str().is_empty();
        if is_itself { folder.to_owned() } else { folder.join(rest) }
    };
    if let Ok(rest) = path.strip_prefix(SEAFILE_DATA) {
        return at(&options.data_dir, rest);
    }
    match (&options.conf_dir, path.strip_prefix(CONF)) {
        (Some(conf_dir), Ok(rest)) => at(conf_dir, rest),
        _ => options.top.join(path),
    }
}
