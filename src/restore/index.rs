//! Reads the lists of a snapshot and their segments. What is missing or altered is reported as
//! lost, and everything else is used.

use std::ops::Range;
use std::sync::Arc;

use super::error::{Error, loss};
use super::report::{LossKind, RestoreLoss};
use super::survey::{IndexSurvey, WantedStores};
use crate::object::Sha256;
use crate::repository::bounded::MAX_STORED_BYTES;
use crate::repository::index::List;
use crate::repository::manifest::Manifest;
use crate::repository::marker::Named;
use crate::repository::names::{self, PackKind};
use crate::repository::pack::{self, Contents, MemberPlace};
use crate::repository::remains::Remains;
use crate::repository::segment::Line;
use crate::repository::{self, Repository, Snapshot, reader};

/// How many members are kept in memory, and how many make one batch. A member takes about 100
/// bytes.
const BATCH_MEMBERS: usize = 300_000;

/// Every list of a snapshot that can be read.
#[derive(Debug)]
pub struct RestoreIndex<'a> {
    repository: &'a Repository,
    lists: Vec<ListWithLines>,
    /// How many members the kept lines have.
    kept: usize,
    /// Lists and packs that could not be read.
    pub lost: Vec<RestoreLoss>,
    /// What the administrator should know.
    pub warnings: Vec<String>,
}

#[derive(Debug)]
struct ListWithLines {
    list: List,
    /// `None`: read again when needed.
    lines: Option<Arc<Vec<Line>>>,
    members: usize,
    has_links: bool,
}

impl<'a> RestoreIndex<'a> {
    /// Reads all lists and their segments once.
    pub fn read(
        repository: &'a Repository,
        snapshot: &Snapshot,
        manifest: &Manifest,
    ) -> Result<(Self, IndexSurvey), Error> {
        let mut index =
            Self { repository, lists: Vec::new(), kept: 0, lost: Vec::new(), warnings: Vec::new() };
        let mut survey = IndexSurvey::new(WantedStores::of(manifest));
        for named in &snapshot.marker.lists {
            index.read_list(named, &mut survey)?;
        }
        if survey.resolve() {
            for number in 0..index.len() {
                let lines = index.lines(number)?;
                for line in lines.iter() {
                    survey.take_moved(line);
                }
            }
        }
        Ok((index, survey))
    }

    fn read_list(&mut self, named: &Named, survey: &mut IndexSurvey) -> Result<(), Error> {
        let list = match List::read(self.repository, named) {
            Ok(list) => list,
            Err(error) => {
                let problem = loss(self.repository, error)?;
                self.lose(LossKind::List, named.key.to_string(), problem);
                return Ok(());
            }
        };
        let (lines, is_index) = match list.read_segment(self.repository) {
            Ok((_, lines, _)) => (lines, true),
            Err(error) => (self.read_packs(&list, error)?, false),
        };
        for line in &lines {
            survey.take(line);
        }
        let members = lines.iter().map(|line| line.contents.members.len()).sum();
        let keep = !is_index || self.kept + members <= BATCH_MEMBERS;
        if keep {
            self.kept += members;
        }
        let is_link = |member: &pack::Member| matches!(member.place, MemberPlace::Link { .. });
        self.lists.push(ListWithLines {
            list,
            members,
            has_links: lines.iter().any(|line| line.contents.members.iter().any(is_link)),
            lines: keep.then(|| Arc::new(lines)),
        });
        Ok(())
    }

    /// Reads the lines of a list whose segment is lost. The list still names its packs, and each
    /// pack has a table of contents.
    fn read_packs(&mut self, list: &List, error: repository::Error) -> Result<Vec<Line>, Error> {
        let problem = loss(self.repository, error)?;
        self.warnings.push(format!(
            "a segment cannot be used ({problem}); its packs were read for what they hold"
        ));
        let mut lines = Vec::new();
        for (kind, name) in &list.packs {
            match read_line(self.repository, *kind, name) {
                Ok(line) => lines.push(line),
                Err(error) => {
                    let problem = loss(self.repository, error)?;
                    let key = names::pack(*kind, name, self.repository.seal());
                    self.lose(LossKind::Pack, key.to_string(), problem);
                }
            }
        }
        Ok(lines)
    }

    fn lose(&mut self, kind: LossKind, name: String, problem: String) {
        self.lost.push(RestoreLoss { kind, name, problem, objects: None, libraries: Vec::new() });
    }

    /// The repository that holds the packs.
    pub fn repository(&self) -> &'a Repository {
        self.repository
    }

    /// The number of lists.
    pub fn len(&self) -> usize {
        self.lists.len()
    }

    /// Whether a list has links.
    pub fn has_links(&self, number: usize) -> bool {
        self.lists[number].has_links
    }

    /// The lines of a list, read again if they are not kept.
    pub fn lines(&self, number: usize) -> Result<Arc<Vec<Line>>, Error> {
        let listed = &self.lists[number];
        match &listed.lines {
            Some(lines) => Ok(Arc::clone(lines)),
            None => Ok(Arc::new(listed.list.read_segment(self.repository)?.1)),
        }
    }

    /// The lists in groups whose lines fit into memory together. The last lists come first: what
    /// was stored later wins.
    pub fn batches(&self) -> Vec<Range<usize>> {
        let mut batches = Vec::new();
        let mut end = self.lists.len();
        let mut members = 0;
        for (number, listed) in self.lists.iter().enumerate().rev() {
            if members > 0 && members + listed.members > BATCH_MEMBERS {
                batches.push(number + 1..end);
                (end, members) = (number + 1, 0);
            }
            members += listed.members;
        }
        batches.push(0..end);
        batches
    }
}

fn read_line(
    repository: &Repository,
    kind: PackKind,
    name: &Sha256,
) -> Result<Line, repository::Error> {
    let (contents, size) = match reader::read_pack(repository, kind, name) {
        Ok((bytes, size)) => (pack::read_contents(&bytes)?.0, size),
        Err(error) => {
            let contents = remaining_contents(repository, kind, name)?;
            contents.ok_or(error)?
        }
    };
    Ok(Line { pack: *name, kind, size, contents })
}

/// The table of contents of a damaged pack, if it can be read, and the size of the pack now. Each
/// object in it is checked against its own id.
fn remaining_contents(
    repository: &Repository,
    kind: PackKind,
    name: &Sha256,
) -> Result<Option<(Contents, u64)>, repository::Error> {
    let Some(remains) = Remains::fetch(repository, kind, name, MAX_STORED_BYTES)? else {
        return Ok(None);
    };
    let contents = pack::read_contents(&remains.with_gaps());
    Ok(contents.ok().map(|(contents, _)| (contents, remains.size())))
}
