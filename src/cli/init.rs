//! `seawall init`: makes a repository, or lets this host join one.

use std::path::PathBuf;

use age::secrecy::{ExposeSecret as _, SecretString};
use clap::Args;
use serde::Serialize;

use super::keys::To;
use super::output::{Output, count};
use super::sheet::recovery_sheet;
use super::{CommandError, Global, Status, apart, commands};
use crate::host::WeakWrites;
use crate::host::state::StateFolder;
use crate::host::{self, Encryption, HowJoined, Writing};
use crate::repository::Snapshot;

#[derive(Serialize)]
struct InitOutcome<'a> {
    repository: &'a str,
    id: String,
    created: bool,
    configuration_put_again: bool,
    verification_key: String,
    recipients: Vec<String>,
    /// The one that seawall invented, which nothing else keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    passphrase: Option<&'a str>,
    recovery_sheet: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct JoiningArguments {
    /// Use a destination that overwrites, where only this host writes (B2, WebDAV, Garage)
    #[arg(long)]
    accept_weak_writes: bool,
    /// Do not encrypt: whoever can read the destination reads all files and the configuration's passwords
    #[arg(long, conflicts_with_all = ["recipient", "recipients_file", "with_passphrase"])]
    unencrypted: bool,
    /// Begin a new repository where this host stored before and its repository is lost for good (not where a disk is
    /// merely not mounted)
    #[arg(long)]
    anew: bool,
    #[command(flatten)]
    to: To,
}

impl JoiningArguments {
    /// What the administrator decided.
    fn decided(&self) -> Result<host::Joining, CommandError> {
        let encryption = if self.unencrypted { Encryption::None } else { self.to.encryption()? };
        Ok(host::Joining { weak: self.weak_writes(), encryption, anew: self.anew })
    }

    pub(super) fn weak_writes(&self) -> WeakWrites {
        if self.accept_weak_writes { WeakWrites::Accepted } else { WeakWrites::Refused }
    }
}

pub(super) fn run(
    global: &Global,
    arguments: &JoiningArguments,
    output: Output,
) -> Result<Status, CommandError> {
    apart::repository_and_state(global)?;
    let state = global.state()?;
    let _lock = state.lock()?;
    let (joined, how) = join(global, arguments, &state)?;
    let kept = present(&joined, &how, global, output)?;
    if matches!(how, HowJoined::Joined | HowJoined::Member) {
        tell_of_others(&joined, output)?;
    }
    output.json(&InitOutcome {
        repository: joined.place(),
        id: joined.id().to_string(),
        created: matches!(how, HowJoined::Made(_)),
        configuration_put_again: matches!(how, HowJoined::ConfigurationRestored(_)),
        verification_key: joined.host_key().verifying().to_string(),
        recipients: joined.recipients(),
        passphrase: match &how {
            HowJoined::Made(Some(passphrase)) => Some(passphrase.expose_secret()),
            _ => None,
        },
        recovery_sheet: kept,
    })?;
    Ok(Status::Done)
}

/// Opens the repository, or makes it; this host joins it.
pub(super) fn join(
    global: &Global,
    arguments: &JoiningArguments,
    state: &StateFolder,
) -> Result<(Writing, HowJoined), CommandError> {
    let (destination, joining) = (global.destination()?, arguments.decided()?);
    global.as_host(|host| host.join(state, &destination, &joining))
}

/// Tells what was made or joined, prints the recovery sheet, and keeps a copy; returns where.
pub(super) fn present(
    joined: &Writing,
    how: &HowJoined,
    global: &Global,
    output: Output,
) -> Result<PathBuf, CommandError> {
    let sheet = recovery_sheet(joined, global)?;
    let kept = joined.state().keep_sheet(&sheet)?;
    output.line(came(how, joined.place()));
    output.detail(format_args!("{}\n", who_can_read(joined)));
    output.detail(&sheet);
    output.detail(format_args!("\nPrint this sheet. A copy of it is in {}.\n", kept.display()));
    if let HowJoined::Made(Some(passphrase)) = how {
        output.line(invented(passphrase));
    }
    Ok(kept)
}

/// How this host came to the repository, in a line.
fn came(how: &HowJoined, place: &str) -> String {
    match how {
        HowJoined::Made(_) => format!("made the repository {place}"),
        HowJoined::Joined => format!("joined the repository {place}"),
        HowJoined::Member => {
            format!("this host uses the repository {place} already; nothing changed")
        }
        HowJoined::ConfigurationRestored(vouched) => format!(
            "wrote seawall.json of the repository {place} again, with the id {}: {} that a trusted key signed {} it",
            vouched.id,
            count(vouched.markers as u64, "marker", "markers"),
            if vouched.markers == 1 { "names" } else { "name" },
        ),
    }
}

/// Who can read what is stored, and that this is final.
fn who_can_read(joined: &Writing) -> String {
    let recipients = joined.recipients();
    if recipients.is_empty() {
        return "It is not encrypted, and that is final. Seafile's configuration holds passwords: let nobody else read the repository.".to_owned();
    }
    let is_in_file = |recipient: &&String| joined.wrapped_key_of(recipient).is_none();
    let of_files = recipients.iter().filter(is_in_file).count();
    let number = count(recipients.len() as u64, "recipient", "recipients");
    let keep = match (of_files, joined.wrapped().is_empty()) {
        (0, _) => "Write the passphrase down and keep it elsewhere: without it nobody can restore.",
        (_, true) => {
            "Keep the private key of one recipient elsewhere: without it nobody can restore."
        }
        (_, false) => {
            "Keep the passphrase, or the private key of one recipient, elsewhere: without one of them nobody can restore."
        }
    };
    format!(
        "It is encrypted to {number}, and that is final. This host cannot read it. {keep} Try a restore with it."
    )
}

/// A passphrase that seawall invented. The copy of the sheet on this host does not have it.
pub(super) fn invented(passphrase: &SecretString) -> String {
    format!(
        "
PASSPHRASE         {}
Write it on the sheet now: it is shown this once, and this host does not keep it.",
        passphrase.expose_secret()
    )
}

/// A server that moved, or lost its key, need not store anything again.
fn tell_of_others(joined: &Writing, output: Output) -> Result<(), CommandError> {
    let own = joined.host_key().verifying();
    let markers = joined.markers()?;
    let is_own = |snapshot: &&Snapshot| *snapshot.signed_by.key() == own;
    if markers.snapshots.iter().any(|snapshot| is_own(&snapshot)) {
        return Ok(());
    }
    if let Some(newest) = markers.latest() {
        let identity = if joined.is_encrypted() { " -i IDENTITY" } else { "" };
        output.line(commands::complete(&format!(
            "\nAnother host stored {} there. If that was this server, go on from it, and nothing is stored again:\n  seawall key adopt --trust '{}'{identity}",
            newest.id(),
            newest.signed_by.key()
        )));
    }
    Ok(())
}
