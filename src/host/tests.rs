//! The trust model without a command line: what a host may open, and what it refuses.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age::secrecy::{ExposeSecret as _, SecretString};
use seawall_backends::{Backend, Key, MemoryBackend};

use super::state::StateFolder;
use super::*;
use crate::crypt::Seal;
use crate::repository::marker::tests::marker;
use crate::repository::{Configuration, names, note};

/// A machine: its state folder, what it trusts besides, its keys, and what it was warned of.
struct Machine {
    _folder: tempfile::TempDir,
    path: PathBuf,
    trusted: Vec<VerifyingKey>,
    keys: Keys,
    warned: RefCell<Vec<String>>,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let keys = Keys::default();
        Self { _folder: folder, path, trusted: Vec::new(), keys, warned: RefCell::default() }
    }

    fn with_passphrase(passphrase: &str) -> Self {
        let keys = Keys::new(Vec::new(), None, Some(SecretString::from(passphrase)), |_| None);
        Self { keys, ..Self::new() }
    }

    fn act<T>(&self, act: impl FnOnce(&Host<'_>) -> T) -> T {
        let tell = |warning: Warning| self.warned.borrow_mut().push(format!("{warning:?}"));
        act(&Host {
            state: Some(&self.path),
            trusted: &self.trusted,
            keys: &self.keys,
            tell: &tell,
        })
    }

    fn state(&self) -> StateFolder {
        StateFolder::open(&self.path).unwrap()
    }

    fn join(&self, place: &Destination, encryption: Encryption) -> Result<(Writing, HowJoined)> {
        let joining = Joining { weak: WeakWrites::Refused, encryption, anew: false };
        self.act(|host| host.join(&self.state(), place, &joining))
    }

    fn write(&self, place: &Destination) -> Result<Writing> {
        self.act(|host| host.write(&self.state(), place, WeakWrites::Refused))
    }

    fn read(&self, place: &Destination) -> Result<Reading> {
        self.act(|host| host.read(place))
    }

    fn warnings(&self) -> Vec<String> {
        self.warned.take()
    }
}

fn place(memory: &MemoryBackend) -> Destination {
    Destination::of_backend(Arc::new(memory.clone()), "sftp://nas/backup")
}

/// Stores a marker that the host of this repository signed.
fn put_marker(writing: &Writing) {
    let host_key = writing.host_key();
    let mut marker = marker(0, Vec::new(), false);
    marker.repository = writing.id().as_str().to_owned();
    marker.snapshot = names::SnapshotId::new(marker.started, host_key.id());
    marker.recipients = writing.recipients();
    let text = note::sign(&marker.to_text(), host_key.signing()).unwrap();
    writing.backend().put_new(&names::marker(marker.snapshot), text.as_bytes()).unwrap();
}

/// Replaces `seawall.json`, as somebody who can write at the destination may.
fn replace_configuration(memory: &MemoryBackend, with: Option<&Configuration>) {
    memory.delete(&names::configuration()).unwrap();
    if let Some(with) = with {
        memory.put_new(&names::configuration(), &with.to_bytes()).unwrap();
    }
}

fn to(recipients: &[&str]) -> Encryption {
    let texts: Vec<String> = recipients.iter().map(ToString::to_string).collect();
    let recipients = parse_recipients(&texts, &[]).unwrap();
    Encryption::To { recipients, with_passphrase: false }
}

/// Two public keys, of which nobody has the secret halves.
fn public_keys() -> [String; 2] {
    [(), ()].map(|()| crate::crypt::Identities::generate().1)
}

#[test]
fn a_stranger_cannot_write_and_a_member_can() {
    let (memory, machine) = (MemoryBackend::new(), Machine::new());
    let error = machine.write(&place(&memory)).unwrap_err();
    assert!(matches!(error, Error::Repository(crate::repository::Error::NoRepository { .. })));
    let (_, how) = machine.join(&place(&memory), Encryption::None).unwrap();
    assert!(matches!(how, HowJoined::Made(None)));
    machine.write(&place(&memory)).unwrap();
    let (_, how) = machine.join(&place(&memory), Encryption::None).unwrap();
    assert!(matches!(how, HowJoined::Member));

    let stranger = Machine::new();
    let error = stranger.write(&place(&memory)).unwrap_err();
    assert!(matches!(error, Error::NoHostKey { knows_others: false, .. }), "{error:?}");
    let (_, how) = stranger.join(&place(&memory), Encryption::None).unwrap();
    assert!(matches!(how, HowJoined::Joined));
    stranger.write(&place(&memory)).unwrap();
}

#[test]
fn a_repository_that_is_gone_is_not_made_again_unasked() {
    let machine = Machine::new();
    machine.join(&place(&MemoryBackend::new()), Encryption::None).unwrap();
    let empty = MemoryBackend::new();
    let error = machine.write(&place(&empty)).unwrap_err();
    assert!(matches!(error, Error::NotThere { .. }), "{error:?}");
    let error = machine.join(&place(&empty), Encryption::None).unwrap_err();
    assert!(matches!(error, Error::Replaced { other: false, .. }), "{error:?}");
    assert_eq!(empty.list("").count(), 0);
    let anew = Joining { weak: WeakWrites::Refused, encryption: Encryption::None, anew: true };
    machine.act(|host| host.join(&machine.state(), &place(&empty), &anew)).unwrap();
    // Another host made a second one there meanwhile.
    let other = MemoryBackend::new();
    Machine::new().join(&place(&other), Encryption::None).unwrap();
    let error = machine.join(&place(&other), Encryption::None).unwrap_err();
    assert!(matches!(error, Error::Replaced { other: true, .. }), "{error:?}");
}

#[test]
fn whether_to_encrypt_is_said_once_and_never_weakened() {
    let (memory, machine) = (MemoryBackend::new(), Machine::new());
    let [one, two] = public_keys();
    let error = machine.join(&place(&memory), Encryption::Undecided).unwrap_err();
    assert!(matches!(error, Error::EncryptionUndecided { .. }), "{error:?}");
    assert_eq!(memory.list("").count(), 0, "nothing was made");
    let (writing, _) = machine.join(&place(&memory), to(&[&one])).unwrap();
    assert_eq!((writing.seal(), writing.recipients()), (Seal::Age, vec![one.clone()]));
    machine.join(&place(&memory), Encryption::Undecided).unwrap();
    let error = machine.join(&place(&memory), to(&[&two])).unwrap_err();
    assert!(matches!(error, Error::OtherRecipients { .. }), "{error:?}");
    let error = machine.join(&place(&memory), Encryption::None).unwrap_err();
    assert!(matches!(error, Error::IsEncrypted { .. }), "{error:?}");

    // A second place, where nothing is encrypted: this host has to be told so.
    let open = MemoryBackend::new();
    let elsewhere = Destination::of_backend(Arc::new(open.clone()), "s3://bucket");
    Machine::new().join(&elsewhere, Encryption::None).unwrap();
    let error = machine.join(&elsewhere, Encryption::Undecided).unwrap_err();
    assert!(matches!(error, Error::InTheClear { .. }), "{error:?}");
    let error = machine.join(&elsewhere, to(&[&one])).unwrap_err();
    assert!(matches!(error, Error::IsNotEncrypted { .. }), "{error:?}");
    machine.join(&elsewhere, Encryption::None).unwrap();
}

#[test]
fn a_host_that_encrypts_stores_nothing_in_the_clear_whatever_the_place_says() {
    let (memory, machine) = (MemoryBackend::new(), Machine::new());
    let [one, _] = public_keys();
    let (writing, _) = machine.join(&place(&memory), to(&[&one])).unwrap();
    let created = crate::time::Timestamp::from_seconds(1_795_383_248).unwrap();
    let id = writing.id().clone();
    put_marker(&writing);
    replace_configuration(&memory, Some(&Configuration { id, created, seal: Seal::None }));
    let error = machine.write(&place(&memory)).unwrap_err();
    let refused = crate::repository::Error::NotEncrypted { place: "sftp://nas/backup".into() };
    assert_eq!(error.to_string(), refused.to_string());
    // What is read follows what the host signed.
    assert_eq!(machine.read(&place(&memory)).unwrap().seal(), Seal::Age);
    let warnings = machine.warnings();
    assert!(warnings[0].starts_with("EncryptionOverruled"), "{warnings:?}");
    // Who trusts nobody believes the place.
    let stranger = Machine::new();
    assert_eq!(stranger.read(&place(&memory)).unwrap().seal(), Seal::None);
    assert_eq!(stranger.warnings(), Vec::<String>::new());
}

#[test]
fn signed_markers_say_which_repository_a_place_holds() {
    let (memory, machine) = (MemoryBackend::new(), Machine::new());
    let (writing, _) = machine.join(&place(&memory), Encryption::None).unwrap();
    put_marker(&writing);
    let id = writing.id().clone();
    let mut reader = Machine::new();
    let created = crate::time::Timestamp::from_seconds(1_795_383_248).unwrap();
    let other = Configuration { id: RepositoryId::random().unwrap(), created, seal: Seal::None };
    for configuration in [None, Some(&other)] {
        replace_configuration(&memory, configuration);
        reader.trusted.clear();
        let nobody = reader.read(&place(&memory));
        match configuration {
            None => assert!(nobody.is_err()),
            // It can be looked at, with a warning, under the id that it claims.
            Some(other) => {
                assert_eq!(*nobody.unwrap().id(), other.id);
                assert!(reader.warnings()[0].starts_with("ConfigurationOverruled"));
            }
        }
        reader.trusted.push(writing.host_key().verifying());
        assert_eq!(*reader.read(&place(&memory)).unwrap().id(), id);
        assert!(reader.warnings()[0].starts_with("ConfigurationOverruled"));
        assert!(machine.write(&place(&memory)).is_err(), "nothing is written there");
    }
    // A host that backed up there writes the file again, where only that is lost.
    replace_configuration(&memory, Some(&other));
    assert!(machine.join(&place(&memory), Encryption::None).is_err());
    memory.delete(&names::configuration()).unwrap();
    let (again, how) = machine.join(&place(&memory), Encryption::None).unwrap();
    assert!(matches!(how, HowJoined::ConfigurationRestored(_)), "{how:?}");
    assert_eq!(*again.id(), id);
}

#[test]
fn recipients_come_and_go_but_for_the_last_one() {
    let (memory, machine) = (MemoryBackend::new(), Machine::new());
    let [one, two] = public_keys();
    let (writing, _) = machine.join(&place(&memory), to(&[&one])).unwrap();
    let more = parse_recipients(std::slice::from_ref(&two), &[]).unwrap();
    assert_eq!(writing.add_recipients(&more, None).unwrap(), 1);
    assert_eq!(writing.add_recipients(&more, None).unwrap(), 0);
    let writing = machine.write(&place(&memory)).unwrap();
    assert_eq!(writing.recipients(), [one.clone(), two.clone()]);
    for (beginning, found) in [("age1", 2), ("", 0), ("ssh", 0)] {
        let error = writing.remove_recipient(beginning).unwrap_err();
        assert!(matches!(error, Error::WhichRecipient { found: n } if n == found), "{error:?}");
    }
    assert_eq!(writing.remove_recipient(&one).unwrap(), one);
    assert!(matches!(writing.remove_recipient(&two), Err(Error::OnlyRecipient)));
    assert_eq!(machine.write(&place(&memory)).unwrap().recipients(), [two]);
    let open = MemoryBackend::new();
    let elsewhere = Destination::of_backend(Arc::new(open), "s3://bucket");
    let (plain, _) = machine.join(&elsewhere, Encryption::None).unwrap();
    assert!(matches!(plain.add_recipients(&more, None), Err(Error::NoKeysToRead { .. })));
}

#[test]
fn a_key_behind_a_passphrase_opens_with_it_alone() {
    let memory = MemoryBackend::new();
    let machine = Machine::with_passphrase("five random words or more");
    let recipients = Recipients::default();
    let encryption = Encryption::To { recipients, with_passphrase: true };
    let (writing, how) = machine.join(&place(&memory), encryption).unwrap();
    assert!(matches!(how, HowJoined::Made(None)), "nothing was invented");
    assert_eq!(writing.wrapped().len(), 1);
    let recipient = &writing.recipients()[0];
    assert!(writing.wrapped_key_of(recipient).is_some());

    let reader = Machine::with_passphrase("five random words or more");
    let opened = reader.read(&place(&memory)).unwrap();
    let secrets = reader.act(|host| host.export_keys(&opened)).unwrap();
    assert!(secrets[0].1.expose_secret().contains("AGE-SECRET-KEY-1"));
    let opened = reader.act(|host| opened.unlock(host)).unwrap();
    assert!(opened.has_identities());
    let listed = reader.act(|host| host.list_keys(&opened)).unwrap();
    assert_eq!((listed.wrapped.len(), listed.signers.len()), (1, 1));
    assert!(!listed.signers[0].is_trusted && !listed.signers[0].is_this_host);

    let wrong = Machine::with_passphrase("six other words and more");
    let locked = wrong.read(&place(&memory)).unwrap();
    let error = wrong.act(|host| locked.clone().unlock(host)).unwrap_err();
    assert!(matches!(error, Error::Identity { .. }), "{error:?}");
    let silent = Machine::new();
    let error = silent.act(|host| host.export_keys(&locked)).unwrap_err();
    assert!(matches!(error, Error::NoPassphraseGiven), "{error:?}");
    let weak = Machine::with_passphrase("hunter2");
    let encryption = Encryption::To { recipients: Recipients::default(), with_passphrase: true };
    let error = weak.join(&place(&MemoryBackend::new()), encryption).unwrap_err();
    assert!(matches!(error, Error::WeakPassphrase { .. }), "{error:?}");
}

#[test]
fn a_place_that_holds_something_else_is_left_alone() {
    let (memory, machine) = (MemoryBackend::new(), Machine::new());
    memory.put_new(&Key::parse("photos/cat.jpg").unwrap(), b"meow").unwrap();
    let error = machine.join(&place(&memory), Encryption::None).unwrap_err();
    assert!(matches!(&error, Error::NotEmpty { key, .. } if key.as_str() == "photos/cat.jpg"));
    assert_eq!(memory.list("").count(), 1);
}

#[test]
fn a_machine_without_a_state_folder_can_read() {
    let memory = MemoryBackend::new();
    Machine::new().join(&place(&memory), Encryption::None).unwrap();
    let host = Host { state: None, trusted: &[], keys: &Keys::default(), tell: &|_| {} };
    let reading = host.read(&place(&memory)).unwrap();
    assert!(reading.pinned().is_empty());
    assert_eq!(host.newest_known(&reading), None);
    assert!(StateFolder::of_this_host(Path::new("/nonexistent/seawall")).is_err());
}
