//! Describes what a run found and stored, for the manifest and the marker.

use std::collections::{HashMap, HashSet};

use super::attempts::BackupAttempt;
use super::heads::DatabaseRollback;
use super::objects::{ObjectBackup, WalkedGroup};
use super::ordinary::StoredOrdinaryFiles;
use super::seal::MarkerSummary;
use super::shared::CountExtent;
use super::unreferenced::CopiedByListing;
use super::{BackupRun, Error, shared};
use crate::database::{LibraryPointers, LibraryState, Oddity, Pointers};
use crate::host::acceptances::Acceptances;
use crate::object::{Kind, LibraryId, Object, ObjectId, Store};
use crate::repository::configuration::FORMAT;
use crate::repository::manifest::{self, Damage, Manifest, count_objects};
use crate::repository::names::SnapshotId;
use crate::time::Timestamp;
use crate::walk::{Need, WalkFinding};

/// What the marker is made from.
pub struct DescribedRun {
    /// The manifest.
    pub manifest: Manifest,
    /// What else the marker says.
    pub summary: MarkerSummary,
}

/// Since which snapshot of this chain each object has been damaged in every snapshot. Damage is
/// known by its object: it is no news if one more library needs the object.
struct DamageFirstSeen {
    lost: HashMap<Object, SnapshotId>,
    of_source: HashMap<Object, SnapshotId>,
    now: SnapshotId,
}

impl DamageFirstSeen {
    fn new(base: Option<&Manifest>, now: SnapshotId) -> Self {
        let first = |damage: &[Damage]| {
            let mut first: HashMap<Object, SnapshotId> = HashMap::new();
            for known in damage {
                let seen = first.entry(known.object()).or_insert(known.first_seen);
                *seen = known.first_seen.min(*seen);
            }
            first
        };
        Self {
            lost: base.map(|base| first(&base.damage)).unwrap_or_default(),
            of_source: base.map(|base| first(&base.source_damage)).unwrap_or_default(),
            now,
        }
    }

    /// The first snapshot with this damage. If nobody has the object any more, that is new damage,
    /// even if the source alone had lost it before.
    fn of(&self, object: &Object, rescued: bool) -> SnapshotId {
        let of_source = rescued.then(|| self.of_source.get(object)).flatten();
        let known = self.lost.get(object).into_iter().chain(of_source);
        known.min().copied().unwrap_or(self.now)
    }
}

/// Makes a run's manifest, and the summary for its marker.
pub fn describe(
    run: &BackupRun<'_>,
    objects: &ObjectBackup<'_>,
    attempt: &BackupAttempt,
    leftovers: &CopiedByListing,
    ordinary: &StoredOrdinaryFiles,
    rolled_back: &DatabaseRollback,
) -> Result<DescribedRun, Error> {
    let first_seen = DamageFirstSeen::new(run.base(), run.prepared.snapshot);
    let mut damage = Vec::new();
    let mut source_damage = Vec::new();
    for walked in &attempt.walked {
        for library in &walked.libraries {
            let paths = objects.paths(walked, library)?;
            let mut told = HashSet::new();
            for finding in &walked.outcome.findings {
                let shown = paths.get(&finding.object);
                // What the origin lost is damage of a shared folder too, if the folder has paths to
                // it.
                if finding.library != library.id && shown.is_none() {
                    continue;
                }
                // History that was garbage-collected is no damage, even if the repository has it.
                if finding.need == Need::Required && told.insert(finding.object) {
                    let paths = shown.cloned().unwrap_or_default();
                    let entry = run.damage(finding, library.id, paths, &first_seen);
                    if finding.rescued {
                        source_damage.push(entry);
                    } else {
                        damage.push(entry);
                    }
                }
            }
        }
    }
    damage.extend(lost_by_database(&attempt.dumped.pointers, &first_seen));
    damage.sort_by_key(|damage| (damage.library, damage.object()));
    source_damage.sort_by_key(|damage: &Damage| (damage.library, damage.object()));
    run.mark_accepted(damage.iter_mut().chain(&mut source_damage));
    let libraries = run.libraries(objects, attempt, leftovers, &damage)?;
    let summary = MarkerSummary {
        incomplete: run.incomplete(attempt, leftovers, ordinary),
        damage: count_objects(&damage),
        accepted: count_objects(damage.iter().filter(|damage| damage.accepted.is_some())),
    };
    let manifest = Manifest {
        format: FORMAT,
        tool: concat!("seawall ", env!("CARGO_PKG_VERSION")).into(),
        snapshot: run.prepared.snapshot,
        started: run.prepared.snapshot.started(),
        source: run.source(ordinary),
        databases: attempt.dumped.databases.clone(),
        libraries,
        unreferenced: leftovers.stores.clone(),
        files: ordinary.groups.clone(),
        damage,
        source_damage,
        left_out: left_out(attempt, ordinary),
        warnings: [
            run.gone_warnings(attempt),
            rolled_back.lines(),
            run.warnings(attempt, leftovers, ordinary),
        ]
        .concat(),
    };
    Ok(DescribedRun { manifest, summary })
}

impl BackupRun<'_> {
    fn damage(
        &self,
        finding: &WalkFinding,
        library: LibraryId,
        paths: Vec<String>,
        first_seen: &DamageFirstSeen,
    ) -> Damage {
        let Object { store, kind, id } = finding.object;
        Damage {
            store,
            kind,
            id,
            library,
            reason: finding.trouble.word().into(),
            detail: finding.trouble.to_string(),
            paths,
            first_seen: first_seen.of(&finding.object, finding.rescued),
            kept: self.salvaged.kept(&finding.object),
            accepted: None,
        }
    }

    pub(super) fn mark_accepted<'d>(&self, damage: impl Iterator<Item = &'d mut Damage>) {
        let signed;
        let accepted = if let Some(accepted) = &self.options.accepted {
            accepted
        } else {
            signed = self.base().map(Acceptances::signed).unwrap_or_default();
            &signed
        };
        let now = self.context.clock.now();
        for damage in damage {
            let acceptance = accepted.of(damage).filter(|given| !given.is_over(now));
            damage.accepted = acceptance.cloned();
        }
    }

    fn source(&self, ordinary: &StoredOrdinaryFiles) -> manifest::Source {
        let installation = self.installation;
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        manifest::Source {
            path: text(&installation.top),
            host: self.context.host.into(),
            seafile_version: installation.program_version.clone(),
            pro: installation.pro,
            random_block_ids: crate::source::has_random_block_ids(installation),
            links: (installation.links.iter())
                .map(|link| (text(&link.path), text(&link.target)))
                .chain((ordinary.links.iter()).map(|link| (text(&link.path), text(&link.target))))
                .collect(),
            everything: self.options.everything,
            excludes: self.options.excludes.clone(),
        }
    }

    fn libraries(
        &self,
        objects: &ObjectBackup<'_>,
        attempt: &BackupAttempt,
        leftovers: &CopiedByListing,
        damage: &[Damage],
    ) -> Result<Vec<manifest::Library>, Error> {
        let mut walked_by: HashMap<LibraryId, &WalkedGroup> = HashMap::new();
        for walked in &attempt.walked {
            walked_by.extend(walked.libraries.iter().map(|library| (library.id, walked)));
        }
        let mut damaged: HashMap<LibraryId, u64> = HashMap::new();
        for damage in damage {
            *damaged.entry(damage.library).or_default() += 1;
        }
        let guests = shared::guests(&attempt.dumped.pointers.libraries);
        let describe = |library: &LibraryPointers| {
            let walked = walked_by.get(&library.id).copied();
            let damaged = damaged.get(&library.id).copied().unwrap_or_default();
            let described = self.library(objects, library, walked, damaged)?;
            let before = self.base().and_then(|base| base.library(library.id));
            let count = self.count(library);
            Ok(manifest::Library {
                counts: shared::counts(objects, library, &guests, before, count)?,
                listed: leftovers.cut_off.get(&library.id).cloned(),
                ..described
            })
        };
        attempt.dumped.pointers.libraries.iter().map(describe).collect()
    }

    fn library(
        &self,
        objects: &ObjectBackup<'_>,
        library: &LibraryPointers,
        walked: Option<&WalkedGroup>,
        damage: u64,
    ) -> Result<manifest::Library, Error> {
        let before = self.base().and_then(|base| base.library(library.id));
        let store = Store::Library(library.id);
        let open = |commit: ObjectId, store| {
            let head = Object::new(store, Kind::Commit, commit);
            walked
                .and_then(|walked| walked.closure.as_ref())
                .is_some_and(|closure| closure.is_open(&head))
        };
        let base_open = library.origin.as_ref().is_some_and(|origin| {
            origin.base_commit.is_some_and(|base| open(base, Store::Library(origin.library)))
        });
        let heads_open = library.heads.iter().any(|head| open(head.commit, store));
        let voided = objects.catalog.is_voided(store)?;
        let gone_before = before.filter(|_| !voided).map_or(0, |before| before.history_incomplete);
        Ok(manifest::Library {
            id: library.id,
            name: library.name.clone(),
            owner: library.owner.clone(),
            state: match library.state {
                LibraryState::Live => manifest::LibraryUse::Live,
                LibraryState::Trashed { .. } => manifest::LibraryUse::Trash,
            },
            heads: library.heads.iter().map(|head| (head.branch.clone(), head.commit)).collect(),
            origin: library.origin.as_ref().map(|origin| manifest::ManifestOrigin {
                library: origin.library,
                path: origin.path.clone(),
                base_commit: origin.base_commit,
            }),
            encrypted: library.encrypted,
            valid_since: library.valid_since,
            history_days: library.history_days,
            head_time: head_time(objects, library, before),
            counts: manifest::Counts::default(),
            closed: match library.state {
                LibraryState::Live => walked.is_some() && !heads_open && !base_open,
                // Only the head of a trashed library is required. Gaps in its history do not count
                // here, but leave it open for the walk.
                LibraryState::Trashed { .. } => walked.is_some() && damage == 0,
            },
            history_incomplete: gone_before
                + walked.map_or(0, |walked| history_gone(walked, library.id)),
            damage,
            listed: None,
            audited: walked.and_then(|_| self.audited(library)),
        })
    }

    /// How a library in the shared store is counted. The cost follows what this run looks at.
    fn count(&self, library: &LibraryPointers) -> CountExtent {
        let audited = self.audited.as_ref();
        if self.source_is_gone() {
            CountExtent::Nothing
        } else if self.is_full() || !self.prepared.alarms.is_empty() {
            CountExtent::Again
        } else if audited.is_some_and(|audited| audited.contains(&library.id)) {
            CountExtent::All
        } else {
            CountExtent::New
        }
    }

    /// What should be in the backup and is missing there, one word each.
    fn incomplete(
        &self,
        attempt: &BackupAttempt,
        leftovers: &CopiedByListing,
        ordinary: &StoredOrdinaryFiles,
    ) -> Vec<String> {
        let mut words = Vec::new();
        let mut add = |is: bool, word: &str| {
            if is && !words.iter().any(|known| known == word) {
                words.push(word.to_owned());
            }
        };
        let of_files = ordinary.warnings.iter();
        for word in of_files.filter_map(|warning| warning.kind.incomplete_word()) {
            add(true, word);
        }
        add(self.source_is_gone(), manifest::SOURCE_GONE);
        add(
            attempt.dumped.databases.iter().any(|database| !database.integrity.is_empty()),
            "database-damaged",
        );
        let oddities = &attempt.dumped.pointers.oddities;
        let unreadable = oddities.iter().any(|oddity| {
            matches!(oddity, Oddity::Unreadable { .. } | Oddity::UnreadableTable { .. })
        });
        add(unreadable, "rows-unreadable");
        add(!leftovers.unreadable.is_empty(), "stores-unreadable");
        add(leftovers.has_damage(), "stores-damaged");
        for word in self.installation.incomplete_words() {
            add(true, word);
        }
        words
    }

    fn warnings(
        &self,
        attempt: &BackupAttempt,
        leftovers: &CopiedByListing,
        ordinary: &StoredOrdinaryFiles,
    ) -> Vec<String> {
        let installation = self.installation.warnings.iter();
        let mut lines: Vec<String> = installation.map(ToString::to_string).collect();
        if let Some(other) =
            self.base().filter(|base| base.source.path != self.source(ordinary).path)
        {
            lines.push(format!(
                "the last snapshot of this host was of {}: if that is another installation, give each one a state folder of its own",
                other.source.path
            ));
        }
        let alarms = self.prepared.alarms.iter().chain(&ordinary.alarms);
        lines.extend(alarms.cloned());
        for database in
            attempt.dumped.databases.iter().filter(|database| !database.integrity.is_empty())
        {
            lines.push(format!("database {}: {}", database.role, database.integrity.join("; ")));
        }
        lines.extend(attempt.dumped.notes.iter().cloned());
        let oddities = attempt.dumped.pointers.oddities.iter();
        lines.extend(oddities.take(100).map(Oddity::to_string));
        for walked in &attempt.walked {
            lines.extend(walked.outcome.warning_lines());
        }
        lines.extend(cut_off_lines(&attempt.dumped.pointers, leftovers));
        let bad = leftovers.bad.iter().take(100);
        lines.extend(bad.map(|(object, trouble)| format!("unreferenced {object}: {trouble}")));
        lines.extend(leftovers.unreadable.iter().take(100).cloned());
        let files = ordinary.warnings.iter();
        lines.extend(files.map(|warning| format!("{}: {}", warning.path.display(), warning.kind)));
        lines
    }
}

/// Damage of libraries for which the database no longer says where their data is. No object can be
/// named; the empty commit id in their own store stands for it.
fn lost_by_database(pointers: &Pointers, first_seen: &DamageFirstSeen) -> Vec<Damage> {
    let no_head =
        pointers.libraries.iter().filter(|library| library.heads.is_empty()).map(|library| {
            let detail = "the database names no head commit; the store is copied whole".to_owned();
            (library.id, "no-head", detail)
        });
    let no_origin = pointers.oddities.iter().filter_map(|oddity| match oddity {
        Oddity::NoOrigin { library, origin } => {
            let detail =
                format!("it is a folder of library {origin}, which the database does not have");
            Some((*library, "no-origin", detail))
        }
        _ => None,
    });
    let damage = |(library, reason, detail): (LibraryId, &str, String)| {
        let object = Object::new(Store::Library(library), Kind::Commit, ObjectId::EMPTY);
        Damage {
            store: object.store,
            kind: object.kind,
            id: object.id,
            library,
            reason: reason.into(),
            detail,
            paths: Vec::new(),
            first_seen: first_seen.of(&object, false),
            kept: None,
            accepted: None,
        }
    };
    no_head.chain(no_origin).map(damage).collect()
}

/// Lines about what was copied by listing from libraries that a loss cuts something off from.
fn cut_off_lines(pointers: &Pointers, leftovers: &CopiedByListing) -> Vec<String> {
    let line = |(id, listed): (&LibraryId, &manifest::ListedObjects)| {
        let name = pointers.library(*id).and_then(|known| known.name.as_deref());
        let newest = listed.newest.map_or_else(
            || "none of its commits can be read".to_owned(),
            |(commit, time)| {
                let time = Timestamp::from_seconds(time).map(|time| format!(" of {time}"));
                let time = time.unwrap_or_default();
                format!("the newest commit that can be read is {commit}{time}")
            },
        );
        format!(
            "library {id} ({}): {} objects were taken by listing, without a head that leads to them; {newest}",
            name.unwrap_or("-"),
            listed.objects
        )
    };
    leftovers.cut_off.iter().map(line).collect()
}

fn left_out(attempt: &BackupAttempt, ordinary: &StoredOrdinaryFiles) -> Vec<manifest::LeftOut> {
    let others = attempt.dumped.others.iter();
    let others = others.map(|name| manifest::LeftOut {
        path: format!("database {name}"),
        reason: "on the same server, and not the installation's by its configuration".into(),
    });
    ordinary.left_out.iter().cloned().chain(others).collect()
}

/// The time of a library's last change: as in the base if its heads are the same, otherwise read
/// from the heads again.
fn head_time(
    objects: &ObjectBackup<'_>,
    library: &LibraryPointers,
    before: Option<&manifest::Library>,
) -> Option<i64> {
    let same = before.filter(|before| {
        before
            .heads
            .iter()
            .map(|(_, commit)| commit)
            .eq(library.heads.iter().map(|head| &head.commit))
    });
    if let Some(time) = same.and_then(|before| before.head_time) {
        return Some(time);
    }
    let store = Store::Library(library.id);
    let heads = library.heads.iter().map(|head| Object::new(store, Kind::Commit, head.commit));
    heads.filter_map(|head| objects.commit_time(head)).max()
}

fn history_gone(walked: &WalkedGroup, library: LibraryId) -> u64 {
    let gone = walked.outcome.findings.iter().filter(|finding| {
        finding.library == library && finding.need == Need::Optional && !finding.rescued
    });
    gone.count() as u64
}
