//! Checks whether the objects of the databases' libraries are on disk.

use std::collections::{BTreeSet, HashSet};

use super::Report;
use super::source::UNREADABLE_NEXT;
use crate::causes;
use crate::database::{LibraryPointers, Oddity, Pointers};
use crate::object::{Kind, LibraryId, Object, Store};
use crate::seafile::check::ObjectContent;
use crate::seafile::discover::Installation;
use crate::seafile::folders::{ObjectFolders, StoreEntry};
use crate::source::databases::SeafileDatabase;
use crate::source::object_folders;
use crate::source::presence::{Expectations, Expected, Presence, Random, Sampling, look};
use crate::walk::{content_store, read_checked};

/// How many random objects are looked for.
const SAMPLES: usize = 20;
/// The most libraries that are named.
const MOST_NAMED: usize = 20;

/// Compares the databases' libraries with the objects on disk.
pub(super) fn objects(report: &mut Report, installation: &Installation) {
    let pointers = match pointers(installation) {
        Ok(pointers) => pointers,
        Err(text) => {
            let next = "mend what is wrong with the database first: nobody else knows which libraries there are";
            return report.bad("objects", format!("not looked at: {text}"), next);
        }
    };
    let (folders, unknown) = object_folders(installation, &pointers);
    for class in unknown {
        report.bad("objects", class, "look at the storage classes of seafile.conf");
    }
    unreadable(report, &pointers);
    if pointers.libraries.is_empty() {
        return no_library(report, &folders);
    }
    let with_head = pointers.libraries.iter().filter(|library| !library.heads.is_empty());
    let with_head: Vec<LibraryPointers> = with_head.cloned().collect();
    let presence = presence(&folders, &with_head);
    let mut lacking: BTreeSet<LibraryId> = presence.gone().into_keys().collect();
    lacking.extend(presence.missing_samples().iter().map(|sample| sample.library));
    let headless = pointers.libraries.iter().filter(|library| library.heads.is_empty());
    lacking.extend(headless.map(|library| library.id));
    let all = pointers.libraries.len();
    let have = format!("{} of {all} libraries have objects", all - lacking.len());
    if let Some(gone) = presence.alarm() {
        let roots: Vec<String> = gone.roots.iter().map(|root| root.display().to_string()).collect();
        let whereabouts = if roots.is_empty() {
            String::new()
        } else {
            format!(" (looked in {})", roots.join(", "))
        };
        report.bad(
            "objects",
            format!("{have}: is the disk mounted?{whereabouts}"),
            "mount it; if the objects are lost, do not run seaf-gc, and restore them from the last backup",
        );
    } else if lacking.is_empty() {
        report.ok(
            "objects",
            format!(
                "{all} of {all} libraries have objects: each newest commit is there, and {} random objects are readable",
                presence.sampled()
            ),
        );
    } else {
        report.bad(
            "objects",
            format!("{have}; something is missing of {}", names(&pointers, &lacking)),
            "`seawall verify` names what is lost; do not run seaf-gc before it is mended",
        );
    }
}

fn pointers(installation: &Installation) -> Result<Pointers, String> {
    let spool = tempfile::Builder::new()
        .prefix("seawall-doctor-")
        .tempdir()
        .map_err(|error| error.to_string())?;
    let database = SeafileDatabase::of(installation).map_err(|error| causes::chain(&error))?;
    database.pointers(spool.path()).map_err(|error| causes::chain(&error))
}

/// Names tables and rows of Seafile's own database that cannot be read.
fn unreadable(report: &mut Report, pointers: &Pointers) {
    let is_told = |report: &Report, table: &str| {
        let mut told = report.findings.iter();
        told.any(|finding| finding.text.contains(&format!("{table:?} cannot be read")))
    };
    let unreadable = pointers.oddities.iter().filter(|oddity| match oddity {
        Oddity::UnreadableTable { table, .. } => !is_told(report, table),
        Oddity::Unreadable { .. } => true,
        _ => false,
    });
    let lines: Vec<String> = unreadable.map(ToString::to_string).collect();
    for line in lines.iter().take(MOST_NAMED) {
        report.bad("database", line.clone(), UNREADABLE_NEXT);
    }
    if lines.len() > MOST_NAMED {
        let more = format!("… and {} more", lines.len() - MOST_NAMED);
        report.bad("database", more, UNREADABLE_NEXT);
    }
}

/// No row, and perhaps stores: then rows were lost, or these are another server's databases.
fn no_library(report: &mut Report, folders: &ObjectFolders) {
    let stores = folders.stores(Kind::Commit).unwrap_or_default();
    let stores =
        stores.iter().filter(|entry| matches!(entry, StoreEntry::Store(Store::Library(_))));
    match stores.count() {
        0 => {
            report.note(
                "objects",
                "the databases list no library, and there is none on disk",
                None,
            );
        }
        stores => report.bad(
            "objects",
            format!("the databases list no library, and {stores} lie on disk"),
            "are these the databases of this server? Were they made anew?",
        ),
    }
}

fn presence(folders: &ObjectFolders, libraries: &[LibraryPointers]) -> Presence {
    let filled: HashSet<Store> = libraries
        .iter()
        .filter(|library| has_content(folders, library))
        .map(content_store)
        .collect();
    let expectations = Expectations {
        holds: &|kind, store| kind == Kind::Fs && filled.contains(&store),
        is_known_lost: &|_| false,
    };
    let mut presence = look(folders, libraries, &expectations);
    let sampling = Sampling {
        folders,
        libraries: libraries.iter().map(|library| (library, 1)).collect(),
        back: false,
        judge: &|_| Expected::File(None),
    };
    // Seeded by the clock: the choice of objects need not be secret.
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    presence.sample(
        &sampling,
        &mut Random::new(now.as_secs() ^ u64::from(now.subsec_nanos())),
        SAMPLES,
    );
    let missing: Vec<_> = presence.missing_samples().to_vec();
    for sample in missing {
        presence.missed(sample.library, sample.object.kind);
    }
    presence
}

/// Whether a library's newest state has any file or folder. Reads its newest commit.
fn has_content(folders: &ObjectFolders, library: &LibraryPointers) -> bool {
    library.heads.iter().any(|head| {
        folders.places(Store::Library(library.id)).any(|store| {
            let head = Object::new(store, Kind::Commit, head.commit);
            matches!(read_checked(folders, &head), Ok(Ok((ObjectContent::Commit(commit), _))) if !commit.root.is_empty())
        })
    })
}

fn names(pointers: &Pointers, libraries: &BTreeSet<LibraryId>) -> String {
    let name = |id: &LibraryId| {
        let name = pointers.library(*id).and_then(|library| library.name.as_deref());
        name.map_or_else(|| id.to_string(), |name| format!("{name:?} ({id})"))
    };
    let mut names: Vec<String> = libraries.iter().take(MOST_NAMED).map(name).collect();
    if libraries.len() > MOST_NAMED {
        names.push(format!("{} more", libraries.len() - MOST_NAMED));
    }
    names.join(", ")
}
