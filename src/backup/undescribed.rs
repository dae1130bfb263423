//! Packs whose index is lost. Both the segment and the pack itself say what a pack holds. If
//! neither can be read, the pack counts as lost, and its objects are stored again (docs/design.md,
//! "What was stored and is lost").

use std::collections::HashMap;

use crate::host::Result;
use crate::host::catalog::{Catalog, SegmentRecord};
use crate::object::Sha256;
use crate::repository::names::PackKind;
use crate::repository::pack::{self, Contents};
use crate::repository::segment::Line;
use crate::repository::{self, Repository, index, reader};

/// A pack that nothing describes.
pub struct UndescribedPack {
    /// The kind of objects in it.
    pub kind: PackKind,
    /// Its name.
    pub name: Sha256,
    /// Why its own table of contents cannot be read.
    pub problem: String,
}

/// The lines of a segment's packs, in order: from the segment, or else from the packs. What a pack
/// says is kept in the catalog, so that it is read once. All packs are looked at, however many are
/// bad.
pub fn lines(
    repository: &Repository,
    catalog: &Catalog,
    segment: &SegmentRecord,
) -> Result<(Vec<Line>, Vec<UndescribedPack>)> {
    let mut old: HashMap<Sha256, Line> = match index::read_lines(repository, &segment.name) {
        Ok(lines) => lines.into_iter().map(|line| (line.pack, line)).collect(),
        Err(repository::Error::Backend(error)) if repository.is_out_of_reach(&error) => {
            return Err(error.into());
        }
        Err(_) => HashMap::new(),
    };
    let mut lines = Vec::new();
    let mut undescribed = Vec::new();
    for (kind, name) in &segment.packs {
        let known = match old.remove(name) {
            Some(line) => Some(line),
            None => catalog.described_line(name)?,
        };
        match known {
            Some(line) => lines.push(line),
            None => match contents(repository, *kind, name)? {
                Ok((contents, size)) => {
                    catalog.describe_pack(name, &contents)?;
                    lines.push(Line { pack: *name, kind: *kind, size, contents });
                }
                Err(problem) => {
                    undescribed.push(UndescribedPack { kind: *kind, name: *name, problem });
                }
            },
        }
    }
    Ok((lines, undescribed))
}

/// Reads what a pack says of its content, and its stored size. The inner error says why that cannot
/// be read.
fn contents(
    repository: &Repository,
    kind: PackKind,
    name: &Sha256,
) -> Result<std::result::Result<(Contents, u64), String>> {
    let read = reader::read_pack(repository, kind, name)
        .and_then(|(bytes, size)| Ok((pack::read_contents(&bytes)?.0, size)));
    match read {
        Ok(contents) => Ok(Ok(contents)),
        // If this host cannot open a pack, nothing else describes it.
        Err(
            error @ (repository::Error::Altered { .. }
            | repository::Error::Pack(_)
            | repository::Error::Locked { .. }),
        ) => Ok(Err(error.to_string())),
        Err(repository::Error::Backend(error)) if !repository.is_out_of_reach(&error) => {
            Ok(Err(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}
