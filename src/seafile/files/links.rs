//! Links that lead out of an installation. Some are followed. The report names the others if
//! nothing stores their targets.
//!
//! Administrators move parts of an installation to other disks by links, and containers have links
//! into their volume. At the places where that is usual, the content of the target is stored in
//! place of the link. At other places a link stays a link: it may lead to the disk with the
//! backups, or to the root folder.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::found::names_in;
use super::patterns::ExcludeRules;
use super::scan::ScanOptions;
use super::walk::{CONF, SEAFILE_DATA};

/// Names in the top folder that may be links to elsewhere.
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

/// Places where a broken link means that a disk is not mounted, because nobody leaves such a link
/// behind. Discovery checks the other places.
const NEVER_EMPTY: [&str; 6] = [
    "avatars",
    "md-data",
    "notification-data",
    "seafile-license.txt",
    "seahub-data/avatars",
    "seahub-data/custom",
];

/// Anything in these folders may be a link to elsewhere.
const WITH_ALL: [&str; 3] = ["ccnet", "pro-data", "seahub-data"];

/// Only files in these folders may be links to elsewhere. Seafile has no folders there.
const WITH_FILES: [&str; 2] = ["conf", SEAFILE_DATA];

/// Folders of the system, which each host has. A Python environment links to the programs in them.
const SYSTEM: [&str; 10] =
    ["/bin", "/dev", "/lib", "/lib32", "/lib64", "/proc", "/sbin", "/sys", "/usr/bin", "/usr/lib"];

/// A link that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownLink {
    /// Its path inside the installation.
    pub path: PathBuf,
    /// The target: an absolute path without links. Its content is stored at the link's place.
    pub target: PathBuf,
}

/// The places whose content is stored: the installation, and the targets of followed links and of
/// `--also`.
#[derive(Debug, Clone)]
pub(super) struct StoredRoots {
    /// The top folder, the data folder and the configuration folder.
    own: Vec<PathBuf>,
    all: Vec<PathBuf>,
}

impl StoredRoots {
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

    /// Whether this path is stored already.
    fn store(&self, target: &Path) -> bool {
        self.all.iter().any(|root| target.starts_with(root))
    }

    /// Whether the installation itself lies below this path. Following a link to such a path would
    /// never end.
    pub(super) fn holds_own(&self, target: &Path) -> bool {
        self.own.iter().any(|own| own.starts_with(target))
    }

    /// The target of a link, if it is a file or folder that is stored nowhere.
    pub(super) fn lost_behind(&self, link: &Path) -> Option<PathBuf> {
        let target = fs::canonicalize(link).ok()?;
        let found = fs::metadata(&target).ok()?;
        let is_system = SYSTEM.iter().any(|folder| target.starts_with(folder));
        let is_content = found.is_dir() || found.is_file();
        (is_content && !is_system && !self.store(&target)).then_some(target)
    }
}

/// The links that a scan follows besides those in its options: links at known places whose targets
/// are not stored already.
pub fn known_links(options: &ScanOptions) -> Result<Vec<KnownLink>, super::Error> {
    let rules = ExcludeRules::new(&options.excludes)?;
    Ok(find(options, &rules).0)
}

/// Finds the links of [`known_links`], and the places whose content is stored with them.
pub(super) fn find(options: &ScanOptions, rules: &ExcludeRules) -> (Vec<KnownLink>, StoredRoots) {
    let mut roots = StoredRoots::new(options);
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
        // If another stored place lies below the target, it would be stored twice, with the objects
        // in it.
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
        // If a folder cannot be listed, the walk reports it.
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

/// The real path of a path inside the installation.
fn source(options: &ScanOptions, path: &Path) -> PathBuf {
    let at = |folder: &Path, rest: &Path| {
        // A path that is joined with an empty one would end in `/`.
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
