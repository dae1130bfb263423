//! `seawall key`: who signs, who can read, and how that changes.

use age::secrecy::{ExposeSecret as _, SecretString};
use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::global::{VERIFICATION_KEY, name_recipients};
use super::init;
use super::keys::To;
use super::output::{Output, count, shown};
use super::sheet::recovery_sheet;
use super::{CommandError, Global, Status, commands};
use crate::backup::{self, Context};
use crate::host::{self, Rewritten, VerifyingKey, WeakWrites, Writing, host_name};
use crate::time::Clock;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: KeyVerb,
}

#[derive(Debug, Subcommand)]
enum KeyVerb {
    /// List who signs and who can read
    List,
    /// Encrypt to further recipients from now on
    Add(To),
    /// Encrypt to a recipient no more from now on; what is stored stays readable to it
    Remove {
        /// As `key list` shows it, or its beginning
        recipient: String,
    },
    /// Write index and manifest of this host's newest snapshot again, for the recipients of now
    Rewrap,
    /// Go on from what another host stored, without storing it again: the server moved
    Adopt {
        /// The newest snapshot of that host, the beginning of its name, or `latest`
        #[arg(default_value = "latest")]
        snapshot: String,
    },
    /// Trust what another host signs, from now on: the key from its recovery sheet
    Trust {
        /// seawall-HOST+1234abcd+…
        key: String,
    },
    /// Print the recovery sheet again
    Sheet,
    /// Print the secret key that the repository keeps behind a passphrase, for paper
    Export,
}

pub(super) fn run(
    global: &Global,
    arguments: &Arguments,
    output: Output,
) -> Result<Status, CommandError> {
    match &arguments.verb {
        KeyVerb::List => list(global, output)?,
        KeyVerb::Add(to) => add(global, to, output)?,
        KeyVerb::Remove { recipient } => remove(global, recipient, output)?,
        KeyVerb::Rewrap => rewrite(global, "latest", Rewritten::OfThisHost, output)?,
        KeyVerb::Adopt { snapshot } => rewrite(global, snapshot, Rewritten::OfAnotherHost, output)?,
        KeyVerb::Trust { key } => trust(global, key, output)?,
        KeyVerb::Sheet => {
            let joined = open_to_write(global)?;
            keep_sheet(&joined, global, output)?;
        }
        KeyVerb::Export => export(global, output)?,
    }
    Ok(Status::Done)
}

/// The result of `key list` for programs.
#[derive(Serialize)]
struct ListedKeys {
    encrypted: bool,
    /// To whom this host encrypts.
    recipients: Vec<String>,
    /// Those of them, and of earlier ones, that open a part only of what is stored.
    partly: Vec<String>,
    signers: Vec<ListedSigner>,
    /// Keys that the repository keeps behind a passphrase.
    behind_a_passphrase: Vec<String>,
}

#[derive(Serialize)]
struct ListedSigner {
    verification_key: String,
    this_host: bool,
    trusted: bool,
}

impl ListedSigner {
    fn of(signer: &host::Signer) -> Self {
        Self {
            verification_key: signer.key.to_string(),
            this_host: signer.is_this_host,
            trusted: signer.is_trusted,
        }
    }
}

fn list(global: &Global, output: Output) -> Result<(), CommandError> {
    let repository = global.open_silently()?;
    let keys = global.as_host(|host| host.list_keys(&repository))?;
    for key in &keys.unreadable {
        Output::warning(format_args!("{key} is no host's public key"));
    }
    let readers = &keys.readers;
    let listed = ListedKeys {
        encrypted: repository.is_encrypted(),
        recipients: readers.recipients.clone(),
        partly: readers.partly.clone(),
        signers: keys.signers.iter().map(ListedSigner::of).collect(),
        behind_a_passphrase: keys.wrapped.iter().map(ToString::to_string).collect(),
    };
    for signer in &listed.signers {
        let what = match (signer.this_host, signer.trusted) {
            (true, _) => "this host",
            (_, true) => "trusted",
            _ => "not trusted here",
        };
        output.line(format_args!("signs     {}  ({what})", signer.verification_key));
    }
    let of = |recipient: &str| {
        keys.wrapped_key_of(recipient).map(|key| format!("  ({key} and its passphrase)"))
    };
    for recipient in &listed.recipients {
        let part = if readers.is_partly(recipient) {
            "  (what was stored since it was added)"
        } else {
            ""
        };
        let key = of(recipient).unwrap_or_default();
        output.line(format_args!("reads     {}{key}{part}", shown(recipient)));
    }
    for recipient in readers.of_before() {
        let key = of(recipient).unwrap_or_default();
        output.line(format_args!(
            "read      {}{key}  (what was stored until it was removed: keep its identity)",
            shown(recipient)
        ));
    }
    match (listed.encrypted, listed.recipients.is_empty()) {
        (false, _) => output.line("reads     anybody: the repository is not encrypted"),
        (true, true) => output.line("reads     not known here: this host does not back up there"),
        _ => {}
    }
    Ok(output.json(&listed)?)
}

/// Opens the repository to write, on a host that backs up there.
fn open_to_write(global: &Global) -> Result<Writing, CommandError> {
    global.open_to_write(&global.existing_state()?, WeakWrites::Refused)
}

fn add(global: &Global, to: &To, output: Output) -> Result<(), CommandError> {
    let state = global.existing_state()?;
    let _lock = state.lock()?;
    let joined = global.open_to_write(&state, WeakWrites::Refused)?;
    joined.must_be_encrypted()?;
    if !to.is_given() {
        return Err(CommandError::new(
            anyhow!("no recipient was given"),
            "give --recipient KEY, --recipients-file FILE or --with-passphrase",
        ));
    }
    let given = to.recipients()?;
    let new_key = to.new_key(&global.keys)?;
    let added = joined.add_recipients(&given, new_key.as_ref())?;
    output.line(format_args!(
        "{} added; from the next backup on",
        count(added as u64, "recipient", "recipients")
    ));
    output.line(
        "What is stored already stays closed to it, so it restores no snapshot alone: keep the identities of before as well.",
    );
    output.detail(commands::complete(
        "`seawall key rewrap` opens the lists of what is stored to it.",
    ));
    if let Some(invented) = new_key.and_then(|new| new.invented) {
        tell_invented(&invented, output);
    }
    changed(global, output)
}

/// Shows a passphrase that seawall invented; nothing else keeps it.
fn tell_invented(passphrase: &SecretString, output: Output) {
    if output.json {
        Output::warning(init::invented(passphrase));
    } else {
        output.line(init::invented(passphrase));
    }
}

fn remove(global: &Global, recipient: &str, output: Output) -> Result<(), CommandError> {
    let state = global.existing_state()?;
    let _lock = state.lock()?;
    let joined = global.open_to_write(&state, WeakWrites::Refused)?;
    let removed = joined.remove_recipient(recipient)?;
    output.line(format_args!("removed {}; from the next backup on", shown(&removed)));
    output.line(
        "KEEP ITS IDENTITY: what was stored until now opens with nothing else. To be rid of it, begin a new repository.",
    );
    changed(global, output)
}

/// What follows from other recipients: another sheet.
fn changed(global: &Global, output: Output) -> Result<(), CommandError> {
    keep_sheet(&open_to_write(global)?, global, output)
}

fn keep_sheet(joined: &Writing, global: &Global, output: Output) -> Result<(), CommandError> {
    let sheet = recovery_sheet(joined, global)?;
    let kept = joined.state().keep_sheet(&sheet)?;
    output.line(&sheet);
    output.detail(format_args!("\nA copy of this sheet is in {}.", kept.display()));
    Ok(output.json(&serde_json::json!({ "recovery_sheet": kept }))?)
}

fn rewrite(
    global: &Global,
    name: &str,
    whose: Rewritten,
    output: Output,
) -> Result<(), CommandError> {
    let state = global.existing_state()?;
    let lock = state.lock()?;
    let joined = global.open_to_write(&state, WeakWrites::Refused)?;
    let source = joined.snapshot_to_rewrite(name, whose)?;
    let spool = state.clean_spool(&lock)?;
    let context = Context {
        at: &joined,
        spool: &spool,
        clock: &Clock::system(),
        host: &host_name(),
        progress: &|text| output.progress(text),
    };
    let marker = backup::rewrap(&context, &source)
        .map_err(|error| name_recipients(error.into(), &source))?;
    output.line(format_args!(
        "snapshot  {}: what is in {}, for the keys of now",
        marker.snapshot,
        source.id()
    ));
    if whose == Rewritten::OfAnotherHost {
        joined.take_over(&source)?;
        output.detail(
            "The next backup of this host goes on from it; what is stored is not stored again. `status` waits no more for the key of before.",
        );
    }
    Ok(output.json(&serde_json::json!({
        "snapshot": marker.snapshot,
        "of": source.id(),
    }))?)
}

fn trust(global: &Global, key: &str, output: Output) -> Result<(), CommandError> {
    let state = global.existing_state()?;
    let _lock = state.lock()?;
    let joined = global.open_to_write(&state, WeakWrites::Refused)?;
    let key: VerifyingKey = key
        .trim()
        .parse()
        .map_err(|_| CommandError::new(anyhow!("this is no verification key"), VERIFICATION_KEY))?;
    joined.trust(&key)?;
    output.line(format_args!("trusts    {key}"));
    Ok(output.json(&serde_json::json!({ "verification_key": key.to_string() }))?)
}

fn export(global: &Global, output: Output) -> Result<(), CommandError> {
    let repository = global.open_silently()?;
    let secrets = global.as_host(|host| host.export_keys(&repository))?;
    for (key, secret) in &secrets {
        output.line(format_args!("# {key}\n{}", secret.expose_secret().trim_end()));
    }
    let secrets: Vec<&str> = secrets.iter().map(|(_, secret)| secret.expose_secret()).collect();
    Ok(output.json(&secrets)?)
}
