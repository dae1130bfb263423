//! The part of `RESTORE-NOTES.txt` about sync clients: what was done so that no client is set back,
//! and what was observed with real clients.

use super::commits::ASIDE;
use super::notes::RestoreNotes;
use super::page::NotesPage;
use super::report::StoreCommitCount;
use super::{Scope, notes};
use crate::source::databases::SEAFILE;

/// How many files are written out.
const MAX_FILES: usize = 1000;
/// How many libraries are written out in one list.
const MAX_LIBRARIES: usize = 100;

impl RestoreNotes<'_> {
    /// Writes the whole section.
    pub(super) fn clients(&self, page: &mut NotesPage) {
        page.title("Keep sync clients out until you have checked everything");
        page.paragraph(&format!(
            "The state here is of {}. Sync clients may hold newer files, and may be the last to hold them. Keep the \
             server unreachable for clients (firewall, or stop the web server) while you check it in the browser.",
            notes::moment(self.manifest.started)
        ));
        match self.options.scope {
            Scope::Everything => self.what_was_done(page),
            Scope::Data => self.data_alone(page),
            Scope::Databases => databases_alone(page),
        }
        if self.options.scope != Scope::Databases {
            self.commits(page);
        }
        observed(page);
    }

    fn what_was_done(&self, page: &mut NotesPage) {
        if !self.report.databases.iter().any(|role| role == SEAFILE) {
            page.paragraph(&format!(
                "THE DATABASE WITH THE HEADS OF ALL LIBRARIES IS LOST, and was not restored. The commits here are those \
                 that it led to in snapshot {}. With an OLDER one, clients set their users' files back without a word.",
                self.snapshot.id()
            ));
            return;
        }
        page.paragraph(
            "Databases and commits are of the same moment: seafile-data/ holds no commit that these databases do not \
             lead to, but for what is said below. So a client that has a newer state stops with an error and keeps \
             its files.",
        );
        if let Some(newer) = self.report.went_back_from {
            page.paragraph(&format!(
                "THIS STANDBY WENT BACK, as --older asked: it was completed to the later snapshot {newer}. Objects of \
                 that snapshot are still here; they do no harm. Its commits were moved away."
            ));
        }
    }

    fn data_alone(&self, page: &mut NotesPage) {
        page.paragraph(&format!(
            "NO DATABASES were restored. The commits here are those that the databases of snapshot {} lead to. Use \
             these databases and no others: with OLDER databases, clients set their users' files back without a word.",
            self.snapshot.id()
        ));
    }

    /// Writes about commits that were moved aside, and commits that are in place without proof.
    fn commits(&self, page: &mut NotesPage) {
        if !self.report.set_aside.is_empty() {
            page.paragraph(&format!(
                "Commits that no pointer leads to were moved to {ASIDE}/. They may be newer states of these \
                 libraries, or leftovers. Do not copy one back while the library's head (table Branch) is an older \
                 commit: clients that have it would be set back."
            ));
            self.stores(page, &self.report.set_aside);
        }
        if !self.report.unproved.is_empty() {
            page.paragraph(
                "A head or a part of the history of these libraries is lost, so nothing proves that their databases \
                 lead to the commits that are here. They are in place, since no client is set back while the lost \
                 commit is missing. If you put that commit back, verify this folder again (\"Next steps\") before clients come in.",
            );
            self.stores(page, &self.report.unproved);
        }
    }

    fn stores(&self, page: &mut NotesPage, counts: &[StoreCommitCount]) {
        for count in counts.iter().take(MAX_LIBRARIES) {
            let commits = match count.commits {
                1 => "1 commit".to_owned(),
                some => format!("{some} commits"),
            };
            page.item(&format!("{}: {commits}", self.name_of(&count.library)));
        }
        if counts.len() > MAX_LIBRARIES {
            page.item(&format!("and {} more", counts.len() - MAX_LIBRARIES));
        }
        page.line("");
    }
}

impl RestoreNotes<'_> {
    /// Lists the files that are hit by what the repository lost.
    pub(super) fn lost_files(&self, page: &mut NotesPage) {
        let files = &self.report.lost_files;
        if files.is_empty() {
            return;
        }
        page.paragraph("These files are not whole because of it:");
        for file in files.iter().take(MAX_FILES) {
            page.item(&format!("{}: {}", self.name_of(&file.id.to_string()), file.text()));
        }
        if files.len() > MAX_FILES || self.report.lost_files_cut {
            let more = files.len().saturating_sub(MAX_FILES);
            page.item(&match more {
                0 => "and more".to_owned(),
                more => format!("and {more} more"),
            });
        }
        page.line("");
    }
}

fn databases_alone(page: &mut NotesPage) {
    page.paragraph(
        "ONLY DATABASES were restored. Never put them over a seafile-data that went on since: that is the state in \
         which clients set their users' files back without a word. A restore of everything, into a folder of its own, \
         has data and databases of one moment.",
    );
}

fn observed(page: &mut NotesPage) {
    page.paragraph(
        "Observed with Seafile 11.0.13 (file servers in C and in Go, SQLite and MariaDB) and the sync client 8.0.10, \
         plain and encrypted libraries:",
    );
    page.item(
        "The server does not have the client's newer commits: the client says \"Server error\", tries again for ever, and \
         keeps its files. Remedy on that client: unsync the library, and sync it again INTO THE SAME FOLDER. Nothing is \
         lost: new files are uploaded, deleted ones come back, renamed ones exist under both names, and a changed file \
         becomes \"NAME (SFConflict ...)\" beside the server's.",
    );
    page.item(
        "The server has the client's newer commits, and an older head: clients SILENTLY REVERT their users' newer \
         files. New ones are deleted and changed ones set back, without a conflict copy. Deleting sync tokens, a read-only library or one \
         more commit on the server protect nobody.",
    );
    page.item(
        "The server does not know the library: the client unlinks it, and its files stay on disk. That happens to \
         libraries that were made after the moment above: users have to upload them again.",
    );
    page.line("");
    page.paragraph("Not tested: other versions of client and server.");
}
