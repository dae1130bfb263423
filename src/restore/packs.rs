//! Fetches packs, each once and several at a time, and writes the objects in them.
//!
//! Memory: one pack and one frame for each worker. Packs of one batch are independent: an object
//! that is there several times is taken from its last place only. Later batches hold older packs,
//! and do not replace what is there.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::error::Error;
use super::index::RestoreIndex;
use super::survey::IndexSurvey;
use super::target::RestoreTarget;
use super::writer::ObjectWriter;
use crate::object::Object;
use crate::repository::manifest::Counts;
use crate::repository::pack::MemberPlace;
use crate::repository::segment::Line;

/// What may be in the target already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetContent {
    /// Nothing.
    Nothing,
    /// Objects that an unfinished restore left: each is believed once it is proved.
    Unproved,
    /// Objects that a finished restore made: each is believed if it has the right length.
    Completed,
    /// Objects that this restore wrote.
    Ours,
}

/// What the workers share.
#[derive(Clone, Copy)]
pub struct RestoreJob<'a> {
    /// Where packs are, and what they hold.
    pub index: &'a RestoreIndex<'a>,
    /// Which objects are wanted.
    pub survey: &'a IndexSurvey,
    /// Where they are written.
    pub target: &'a RestoreTarget,
    /// What may be there already.
    pub there: TargetContent,
    /// Blocks may have ids that prove nothing.
    pub random_block_ids: bool,
}

/// One pack, and which of its members to write.
pub struct PackTask {
    /// The list that names it.
    pub list: usize,
    /// The position of its line among those of the list.
    pub line: usize,
    /// The list's lines.
    pub lines: Arc<Vec<Line>>,
    /// Members with bytes that are wanted, in their order.
    pub members: Vec<u32>,
}

impl PackTask {
    /// The pack's line.
    pub fn line(&self) -> &Line {
        &self.lines[self.line]
    }
}

/// A problem with a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackTrouble {
    /// The list that names it.
    pub list: usize,
    /// The position of its line among those of the list.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// What workers did.
#[derive(Debug, Default)]
pub struct RestoredObjects {
    /// Objects written.
    pub written: Counts,
    /// Objects that were there already.
    pub present: Counts,
    /// Blocks whose id proves nothing.
    pub unverifiable: u64,
    /// Objects that came from bad packs.
    pub remains: Counts,
    /// Problems with packs.
    pub troubles: Vec<PackTrouble>,
}

impl RestoredObjects {
    fn join(&mut self, other: Self) {
        self.written.join(other.written);
        self.present.join(other.present);
        self.unverifiable += other.unverifiable;
        self.remains.join(other.remains);
        self.troubles.extend(other.troubles);
    }
}

/// Restores every object that has bytes of its own.
pub fn restore(
    job: RestoreJob<'_>,
    workers: usize,
    progress: &dyn Fn(&str),
) -> Result<RestoredObjects, Error> {
    let mut done = RestoredObjects::default();
    let mut counter = PackProgress { all: job.survey.needs.packs, seen: 0, progress };
    for batch in job.index.batches() {
        let tasks = tasks(job, batch, &HashSet::new())?;
        done.join(run_workers(job, workers, tasks, &mut counter)?);
    }
    if !done.troubles.is_empty() {
        done.join(search_elsewhere(job, workers, &done.troubles, &mut counter)?);
    }
    done.troubles.sort_by_key(|trouble| (trouble.list, trouble.line));
    Ok(done)
}

/// Searches other packs for what a bad pack should have given: an older one may have it too.
fn search_elsewhere(
    job: RestoreJob<'_>,
    workers: usize,
    troubles: &[PackTrouble],
    counter: &mut PackProgress<'_>,
) -> Result<RestoredObjects, Error> {
    let bad: HashSet<_> = troubles.iter().map(|trouble| (trouble.list, trouble.line)).collect();
    let job = RestoreJob { there: TargetContent::Ours, ..job };
    let mut done = RestoredObjects::default();
    counter.seen = 0;
    for batch in job.index.batches() {
        let tasks = tasks(job, batch, &bad)?;
        done.join(run_workers(job, workers, tasks, counter)?);
    }
    Ok(done)
}

/// Reports the progress now and then.
struct PackProgress<'a> {
    all: u64,
    seen: u64,
    progress: &'a dyn Fn(&str),
}

impl PackProgress<'_> {
    fn next(&mut self) {
        let step = (self.all / 50).max(1);
        if self.seen.is_multiple_of(step) {
            (self.progress)(&format!("restoring pack {} of {}", self.seen + 1, self.all));
        }
        self.seen += 1;
    }
}

/// The packs of a batch. If an object is there twice, only its last place counts.
fn tasks(
    job: RestoreJob<'_>,
    batch: Range<usize>,
    without: &HashSet<(usize, usize)>,
) -> Result<Vec<PackTask>, Error> {
    let mut seen = HashSet::new();
    let mut tasks = Vec::new();
    for list in batch.rev() {
        let lines = job.index.lines(list)?;
        for line in (0..lines.len()).rev() {
            if without.contains(&(list, line)) {
                continue;
            }
            let is_new = |object| job.there == TargetContent::Ours || seen.insert(object);
            let members = members(job.survey, &lines[line], is_new);
            tasks.push(PackTask { list, line, lines: Arc::clone(&lines), members });
        }
    }
    // The longest tasks come first, so that no worker is left alone with one at the end.
    tasks.sort_by_key(|task| Reverse(task.members.len()));
    Ok(tasks)
}

fn members(survey: &IndexSurvey, line: &Line, mut is_new: impl FnMut(Object) -> bool) -> Vec<u32> {
    let mut members = Vec::new();
    for (number, member) in (0..).zip(&line.contents.members) {
        if matches!(member.place, MemberPlace::Data { .. })
            && !member.name.damaged
            && let Some(destination) = survey.destination(&member.name.object)
            && is_new(destination)
        {
            members.push(number);
        }
    }
    members
}

fn run_workers(
    job: RestoreJob<'_>,
    workers: usize,
    tasks: Vec<PackTask>,
    counter: &mut PackProgress<'_>,
) -> Result<RestoredObjects, Error> {
    let stop = AtomicBool::new(false);
    let (sender, receiver) = bounded(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers.clamp(1, tasks.len().max(1)))
            .map(|_| {
                let (receiver, stop) = (receiver.clone(), &stop);
                scope.spawn(move || work(job, &receiver, stop))
            })
            .collect();
        drop(receiver);
        feed(tasks, &sender, &stop, counter);
        drop(sender);
        let mut done = Ok(RestoredObjects::default());
        for thread in threads {
            let result = thread.join().unwrap_or(Err(Error::Worker));
            done = match (done, result) {
                (Ok(mut done), Ok(more)) => {
                    done.join(more);
                    Ok(done)
                }
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
        }
        done
    })
}

fn feed(
    tasks: Vec<PackTask>,
    sender: &Sender<PackTask>,
    stop: &AtomicBool,
    counter: &mut PackProgress<'_>,
) {
    for task in tasks {
        counter.next();
        // If sending fails, every worker has ended, and one of them says why.
        if stop.load(Ordering::Relaxed) || sender.send(task).is_err() {
            return;
        }
    }
}

fn work(
    job: RestoreJob<'_>,
    tasks: &Receiver<PackTask>,
    stop: &AtomicBool,
) -> Result<RestoredObjects, Error> {
    let mut writer = ObjectWriter::new(job);
    for task in tasks {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if let Err(error) = writer.pack(&task) {
            stop.store(true, Ordering::Relaxed);
            return Err(error);
        }
    }
    Ok(writer.done)
}
