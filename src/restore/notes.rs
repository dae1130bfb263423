//! `RESTORE-NOTES.txt`: what an administrator has to know before the restored server is started.
//! Plain text of at most 78 columns, to be read at night.

use std::fmt::Write as _;

use super::history::DamagePlaces;
use super::next::{NextCommands, has_sql, verified};
use super::old_host;
use super::page::{NotesPage, plain};
use super::report::{Report, RestoreLoss};
use super::{Options, Scope, steps};
use crate::repository::manifest::{Damage, Library, LibraryUse, Manifest};
use crate::repository::{Repository, Snapshot};
use crate::time::Timestamp;
use crate::units::count;

/// The file's name in the target.
pub const NOTES: &str = "RESTORE-NOTES.txt";

/// How many damaged paths, and how many configuration lines, are written out.
const MAX_LINES: usize = 200;

/// What the notes are made from.
pub struct RestoreNotes<'a> {
    /// The repository that the restore read.
    pub repository: &'a Repository,
    /// The snapshot that was restored.
    pub snapshot: &'a Snapshot,
    /// The snapshot's manifest.
    pub manifest: &'a Manifest,
    /// What was asked for.
    pub options: &'a Options,
    /// What was done.
    pub report: &'a Report,
    /// Configuration that names the old host.
    pub old_host: &'a [old_host::OldHostLine],
    /// Files that were backed up besides the installation.
    pub extra: &'a [String],
    /// Where damage shows that has no path in the newest state.
    pub history: &'a DamagePlaces,
    /// What to run next.
    pub commands: &'a NextCommands,
}

impl RestoreNotes<'_> {
    /// The whole text.
    pub fn text(&self) -> String {
        let mut page = NotesPage::default();
        self.head(&mut page);
        self.missing(&mut page);
        self.clients(&mut page);
        self.libraries(&mut page);
        self.new_host(&mut page);
        steps::to_load(
            &mut page,
            self.manifest,
            &self.report.databases,
            &self.commands.import,
            self.options.loads_databases,
        );
        self.owner(&mut page);
        self.next(&mut page);
        page.finish()
    }

    fn head(&self, page: &mut NotesPage) {
        let Manifest { source, .. } = self.manifest;
        let signed_by = self.snapshot.signed_by.key();
        page.line("NOTES ON THIS RESTORE");
        page.line("");
        page.paragraph(
            "seawall restored this folder from a backup. Read this before Seafile is started; \
             remove the file when everything is done.",
        );
        page.field("repository", self.repository.place());
        page.field("", &format!("id {}", self.repository.id().as_str()));
        page.field("snapshot", &self.snapshot.id().to_string());
        page.field("state of", &moment(self.manifest.started));
        page.field("signed by", &format!("{}+{}", signed_by.name(), signed_by.id()));
        if !self.snapshot.signed_by.is_pinned() {
            page.field("", "this key is NOT pinned: nothing proves who made the backup");
        }
        page.field("old place", &format!("{} on {}", source.path, source.host));
        let edition = if source.random_block_ids { "Professional " } else { "" };
        let version = source.seafile_version.as_deref().unwrap_or("of an unknown version");
        page.field("written by", &format!("Seafile {edition}{version}"));
        match self.options.scope {
            Scope::Everything => {}
            Scope::Data => page.field("restored", "data only: NO DATABASES are in place"),
            Scope::Databases => page.field("restored", "databases only: NO DATA is here"),
        }
        page.line("");
    }

    fn missing(&self, page: &mut NotesPage) {
        let Report { lost, damage, salvaged, warnings, .. } = self.report;
        page.title("What is missing");
        if lost.is_empty() && *damage == 0 && warnings.is_empty() {
            page.paragraph(match self.options.scope {
                Scope::Everything if self.report.completed => {
                    "Nothing. New objects were checked by their ids, databases and files by their SHA-256. Objects \
                     that were here before were taken by name and length: the verification below proves them."
                }
                Scope::Everything => {
                    "Nothing: every object was checked by its id, databases and files by their SHA-256."
                }
                Scope::Data => {
                    "Nothing of the data: every object was checked by its id, files by their SHA-256. \
                     The databases were not asked for, and are not here."
                }
                Scope::Databases => {
                    "Nothing of the databases: each was checked by its SHA-256. Objects and files were \
                     not asked for, and are not here."
                }
            });
        }
        for lost in lost {
            page.item(&self.lost_text(lost));
        }
        if !lost.is_empty() {
            page.line("");
            page.paragraph(
                "The repository lost what is listed here. Another snapshot may still have it.",
            );
            self.lost_files(page);
        }
        if *damage > 0 {
            let were = count(*damage, "object was", "objects were");
            let left = match *salvaged {
                0 => String::new(),
                1 => " (one left bad bytes, which are kept in the repository)".into(),
                some => format!(" ({some} left bad bytes, which are kept in the repository)"),
            };
            page.paragraph(&format!(
                "{were} lost on the old server already when the backup was made{left}. \
                 These files are hit:"
            ));
            self.damaged_paths(page);
        }
        for warning in warnings.iter().take(MAX_LINES) {
            page.item(warning);
        }
        if !warnings.is_empty() {
            page.line("");
        }
        if !self.snapshot.marker.incomplete.is_empty() {
            let words = self.snapshot.marker.incomplete.join(", ");
            page.paragraph(&format!("The backup itself calls itself incomplete: {words}."));
        }
    }

    fn lost_text(&self, lost: &RestoreLoss) -> String {
        let count = match lost.objects {
            Some(lost) => format!(", {}", count(lost, "object", "objects")),
            None => String::new(),
        };
        let mut text =
            format!("LOST: {} {}{count}: {}.", lost.kind.word(), lost.name, lost.problem);
        if !lost.libraries.is_empty() {
            let names: Vec<String> = lost.libraries.iter().map(|id| self.name_of(id)).collect();
            let _ = write!(text, " Libraries: {}.", names.join(", "));
        }
        text
    }

    pub(super) fn name_of(&self, id: &str) -> String {
        let library = id.parse().ok().and_then(|id| self.manifest.library(id));
        match library.and_then(|library| library.name.as_deref()) {
            Some(name) => format!("\"{}\" ({id})", plain(name)),
            None => id.to_owned(),
        }
    }

    fn damaged_paths(&self, page: &mut NotesPage) {
        let mut lines = self.manifest.damage.iter().flat_map(|damage| {
            let library = self.name_of(&damage.library.to_string());
            let object = self.without_path(&library, damage);
            let paths = damage.paths.iter().map(move |path| format!("{library}: {}", plain(path)));
            let without = damage.paths.is_empty().then_some(object);
            paths.chain(without)
        });
        for line in lines.by_ref().take(MAX_LINES) {
            page.item(&line);
        }
        let more = lines.count();
        if more > 0 {
            page.item(&format!(
                "and {more} more: `{}` lists them all",
                self.commands.verify_by_snapshot
            ));
        }
        page.line("");
    }

    /// Words for damage without a path in the newest state: the object, and where it shows if that
    /// is known.
    fn without_path(&self, library: &str, damage: &Damage) -> String {
        let known = self.history.get(&(damage.library, damage.object()));
        let known = known.map_or(String::new(), |place| format!("{}; ", plain(place)));
        format!("{library}: {known}{} ({})", damage.object(), damage.reason)
    }

    fn libraries(&self, page: &mut NotesPage) {
        page.title("Libraries, and from when on users have to look");
        page.paragraph(
            "The time is that of the newest change in the backup (UTC). Whatever a user changed \
             later is not here.",
        );
        for library in &self.manifest.libraries {
            page.line(&library_line(library));
            let remarks = self.library_remarks(library);
            page.wrap("    ", "    ", &format!("{}{remarks}", library.id));
        }
        for store in self.manifest.unreferenced.iter().filter(|store| store.counts.commits > 0) {
            let newest = store.newest.as_ref();
            let name = newest.map_or("?", |(_, _, name)| name);
            let time = newest.and_then(|(_, time, _)| Timestamp::from_seconds(*time));
            page.line(&format!("  {}  \"{}\"", time.map_or_else(no_time, moment), plain(name)));
            page.line(&format!("    {}, no row in the database", store.store));
        }
        page.line("");
    }

    fn library_remarks(&self, library: &Library) -> String {
        let mut text = String::new();
        if let Some(owner) = &library.owner {
            let _ = write!(text, ", {}", plain(owner));
        }
        if library.state == LibraryUse::Trash {
            text.push_str(", in the trash");
        }
        if library.origin.is_some() {
            text.push_str(", part of another library");
        }
        let id = library.id.to_string();
        let is_hit = |lost: &RestoreLoss| lost.libraries.contains(&id);
        if library.damage > 0 || self.report.lost.iter().any(is_hit) {
            text.push_str(", DAMAGED");
        }
        text
    }

    fn new_host(&self, page: &mut NotesPage) {
        page.title("What to change on a new host");
        if self.old_host.is_empty() {
            page.paragraph("No line of the restored configuration names a host, port or path.");
        } else {
            page.paragraph(
                "These lines name hosts, ports, addresses or paths. Secrets are cut off (…).",
            );
        }
        let mut file = "";
        for line in self.old_host.iter().take(MAX_LINES) {
            if line.file != file {
                file = &line.file;
            }
            page.line(&format!("  {}:{}: {}", line.file, line.number, line.text));
        }
        if self.old_host.len() > MAX_LINES {
            page.line(&format!("  and {} more", self.old_host.len() - MAX_LINES));
        }
        page.line("");
        self.extra(page);
        for (path, target) in &self.manifest.source.links {
            page.item(&format!("{path} was a link to {target}; it is a plain folder now."));
        }
        let version = self.manifest.source.seafile_version.as_deref();
        page.paragraph(&format!(
            "Databases and program belong together: start Seafile {}, and upgrade from there \
             step by step.",
            version.unwrap_or("of the version that wrote the data")
        ));
    }

    /// Lists what was backed up from elsewhere, such as docker's `.env` and compose file.
    fn extra(&self, page: &mut NotesPage) {
        if self.extra.is_empty() {
            return;
        }
        page.paragraph(
            "These files were backed up from outside of the installation (--also). They lie below extra/, each \
             under its old path. Nothing reads them there: put back what the new server needs, and change the \
             hosts and ports in it first.",
        );
        for path in self.extra.iter().take(MAX_LINES) {
            let old = path.strip_prefix("extra").unwrap_or(path);
            page.line(&format!("  {path}  (was {old})"));
        }
        if self.extra.len() > MAX_LINES {
            page.line(&format!("  and {} more", self.extra.len() - MAX_LINES));
        }
        page.line("");
    }

    fn owner(&self, page: &mut NotesPage) {
        page.title("Owner");
        let text = match self.report.owner {
            Some(owner) => format!("Everything here belongs to user {}", owner.uid),
            None => "Everything here belongs to the user who ran the restore".into(),
        };
        page.paragraph(&format!(
            "{text}. Seafile's server, seaf-fsck and seaf-gc refuse to work for any other user \
             than the owner of seafile-data: run them as that user, or `chown -R` the folder."
        ));
        page.paragraph(
            "Owners are kept by number, and another image or machine may use another number. In a container with \
             NON_ROOT=true Seafile runs as user 8000: restore with `--owner 8000:8000`, or run \
             `chown -R 8000:8000` on this folder. This tells whether its owner can write where Seafile has to:",
        );
        page.line(&format!("  {}", self.commands.doctor));
        page.line("");
    }

    fn next(&self, page: &mut NotesPage) {
        let scope = self.options.scope;
        let how = verified(scope, self.manifest, &self.report.databases);
        let has_sql = has_sql(self.manifest, &self.report.databases);
        steps::next(page, scope, how, self.commands, has_sql);
    }
}

fn library_line(library: &Library) -> String {
    let time = library.head_time.and_then(Timestamp::from_seconds);
    let name = library.name.as_deref().map_or_else(|| "without a name".into(), plain);
    format!("  {}  \"{name}\"", time.map_or_else(no_time, moment))
}

/// A time, in words for people.
pub(super) fn moment(time: Timestamp) -> String {
    time.to_string().replace('T', " ").replace('Z', " UTC")
}

fn no_time() -> String {
    format!("{:23}", "unknown time")
}
