//! The walk through an installation's folders. It uses a stack instead of recursion, and follows a
//! link only at the places that the caller names and at those of [`links`].

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::extra::{self, EXTRA};
use super::found::{FoundPath, identity_of, names_in};
use super::links::{self, StoredRoots};
use super::patterns::ExcludeRules;
use super::scan::{ScanOptions, below_root, is_program_folder};
use super::{
    Error, FileScan, FileWarning, FileWarningKind, LeftOutPath, LeftOutReason, OrdinaryGroup,
    ScanEntryKind, groups,
};

/// The report names files larger than this: 1 GiB.
const HUGE_BYTES: u64 = 1 << 30;

/// The path inside an installation under which [`ScanOptions::data_dir`] is stored.
pub(super) const SEAFILE_DATA: &str = "seafile-data";

/// The path inside an installation under which [`ScanOptions::conf_dir`] is stored.
pub(super) const CONF: &str = "conf";

/// The index of the group for the top folder's single files, which is made first.
const TOP_LEVEL: usize = 0;

/// Where a folder is, which decides to which group its children belong.
#[derive(Clone, Copy)]
enum GroupLevel {
    /// The top folder. Each folder in it becomes a group.
    Top,
    /// `seahub-data`, which is this group. Each folder in it becomes a group.
    Seahub(usize),
    /// A folder anywhere in this group.
    Group(usize),
}

impl GroupLevel {
    /// The group of a child that gets no group of its own.
    fn group(self) -> usize {
        match self {
            Self::Top => TOP_LEVEL,
            Self::Seahub(group) | Self::Group(group) => group,
        }
    }
}

/// A folder that is not listed yet.
struct PendingFolder {
    path: PathBuf,
    source: PathBuf,
    place: GroupLevel,
}

/// The state of a walk.
pub(super) struct FileWalk<'a> {
    options: &'a ScanOptions,
    rules: ExcludeRules,
    skipped: HashSet<&'a Path>,
    followed: HashSet<PathBuf>,
    roots: StoredRoots,
    /// Device and inode of the top folder, the data folder and the configuration folder, which must
    /// be stored only once.
    own_folders: Vec<(u64, u64)>,
    pending: Vec<PendingFolder>,
    matches: BTreeMap<usize, u64>,
    /// Names of groups of paths outside of the installation.
    outside: HashSet<String>,
    scan: FileScan,
}

impl<'a> FileWalk<'a> {
    pub(super) fn new(options: &'a ScanOptions) -> Result<Self, Error> {
        let rules = ExcludeRules::new(&options.excludes)?;
        let (known, roots) = links::find(options, &rules);
        let mut followed: HashSet<PathBuf> = options.followed_links.iter().cloned().collect();
        followed.extend(known.into_iter().map(|link| link.path));
        followed.insert(PathBuf::from(SEAFILE_DATA));
        let mut own_folders = vec![identity_of(&options.top)?, identity_of(&options.data_dir)?];
        if let Some(conf_dir) = &options.conf_dir {
            own_folders.push(identity_of(conf_dir)?);
        }
        Ok(Self {
            options,
            rules,
            skipped: paths(&options.skip_paths),
            followed,
            roots,
            own_folders,
            pending: Vec::new(),
            matches: BTreeMap::new(),
            outside: HashSet::new(),
            scan: FileScan {
                groups: vec![groups::top_level()],
                left_out: Vec::new(),
                warnings: Vec::new(),
            },
        })
    }

    /// Walks the top folder, and the data and configuration folders wherever they lie.
    pub(super) fn installation(&mut self) -> Result<(), Error> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Folder { path, source }
        };
        let top = &self.options.top;
        let data_dir = &self.options.data_dir;
        fs::read_dir(data_dir).map_err(failed(data_dir))?;
        let mut names = names_in(top).map_err(failed(top))?;
        let conf_dir = self.options.conf_dir.as_ref();
        names.retain(|name| name != SEAFILE_DATA && (conf_dir.is_none() || name != CONF));
        for name in names {
            let source = top.join(&name);
            self.visit(PathBuf::from(name), source, GroupLevel::Top);
        }
        self.visit(PathBuf::from(SEAFILE_DATA), data_dir.clone(), GroupLevel::Top);
        if let Some(conf_dir) = &self.options.conf_dir {
            self.visit(PathBuf::from(CONF), conf_dir.clone(), GroupLevel::Top);
        }
        self.drain();
        Ok(())
    }

    /// Walks one path of `--also`, as a group of its own.
    pub(super) fn extra(&mut self, path: &Path) {
        let Some(below) = below_root(path) else {
            return;
        };
        let resolved = fs::canonicalize(path).and_then(|source| Ok((fs::metadata(path)?, source)));
        match resolved {
            Ok((metadata, source)) => {
                let group = groups::extra(path);
                self.outside.insert(group.name.clone());
                let place = self.new_group(group);
                let path = Path::new(EXTRA).join(below);
                self.place(FoundPath { path, source, metadata }, place);
                self.drain();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.warn(path.to_path_buf(), FileWarningKind::Missing);
            }
            Err(error) => self.warn_unreadable(path.to_path_buf(), &error),
        }
    }

    /// Ends the walk and sorts the result.
    pub(super) fn finish(mut self) -> Result<FileScan, Error> {
        let from_outside = |group: &OrdinaryGroup| self.outside.contains(&group.name);
        let given_way = extra::give_way(&mut self.scan.groups, from_outside)?;
        self.scan.left_out.extend(given_way);
        for (&number, &count) in &self.matches {
            let rule = self.rules.rule(number);
            self.scan.left_out.push(LeftOutPath {
                path: PathBuf::from(&rule.pattern),
                reason: rule.reason,
                count,
            });
        }
        let mut scan = self.scan;
        scan.groups.retain(|group| !group.entries.is_empty());
        for group in &mut scan.groups {
            group.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        }
        scan.groups.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        scan.left_out.sort_unstable();
        scan.warnings.sort_unstable();
        Ok(scan)
    }

    fn drain(&mut self) {
        while let Some(folder) = self.pending.pop() {
            match names_in(&folder.source) {
                Ok(names) => {
                    for name in names {
                        let path = folder.path.join(&name);
                        self.visit(path, folder.source.join(&name), folder.place);
                    }
                }
                Err(error) => self.warn_unreadable(folder.path, &error),
            }
        }
    }

    /// Visits one entry of a folder.
    fn visit(&mut self, path: PathBuf, source: PathBuf, place: GroupLevel) {
        if self.skipped.contains(path.as_path()) {
            return;
        }
        match self.look(&path, source) {
            Ok((source, metadata)) => self.place(FoundPath { path, source, metadata }, place),
            // It disappeared since the folder was listed, so it is no part of this backup.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.warn_unreadable(path, &error),
        }
    }

    /// The attributes at a path, and its real path. If a link is followed there, both are those of
    /// the target.
    fn look(&mut self, path: &Path, source: PathBuf) -> io::Result<(PathBuf, Metadata)> {
        let metadata = fs::symlink_metadata(&source)?;
        if !metadata.is_symlink() || !self.followed.contains(path) {
            return Ok((source, metadata));
        }
        match fs::canonicalize(&source) {
            // It stays a link, and the report names it.
            Ok(real) if path != Path::new(SEAFILE_DATA) && self.roots.holds_own(&real) => {
                Ok((source, metadata))
            }
            Ok(real) => fs::symlink_metadata(&real).map(|metadata| (real, metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.warn(path.to_path_buf(), FileWarningKind::BrokenLink);
                Ok((source, metadata))
            }
            Err(error) => Err(error),
        }
    }

    /// Puts a file, folder or link into its group, or notes why it is left out.
    fn place(&mut self, found: FoundPath, place: GroupLevel) {
        let file_type = found.metadata.file_type();
        if file_type.is_dir() {
            self.folder(found, place);
        } else if file_type.is_file() {
            self.file(found, place);
        } else if file_type.is_symlink() {
            self.link(found, place);
        } else if file_type.is_socket() {
            self.leave_out(found.path, LeftOutReason::Socket);
        } else if file_type.is_fifo() {
            self.leave_out(found.path, LeftOutReason::Fifo);
        } else {
            self.leave_out(found.path, LeftOutReason::Device);
        }
    }

    fn folder(&mut self, found: FoundPath, place: GroupLevel) {
        if let Some(reason) = self.reason_against_folder(&found, place) {
            return self.leave_out(found.path, reason);
        }
        if let Some(number) = self.excluded(&found.path) {
            if self.rules.rule(number).keeps_folder() {
                self.keep(found, ScanEntryKind::Folder, place);
            }
            return;
        }
        let place = self.place_below(&found, place);
        self.pending.push(PendingFolder {
            path: found.path.clone(),
            source: found.source.clone(),
            place,
        });
        self.keep(found, ScanEntryKind::Folder, place);
    }

    fn reason_against_folder(&self, found: &FoundPath, place: GroupLevel) -> Option<LeftOutReason> {
        let name = found.path.as_os_str();
        let in_use = self.options.program_folder.as_deref().map(OsStr::new);
        if matches!(place, GroupLevel::Top) && is_program_folder(name) && in_use != Some(name) {
            return Some(LeftOutReason::OtherProgram);
        }
        let again =
            name != SEAFILE_DATA && name != CONF && self.own_folders.contains(&found.identity());
        again.then_some(LeftOutReason::Installation)
    }

    /// The place of the children of a folder. Makes a new group at the levels that have them.
    fn place_below(&mut self, found: &FoundPath, place: GroupLevel) -> GroupLevel {
        let name = found.path.file_name().unwrap_or_default();
        match place {
            GroupLevel::Top if name == groups::SEAHUB_DATA => {
                GroupLevel::Seahub(self.new_group(groups::folder(name)).group())
            }
            GroupLevel::Top => self.new_group(groups::folder(name)),
            GroupLevel::Seahub(_) => self.new_group(groups::seahub_folder(name)),
            GroupLevel::Group(_) => place,
        }
    }

    fn file(&mut self, found: FoundPath, place: GroupLevel) {
        if self.excluded(&found.path).is_some() {
            return;
        }
        if let Some(error) = found.read_refusal() {
            return self.warn_unreadable(found.path, &error);
        }
        let len = found.metadata.len();
        if len > HUGE_BYTES {
            self.warn(found.path.clone(), FileWarningKind::Huge { len });
        }
        self.keep(found, ScanEntryKind::File { len }, place);
    }

    fn link(&mut self, found: FoundPath, place: GroupLevel) {
        match self.rules.find(&found.path) {
            Some(number) if !self.rules.rule(number).keeps_link() => {
                *self.matches.entry(number).or_default() += 1;
                return;
            }
            // Its target is left out on purpose.
            Some(_) => {}
            None => {
                if links::is_broken(&found.path, &found.source) {
                    self.warn(found.path.clone(), FileWarningKind::BrokenLink);
                } else if let Some(target) = self.roots.lost_behind(&found.source) {
                    self.leave_out(found.path.clone(), LeftOutReason::LeadsOut);
                    self.warn(found.path.clone(), FileWarningKind::LeadsOut { target });
                }
            }
        }
        match fs::read_link(&found.source) {
            Ok(target) => self.keep(found, ScanEntryKind::Link { target }, place),
            Err(error) => self.warn_unreadable(found.path, &error),
        }
    }

    /// Finds the pattern that excludes a path, and counts the match.
    fn excluded(&mut self, path: &Path) -> Option<usize> {
        let number = self.rules.find(path)?;
        *self.matches.entry(number).or_default() += 1;
        Some(number)
    }

    fn keep(&mut self, found: FoundPath, kind: ScanEntryKind, place: GroupLevel) {
        let entries = &mut self.scan.groups[place.group()].entries;
        entries.push(found.into_entry(kind));
    }

    fn new_group(&mut self, group: super::OrdinaryGroup) -> GroupLevel {
        self.scan.groups.push(group);
        GroupLevel::Group(self.scan.groups.len() - 1)
    }

    fn leave_out(&mut self, path: PathBuf, reason: LeftOutReason) {
        self.scan.left_out.push(LeftOutPath { path, reason, count: 1 });
    }

    fn warn(&mut self, path: PathBuf, kind: FileWarningKind) {
        self.scan.warnings.push(FileWarning { path, kind });
    }

    fn warn_unreadable(&mut self, path: PathBuf, error: &io::Error) {
        let message = error.to_string();
        self.warn(path, FileWarningKind::Unreadable { message });
    }
}

fn paths(paths: &[PathBuf]) -> HashSet<&Path> {
    paths.iter().map(PathBuf::as_path).collect()
}
