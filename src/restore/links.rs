//! Makes hard links for objects that share their bytes with another library's. They are made once
//! all objects with bytes of their own are there.

use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::error::Error;
use super::folders::{self, TargetFolders};
use super::packs::{RestoreJob, TargetContent};
use super::places::ObjectPlaces;
use super::writer::{OBJECT_MODE, is_whole};
use crate::object::{Object, Store};
use crate::repository::manifest::Counts;
use crate::repository::pack::MemberPlace;
use crate::repository::segment::Line;

/// How many links were made, were there, or are lost.
#[derive(Debug, Default)]
pub struct LinkCounts {
    /// Links made.
    pub links: u64,
    /// Copies made where the file system takes no link.
    pub copies: u64,
    /// Links that were there already.
    pub present: Counts,
    /// Links whose bytes are lost.
    pub lost: u64,
    /// Stores that lost them.
    pub lost_stores: std::collections::BTreeSet<Store>,
}

/// Makes every wanted link, in the order of the lists: a link may lead to an earlier link.
pub fn make(job: RestoreJob<'_>) -> Result<LinkCounts, Error> {
    let mut linker = HardLinker {
        job,
        objects: ObjectPlaces::new(job.target.folders()),
        targets: ObjectPlaces::new(job.target.folders()),
        linked: LinkCounts::default(),
    };
    for list in 0..job.index.len() {
        if job.index.has_links(list) {
            let lines = job.index.lines(list)?;
            lines.iter().try_for_each(|line| linker.line(line))?;
        }
    }
    Ok(linker.linked)
}

struct HardLinker<'a> {
    job: RestoreJob<'a>,
    objects: ObjectPlaces<'a>,
    targets: ObjectPlaces<'a>,
    linked: LinkCounts,
}

enum LinkOutcome {
    Linked,
    Copied,
    Present,
    Lost,
}

impl HardLinker<'_> {
    fn line(&mut self, line: &Line) -> Result<(), Error> {
        for member in &line.contents.members {
            let object = member.name.object;
            if let MemberPlace::Link { target } = member.place
                && let Some(target) = self.job.survey.link_target(&object, target)
                && target != object
            {
                let outcome =
                    self.link(&object, &target).map_err(self.job.target.failed(&object.path()))?;
                self.count(&object, &outcome);
            }
        }
        Ok(())
    }

    fn count(&mut self, object: &Object, outcome: &LinkOutcome) {
        match outcome {
            LinkOutcome::Linked => self.linked.links += 1,
            LinkOutcome::Copied => self.linked.copies += 1,
            LinkOutcome::Present => self.linked.present.add(object.kind, 0),
            LinkOutcome::Lost => {
                self.linked.lost += 1;
                self.linked.lost_stores.insert(object.store);
            }
        }
    }

    fn link(&mut self, object: &Object, target: &Object) -> io::Result<LinkOutcome> {
        let folders = self.job.target.folders();
        let (folder, name) = self.objects.make(object)?;
        if self.job.there == TargetContent::Unproved
            && is_whole(folders, folder, &name, object, None)?
        {
            return Ok(LinkOutcome::Present);
        }
        if self.job.there == TargetContent::Completed && folders::stat(folder, &name)?.is_some() {
            return Ok(LinkOutcome::Present);
        }
        let from = self.targets.find(target)?;
        let Some((from, from_name)) = from else {
            return lost_unless_there(folder, &name);
        };
        match rustix::fs::linkat(from, &from_name, folder, &name, AtFlags::empty()) {
            Ok(()) => Ok(LinkOutcome::Linked),
            // Its own bytes were in another pack.
            Err(Errno::EXIST) => Ok(LinkOutcome::Present),
            Err(Errno::NOENT) => lost_unless_there(folder, &name),
            Err(Errno::MLINK | Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {
                copy(folders, (from, &from_name), (folder, &name))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn lost_unless_there(folder: BorrowedFd<'_>, name: &str) -> io::Result<LinkOutcome> {
    let there = folders::stat(folder, name)?.is_some();
    Ok(if there { LinkOutcome::Present } else { LinkOutcome::Lost })
}

fn copy(
    folders: &TargetFolders,
    (from, from_name): (BorrowedFd<'_>, &str),
    (folder, name): (BorrowedFd<'_>, &str),
) -> io::Result<LinkOutcome> {
    let mut bytes = Vec::new();
    folders::open_file(from, from_name)?.read_to_end(&mut bytes)?;
    let is_new = folders.put_object(folder, name, OBJECT_MODE, &bytes)?;
    Ok(if is_new { LinkOutcome::Copied } else { LinkOutcome::Present })
}
