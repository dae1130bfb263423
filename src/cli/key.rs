//! `seawall key`: who signs, who can read, and how that changes.

use age::secrecy::{ExposeSecret as _, SecretString};
use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::init;
use super::keys::{Keys, To};
use super::output::{Output, count, shown};
use super::place::{self, Joined};
use super::sheet::recovery_sheet;
use super::{CommandError, Global, Status, commands};
use crate::backup::{self, Context};
use crate::crypt::{Recipients, Seal};
use crate::repository::guard::WeakWrites;
use crate::repository::marker::Marker;
use crate::repository::note::VerifyingKey;
use crate::repository::readers::Readers;
use crate::repository::state::StateFolder;
use crate::repository::wrapped::Wrapped;
use crate::repository::{Repository, Snapshot, host_key, names};
use crate::time::Clock;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
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
        Verb::List => list(global, output)?,
        Verb::Add(to) => add(global, to, output)?,
        Verb::Remove { recipient } => remove(global, recipient, output)?,
        Verb::Rewrap => again(global, "latest", Of::ThisHost, output)?,
        Verb::Adopt { snapshot } => again(global, snapshot, Of::Another, output)?,
        Verb::Trust { key } => trust(global, key, output)?,
        Verb::Sheet => {
            let joined = place::joined(global, &global.existing_state()?, WeakWrites::Refused)?;
            keep_sheet(&joined, global, output)?;
        }
        Verb::Export => export(global, output)?,
    }
    Ok(Status::Done)
}

/// The result of `key list` for programs.
#[derive(Serialize)]
struct Listed {
    encrypted: bool,
    /// To whom this host encrypts.
    recipients: Vec<String>,
    /// Those of them, and of earlier ones, that open a part only of what is stored.
    partly: Vec<String>,
    signers: Vec<Signer>,
    /// Keys that the repository keeps behind a passphrase.
    behind_a_passphrase: Vec<String>,
}

#[derive(Serialize)]
struct Signer {
    verification_key: String,
    this_host: bool,
    trusted: bool,
}

fn list(global: &Global, output: Output) -> Result<(), CommandError> {
    let repository = global.open_silently()?;
    let state = global.state_path().ok();
    let state = state.and_then(|path| StateFolder::existing(&path));
    let own = state.as_ref().map(StateFolder::host_key).transpose()?.flatten();
    let own = own.map(|key| key.verifying());
    let now = recipients(state.as_ref(), &repository)?;
    let now: Vec<String> = now.texts().map(ToOwned::to_owned).collect();
    let readers = match &own {
        Some(own) => readers(&repository, own, &now)?,
        None => Readers::after([], &now),
    };
    let mut listed = Listed {
        encrypted: repository.seal() == Seal::Age,
        recipients: readers.recipients.clone(),
        partly: readers.partly.clone(),
        signers: Vec::new(),
        behind_a_passphrase: Vec::new(),
    };
    for entry in repository.backend().list(names::KEYS) {
        let key = entry?.key;
        if names::is_wrapped_key(&key) {
            listed.behind_a_passphrase.push(key.to_string());
            continue;
        }
        let bytes =
            crate::repository::bounded::get(&**repository.backend(), &key, host_key::MAX_BYTES)?;
        let parsed = bytes.and_then(|bytes| host_key::parse_public(&bytes).ok());
        let Some(verifier) = parsed else {
            Output::warning(format_args!("{key} is no host's public key"));
            continue;
        };
        listed.signers.push(Signer {
            this_host: own.as_ref() == Some(&verifier),
            trusted: repository.pinned().contains(&verifier),
            verification_key: verifier.to_string(),
        });
    }
    for signer in &listed.signers {
        let what = match (signer.this_host, signer.trusted) {
            (true, _) => "this host",
            (_, true) => "trusted",
            _ => "not trusted here",
        };
        output.line(format_args!("signs     {}  ({what})", signer.verification_key));
    }
    let of = |recipient: &str| {
        let key = names::wrapped_key(recipient).to_string();
        let is_here = listed.behind_a_passphrase.contains(&key);
        is_here.then(|| format!("  ({key} and its passphrase)"))
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

/// Who opens what this host has stored, and stores from now on.
pub(super) fn readers(
    repository: &Repository,
    own: &VerifyingKey,
    now: &[String],
) -> Result<Readers, CommandError> {
    let (base, _) = repository.base(own)?;
    let stored = base.map(|base| base.marker.readers());
    Ok(Readers::after(&stored, now))
}

fn recipients(
    state: Option<&StateFolder>,
    repository: &Repository,
) -> Result<Recipients, CommandError> {
    let known = state
        .and_then(|state| StateFolder::existing_repository(state.path(), repository.id()))
        .map(|known| known.recipients());
    Ok(known.transpose()?.unwrap_or_default())
}

/// A host that encrypts what it stores there.
fn encrypting(global: &Global, state: &StateFolder) -> Result<Joined, CommandError> {
    let joined = place::joined(global, state, WeakWrites::Refused)?;
    if joined.repository.seal() == Seal::None {
        return Err(not_encrypted(&joined.repository));
    }
    Ok(joined)
}

fn not_encrypted(repository: &Repository) -> CommandError {
    CommandError::new(
        anyhow!(
            "the repository at {} is not encrypted: it has no keys to read it",
            repository.place()
        ),
        "make a new one in another place to encrypt: that is decided when a repository is made",
    )
}

fn add(global: &Global, to: &To, output: Output) -> Result<(), CommandError> {
    let state = global.existing_state()?;
    let _lock = state.lock()?;
    let joined = encrypting(global, &state)?;
    let mut recipients = joined.state.recipients()?;
    let before = recipients.texts().count();
    let given = to.recipients()?;
    if !to.is_given() {
        return Err(CommandError::new(
            anyhow!("no recipient was given"),
            "give --recipient KEY, --recipients-file FILE or --with-passphrase",
        ));
    }
    let new_key = to.new_key(&global.keys)?;
    for text in given.texts() {
        recipients.add(text).map_err(anyhow::Error::from)?;
    }
    if let Some(new) = &new_key {
        recipients.add(&new.recipient).map_err(anyhow::Error::from)?;
    }
    joined.host_key.try_sealing_to(&recipients)?;
    if let Some(new) = &new_key {
        // The copy first: a key that lies in the repository alone could be lost there.
        joined.state.keep_wrapped(&new.wrapped)?;
        new.wrapped.put(&**joined.repository.backend())?;
    }
    joined.state.set_recipients(&recipients)?;
    output.line(format_args!(
        "{} added; from the next backup on",
        count((recipients.texts().count() - before) as u64, "recipient", "recipients")
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
    let joined = encrypting(global, &state)?;
    let recipients = joined.state.recipients()?;
    let is_meant = |text: &&str| !recipient.is_empty() && text.starts_with(recipient);
    let meant: Vec<&str> = recipients.texts().filter(is_meant).collect();
    let [meant] = meant[..] else {
        return Err(CommandError::new(
            anyhow!("{} of this host's recipients begin like that", meant.len()),
            "`seawall key list` shows them",
        ));
    };
    let kept: Vec<&str> = recipients.texts().filter(|text| *text != meant).collect();
    if kept.is_empty() {
        return Err(CommandError::new(
            anyhow!("it is the only recipient: nobody could read what is stored then"),
            "add another one first: seawall key add --recipient KEY",
        ));
    }
    let kept = Recipients::parse(&kept.join("\n")).map_err(anyhow::Error::from)?;
    joined.state.set_recipients(&kept)?;
    output.line(format_args!("removed {}; from the next backup on", shown(meant)));
    output.line(
        "KEEP ITS IDENTITY: what was stored until now opens with nothing else. To be rid of it, begin a new repository.",
    );
    changed(global, output)
}

/// What follows from other recipients: another sheet.
fn changed(global: &Global, output: Output) -> Result<(), CommandError> {
    let joined = place::joined(global, &global.existing_state()?, WeakWrites::Refused)?;
    keep_sheet(&joined, global, output)
}

fn keep_sheet(joined: &Joined, global: &Global, output: Output) -> Result<(), CommandError> {
    let sheet = recovery_sheet(joined, global)?;
    let kept = joined.state.keep_sheet(&sheet)?;
    output.line(&sheet);
    output.detail(format_args!("\nA copy of this sheet is in {}.", kept.display()));
    Ok(output.json(&serde_json::json!({ "recovery_sheet": kept }))?)
}

/// Whose snapshot is written again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    ThisHost,
    Another,
}

fn again(global: &Global, name: &str, of: Of, output: Output) -> Result<(), CommandError> {
    let state = global.existing_state()?;
    let lock = state.lock()?;
    let joined = match of {
        Of::ThisHost => encrypting(global, &state)?,
        Of::Another => place::joined(global, &state, WeakWrites::Refused)?,
    };
    let identities = global.keys.given()?;
    let repository = joined.repository.clone().with_identities(identities);
    let source = find(&repository, &joined, name, of)?;
    let own = repository.base(&joined.host_key.verifying())?.0;
    if let Some(own) = own.filter(|_| of == Of::Another) {
        return Err(CommandError::new(
            anyhow!("this host has snapshots of its own, the newest is {}", own.id()),
            "only a host that has none yet goes on from another's",
        ));
    }
    let spool = state.clean_spool(&lock)?;
    let context = Context {
        repository: &repository,
        host_key: &joined.host_key,
        catalog: &joined.state.catalog_path(),
        spool: &spool,
        clock: &Clock::system(),
        host: &place::host_name(),
        progress: &|text| output.progress(text),
    };
    let marker: Marker = backup::rewrap(&context, &source)
        .map_err(|error| place::name_recipients(error.into(), &source))?;
    output.line(format_args!(
        "snapshot  {}: what is in {}, for the keys of now",
        marker.snapshot,
        source.id()
    ));
    if of == Of::Another {
        keep_keys(&repository, &joined, &source)?;
        joined.state.trust(source.signed_by.key())?;
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
    let joined = place::joined(global, &state, WeakWrites::Refused)?;
    let key: VerifyingKey = key.trim().parse().map_err(|_| {
        CommandError::new(
            anyhow!("this is no verification key"),
            "it looks like seawall-HOST+1234abcd+… and is on the recovery sheet",
        )
    })?;
    joined.state.trust(&key)?;
    output.line(format_args!("trusts    {key}"));
    Ok(output.json(&serde_json::json!({ "verification_key": key.to_string() }))?)
}

/// A copy of the keys behind a passphrase that open it, as that host had one.
fn keep_keys(
    repository: &Repository,
    joined: &Joined,
    source: &Snapshot,
) -> Result<(), CommandError> {
    for named in &source.marker.keys {
        let wrapped = Wrapped { key: named.key.clone(), bytes: repository.read_named(named)? };
        joined.state.keep_wrapped(&wrapped)?;
    }
    Ok(())
}

/// The snapshot that is meant; one of another host has to be signed by a key that somebody vouches for.
fn find(
    repository: &Repository,
    joined: &Joined,
    name: &str,
    of: Of,
) -> Result<Snapshot, CommandError> {
    let mut markers = repository.markers()?;
    let own = joined.host_key.verifying();
    let is_own = |snapshot: &Snapshot| *snapshot.signed_by.key() == own;
    match of {
        Of::ThisHost => markers.snapshots.retain(is_own),
        Of::Another => markers.snapshots.retain(|snapshot| !is_own(snapshot)),
    }
    let snapshot = markers.find(name)?;
    let newest = repository.base(snapshot.signed_by.key())?.0;
    if let Some(newest) = newest.filter(|newest| newest.id() != snapshot.id()) {
        return Err(CommandError::new(
            anyhow!("{} is not the newest snapshot of its host: {} is", snapshot.id(), newest.id()),
            "what is written again is the newest from then on; any snapshot can be restored as it is",
        ));
    }
    if !snapshot.signed_by.is_pinned() {
        let error = anyhow!(
            "{} is signed by a key that nobody vouches for here ({})",
            snapshot.id(),
            snapshot.signed_by.key()
        );
        return Err(CommandError {
            status: Status::NoKey,
            error,
            hint: Some("give --trust KEY from the recovery sheet of that host".into()),
        });
    }
    Ok(snapshot.clone())
}

fn export(global: &Global, output: Output) -> Result<(), CommandError> {
    let repository = global.open_silently()?;
    if repository.seal() == Seal::None {
        return Err(not_encrypted(&repository));
    }
    let keys: &Keys = &global.keys;
    let secrets = keys.secrets_of_repository(&repository)?;
    if secrets.is_empty() {
        let holds_any = repository
            .backend()
            .list(names::KEYS)
            .any(|entry| entry.is_ok_and(|entry| names::is_wrapped_key(&entry.key)));
        let (error, hint) = if holds_any {
            (
                "no passphrase was given",
                "give it with --passphrase-file FILE or in SEAWALL_PASSPHRASE",
            )
        } else {
            (
                "the repository keeps no key behind a passphrase",
                "its recipients' private keys lie elsewhere: `seawall key list` names the recipients",
            )
        };
        return Err(CommandError {
            status: Status::NoKey,
            error: anyhow!(error),
            hint: Some(hint.into()),
        });
    }
    for (key, secret) in &secrets {
        output.line(format_args!("# {key}\n{}", secret.expose_secret().trim_end()));
    }
    let secrets: Vec<&str> = secrets.iter().map(|(_, secret)| secret.expose_secret()).collect();
    Ok(output.json(&secrets)?)
}
