//! Decides which commits stay, and moves the others aside, before the databases are put in place.
//!
//! A commit stays if a pointer of the snapshot leads to it. That cannot be told if no row names a
//! head, or if the head or a commit of its history is lost. Then a commit stays if the snapshot
//! holds it, it is not newer than what is known of the head, and it does not descend from the head.
//! Such commits are history, and no client is set back by them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::super::error::Error;
use super::super::folders::{self, TargetFolders};
use super::super::packs::RestoreJob;
use super::aside::{move_aside, move_whole_aside, regular_file};
use super::heads::{self, LibraryHeads};
use super::staging::{self, live_store, names_in, remove_empty, staged_store, take_out};
use crate::object::{Kind, LibraryId, Object, ObjectId, Store};
use crate::repository::manifest::Manifest;
use crate::seafile::check::{self, ObjectContent};
use crate::seafile::commit::MAX_COMMIT_BYTES;
use crate::walk::{Ancestry, CommitNode, Reachable};

/// How many commits were moved aside, and how many stay without proof.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettledCommits {
    /// How many commits of each store were moved aside.
    pub set_aside: BTreeMap<Store, u64>,
    /// How many commits of each store stay although nothing proves that a pointer leads to them.
    pub unproved: BTreeMap<Store, u64>,
}

/// Decides for every store in the target which commits stay.
pub fn settle(job: RestoreJob<'_>, manifest: &Manifest) -> Result<SettledCommits, Error> {
    let mut settler = CommitSettler {
        job,
        folders: job.target.folders(),
        heads: heads::of(manifest),
        shared: Ancestry::default(),
        shared_kept: HashSet::new(),
        settled: SettledCommits::default(),
    };
    settler.all()?;
    Ok(settler.settled)
}

struct CommitSettler<'a> {
    job: RestoreJob<'a>,
    folders: &'a TargetFolders,
    heads: HashMap<LibraryId, LibraryHeads>,
    /// The commits of the store that all libraries share.
    shared: Ancestry,
    /// Commits in the shared store that a library leads to.
    shared_kept: HashSet<ObjectId>,
    settled: SettledCommits,
}

/// The commits of one store.
#[derive(Default)]
struct StoreCommits {
    ancestry: Ancestry,
    /// Files that have a commit's name but are no commit.
    bad: Vec<ObjectId>,
}

impl CommitSettler<'_> {
    fn all(&mut self) -> Result<(), Error> {
        let stores = self.on_disk(staging::COMMITS, staging::stores)?;
        let shared = if stores.contains(&Store::Shared) {
            self.read(Store::Shared)?
        } else {
            StoreCommits::default()
        };
        self.shared = shared.ancestry.clone();
        let mut doubtful = BTreeSet::new();
        for store in &stores {
            if let Store::Library(library) = store
                && !self.library(*library)?
            {
                doubtful.insert(*store);
            }
        }
        self.without_a_store(&stores, &mut doubtful);
        let packed = self.packed(&doubtful)?;
        for store in &doubtful {
            if let Store::Library(library) = store {
                self.doubtful(*library, &packed)?;
            }
        }
        if stores.contains(&Store::Shared) {
            let is_doubtful = doubtful.contains(&Store::Shared);
            self.shared_store(&shared, is_doubtful.then_some(&packed))?;
        }
        Ok(())
    }

    /// Keeps the commits that the library's pointers lead to. `false`: that cannot be told, and
    /// nothing was moved.
    fn library(&mut self, library: LibraryId) -> Result<bool, Error> {
        let store = Store::Library(library);
        let commits = self.read(store)?;
        let heads = self.heads.get(&library).cloned().unwrap_or_default();
        let reachable = self.reachable(&commits.ancestry, &heads);
        let is_whole = reachable.commits.len() >= commits.ancestry.len()
            && commits.ancestry.iter().all(|(id, _)| reachable.commits.contains(id));
        if !is_whole && (heads.is_listed || !reachable.gaps.is_empty()) {
            return Ok(false);
        }
        self.keep(store, &commits, &reachable.commits)?;
        Ok(true)
    }

    fn reachable(&mut self, own: &Ancestry, heads: &LibraryHeads) -> Reachable {
        let mut reachable = own.reachable(heads.all(), &self.shared);
        // A lost base commit says nothing about what is behind a head.
        let is_base = |id: &ObjectId| heads.bases.contains(id) && !heads.branches.contains(id);
        reachable.gaps.retain(|(id, child)| child.is_some() || !is_base(id));
        let shared = reachable.commits.iter();
        let shared = shared.filter(|id| own.get(id).is_none());
        self.shared_kept.extend(shared.copied());
        reachable
    }

    /// Follows the pointers of libraries whose commits are all in the shared store. Adds that store
    /// to `doubtful` if anything is in doubt.
    fn without_a_store(&mut self, stores: &BTreeSet<Store>, doubtful: &mut BTreeSet<Store>) {
        if self.shared.is_empty() {
            return;
        }
        let all: Vec<(LibraryId, LibraryHeads)> = self.heads.clone().into_iter().collect();
        let mut is_doubtful = !doubtful.is_empty();
        for (library, heads) in all {
            if !stores.contains(&Store::Library(library)) {
                let reachable = self.reachable(&Ancestry::default(), &heads);
                is_doubtful |= heads.is_listed || !reachable.gaps.is_empty();
            }
        }
        if is_doubtful {
            doubtful.insert(Store::Shared);
        }
    }

    /// The commits that the snapshot's packs hold of some stores.
    fn packed(&self, stores: &BTreeSet<Store>) -> Result<HashSet<Object>, Error> {
        let mut packed = HashSet::new();
        if stores.is_empty() {
            return Ok(packed);
        }
        for list in 0..self.job.index.len() {
            let lines = self.job.index.lines(list)?;
            let members = lines.iter().flat_map(|line| &line.contents.members);
            let objects = members.map(|member| member.name).filter(|name| {
                name.object.kind == Kind::Commit
                    && !name.damaged
                    && stores.contains(&name.object.store)
            });
            packed.extend(objects.map(|name| name.object));
        }
        Ok(packed)
    }

    fn doubtful(&mut self, library: LibraryId, packed: &HashSet<Object>) -> Result<(), Error> {
        let store = Store::Library(library);
        let commits = self.read(store)?;
        let heads = self.heads.get(&library).cloned().unwrap_or_default();
        let reachable = self.reachable(&commits.ancestry, &heads);
        let mut kept = reachable.commits.clone();
        let likely = likely(&commits.ancestry, &reachable, &heads, |id| {
            packed.contains(&Object::new(store, Kind::Commit, id))
        });
        // Commits behind these came with an earlier snapshot, and stay too.
        let behind = commits.ancestry.reachable(likely, &self.shared);
        let added = behind.commits.iter();
        let added = added.filter(|id| commits.ancestry.get(id).is_some() && !kept.contains(*id));
        let unproved = added.count() as u64;
        self.shared_kept.extend(&behind.commits);
        kept.extend(behind.commits);
        if unproved > 0 {
            self.settled.unproved.insert(store, unproved);
        }
        self.keep(store, &commits, &kept)
    }

    fn shared_store(
        &mut self,
        commits: &StoreCommits,
        packed: Option<&HashSet<Object>>,
    ) -> Result<(), Error> {
        let mut kept = std::mem::take(&mut self.shared_kept);
        if let Some(packed) = packed {
            let newer = commits.ancestry.descendants(&kept);
            let ids = commits.ancestry.iter().map(|(id, _)| *id);
            let likely = ids.filter(|id| {
                let object = Object::new(Store::Shared, Kind::Commit, *id);
                packed.contains(&object) && !newer.contains(id)
            });
            kept.extend(likely);
        }
        self.keep(Store::Shared, commits, &kept)
    }

    /// Moves the commits of a store aside, except those in `kept`.
    fn keep(
        &mut self,
        store: Store,
        commits: &StoreCommits,
        kept: &HashSet<ObjectId>,
    ) -> Result<(), Error> {
        let ids = commits.ancestry.iter().map(|(id, _)| id);
        let mut gone: Vec<ObjectId> = ids.filter(|id| !kept.contains(*id)).copied().collect();
        gone.extend(&commits.bad);
        if gone.is_empty() {
            return Ok(());
        }
        gone.sort_unstable();
        let moved = self.on_disk(&live_store(store), |folders| {
            take_out(folders, store)?;
            for id in &gone {
                move_commit(folders, &Object::new(store, Kind::Commit, *id))?;
            }
            remove_empty_folders(folders, store)
        });
        moved?;
        self.settled.set_aside.insert(store, gone.len() as u64);
        Ok(())
    }

    fn read(&self, store: Store) -> Result<StoreCommits, Error> {
        self.on_disk(&live_store(store), |folders| {
            merge(folders, store)?;
            let mut commits = StoreCommits::default();
            for path in [staged_store(store), live_store(store)] {
                if let Some(folder) = folders.find(&path)? {
                    read_commits(&folder, store, &mut commits)?;
                    break;
                }
            }
            Ok(commits)
        })
    }

    fn on_disk<T>(
        &self,
        path: &str,
        work: impl FnOnce(&TargetFolders) -> io::Result<T>,
    ) -> Result<T, Error> {
        work(self.folders).map_err(self.job.target.failed(path))
    }
}

/// Commits that probably lie behind a gap in the history. They are not newer than the commit at the
/// gap, or than the head if the head is lost. They do not descend from a commit that a pointer
/// leads to. If no row names the library's head, all its commits are likely.
fn likely(
    own: &Ancestry,
    reachable: &Reachable,
    heads: &LibraryHeads,
    is_packed: impl Fn(ObjectId) -> bool,
) -> Vec<ObjectId> {
    let times = reachable.gaps.iter();
    let times = times.map(|(_, child)| child.or(heads.time).unwrap_or(i64::MAX));
    let latest = times.max().unwrap_or(i64::MIN);
    let newer = own.descendants(&reachable.commits);
    let is_likely = |id: &ObjectId, node: &CommitNode| {
        heads.is_listed || node.ctime <= latest && !newer.contains(id)
    };
    own.iter()
        .filter(|(id, node)| is_likely(id, node) && is_packed(**id))
        .map(|(id, _)| *id)
        .collect()
}

/// Reads every file in a store's folder that has a commit's name.
fn read_commits(folder: &OwnedFd, store: Store, commits: &mut StoreCommits) -> io::Result<()> {
    for first in names_in(folder)? {
        if first.len() != 2 || !folders::is_folder(folder.as_fd(), &first)? {
            continue;
        }
        let Some(folder) = folders::find_from(folder.as_fd(), &first)? else {
            continue;
        };
        for rest in names_in(&folder)? {
            let Ok(id) = format!("{first}{rest}").parse() else {
                continue;
            };
            match read_commit(&folder, &rest, &Object::new(store, Kind::Commit, id))? {
                Some(node) => commits.ancestry.insert(id, node),
                None => commits.bad.push(id),
            }
        }
    }
    Ok(())
}

/// Reads a commit. `None`: the file is something else.
fn read_commit(folder: &OwnedFd, name: &str, object: &Object) -> io::Result<Option<CommitNode>> {
    let Some(file) = regular_file((folder.as_fd(), name))? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(MAX_COMMIT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(match check::check(object, &bytes) {
        Ok(ObjectContent::Commit(commit)) => Some(CommitNode::of(&commit)),
        _ => None,
    })
}

/// Merges a store that is in place into the same store that waits. Both exist if somebody made the
/// store anew after a restore broke off. Anything in it besides commits is moved aside with its
/// folder.
fn merge(folders: &TargetFolders, store: Store) -> io::Result<()> {
    let (staged, live) = (staged_store(store), live_store(store));
    let (above, name) = folders::split(&live);
    let Some(above) = folders.find(above)? else {
        return Ok(());
    };
    if folders.find(&staged)?.is_none() || !folders::is_folder(above.as_fd(), name)? {
        return Ok(());
    }
    let Some(there) = folders.find(&live)? else {
        return Ok(());
    };
    for first in names_in(&there)? {
        if first.len() == 2 && folders::is_folder(there.as_fd(), &first)? {
            merge_folder(folders, (&staged, &live), &first)?;
        }
    }
    match rustix::fs::unlinkat(&above, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {
            move_whole_aside(folders, (above.as_fd(), name), &live)
        }
        Err(error) => Err(error.into()),
    }
}

/// Merges one folder of a store, named by the first two digits of an id.
fn merge_folder(
    folders: &TargetFolders,
    (staged, live): (&str, &str),
    first: &str,
) -> io::Result<()> {
    let path = format!("{live}/{first}");
    let Some(from) = folders.find(&path)? else {
        return Ok(());
    };
    let to = folders.enter(&format!("{staged}/{first}"))?;
    for name in names_in(&from)? {
        if folders::stat(to.as_fd(), &name)?.is_some() {
            move_aside(folders, (from.as_fd(), &name), &format!("{path}/{name}"))?;
        } else {
            rustix::fs::renameat(&from, &name, &to, &name)?;
        }
    }
    remove_empty(folders, live, first)
}

fn move_commit(folders: &TargetFolders, object: &Object) -> io::Result<()> {
    let path = staging::staged_path(object);
    let (above, name) = folders::split(&path);
    if let Some(folder) = folders.find(above)? {
        move_aside(folders, (folder.as_fd(), name), &object.path())?;
    }
    Ok(())
}

fn remove_empty_folders(folders: &TargetFolders, store: Store) -> io::Result<()> {
    let staged = staged_store(store);
    let Some(folder) = folders.find(&staged)? else {
        return Ok(());
    };
    for first in names_in(&folder)? {
        remove_empty(folders, &staged, &first)?;
    }
    let (above, name) = folders::split(&staged);
    remove_empty(folders, above, name)
}
