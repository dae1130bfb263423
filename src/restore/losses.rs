//! Counts what is missing in the target because packs are lost or altered.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Error;
use super::folders;
use super::links::LinkCounts;
use super::packs::{PackTrouble, RestoreJob};
use super::places::ObjectPlaces;
use super::report::{LossKind, RestoreLoss};
use crate::object::Store;
use crate::repository::manifest::Manifest;
use crate::repository::names;
use crate::repository::pack::MemberPlace;
use crate::repository::segment::Line;

/// What bad packs cost.
#[derive(Debug, Default)]
pub struct PackLosses {
    /// Packs with objects that are nowhere else.
    pub lost: Vec<RestoreLoss>,
    /// Lines about bad packs because of which nothing is missing.
    pub warnings: Vec<String>,
}

/// Counts what each bad pack cost. Objects that an older pack had are no loss.
pub fn count(
    job: RestoreJob<'_>,
    manifest: &Manifest,
    troubles: &[PackTrouble],
) -> Result<PackLosses, Error> {
    let mut losses = PackLosses::default();
    for ((list, line), problem) in by_pack(troubles) {
        let lines = job.index.lines(list)?;
        let line = &lines[line];
        let (objects, stores) = missing(job, line)?;
        let repository = job.index.repository();
        let name = names::pack(line.kind, &line.pack, repository.seal()).to_string();
        if objects == 0 {
            losses.warnings.push(format!("{problem}: nothing is missing because of it"));
        } else {
            losses.lost.push(RestoreLoss {
                kind: LossKind::Pack,
                name,
                problem,
                objects: Some(objects),
                libraries: libraries(manifest, &stores),
            });
        }
    }
    Ok(losses)
}

/// Links whose bytes are lost, if there are any.
pub fn of_links(manifest: &Manifest, linked: &LinkCounts) -> Option<RestoreLoss> {
    (linked.lost > 0).then(|| RestoreLoss {
        kind: LossKind::Links,
        name: format!("{} links", linked.lost),
        problem: "what they lead to is lost".into(),
        objects: Some(linked.lost),
        libraries: libraries(manifest, &linked.lost_stores),
    })
}

fn by_pack(troubles: &[PackTrouble]) -> BTreeMap<(usize, usize), String> {
    let mut packs: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for trouble in troubles {
        let pack = packs.entry((trouble.list, trouble.line)).or_default();
        pack.push(&trouble.problem);
    }
    let text = |problems: Vec<&str>| match problems.as_slice() {
        [first, rest @ ..] if !rest.is_empty() => format!("{first}; and {} more", rest.len()),
        other => other.concat(),
    };
    packs.into_iter().map(|(pack, problems)| (pack, text(problems))).collect()
}

fn missing(job: RestoreJob<'_>, line: &Line) -> Result<(u64, BTreeSet<Store>), Error> {
    let mut places = ObjectPlaces::new(job.target.folders());
    let mut count = 0;
    let mut stores = BTreeSet::new();
    for member in &line.contents.members {
        if let MemberPlace::Data { .. } = member.place
            && !member.name.damaged
            && let Some(object) = job.survey.destination(&member.name.object)
        {
            let there = places.find(&object).and_then(|place| match place {
                Some((folder, name)) => Ok(folders::stat(folder, &name)?.is_some()),
                None => Ok(false),
            });
            if !there.map_err(job.target.failed(&object.path()))? {
                count += 1;
                stores.insert(object.store);
            }
        }
    }
    Ok((count, stores))
}

/// The libraries that live in these stores: their own, and virtual ones on top of them.
fn libraries(manifest: &Manifest, stores: &BTreeSet<Store>) -> Vec<String> {
    let mut ids = BTreeSet::new();
    for store in stores {
        if let Store::Library(id) = store {
            ids.insert(*id);
        }
    }
    for library in &manifest.libraries {
        let of_origin = library
            .origin
            .as_ref()
            .is_some_and(|origin| stores.contains(&Store::Library(origin.library)));
        if of_origin || stores.contains(&Store::Shared) {
            ids.insert(library.id);
        }
    }
    ids.iter().map(ToString::to_string).collect()
}
