use std::process::Command;

use age::secrecy::SecretString;
use proptest::prelude::*;
use seawall_test_servers::wait;

use super::*;

fn nobody(_: &str) -> Option<SecretString> {
    None
}

/// A new key, to read with and to seal to.
fn pair() -> (Identities, Recipients) {
    let (secret, public) = Identities::generate();
    let identities = Identities::read(secret.as_bytes(), "new", &mut nobody).unwrap();
    (identities, Recipients::parse(&public).unwrap())
}

#[test]
fn each_recipient_opens_and_nobody_else() {
    let ((first, one), (second, other), (third, _)) = (pair(), pair(), pair());
    let mut both = one.clone();
    both.add(other.texts().next().unwrap()).unwrap();
    both.add(other.texts().next().unwrap()).unwrap();
    assert_eq!(both.texts().count(), 2, "the same twice is one");
    let sealed = both.seal(None, b"text").unwrap();
    assert_eq!(first.open(&sealed).unwrap(), b"text");
    assert_eq!(second.open(&sealed).unwrap(), b"text");
    assert!(matches!(third.open(&sealed), Err(OpenError::NoKey)));
    assert!(matches!(Identities::default().open(&sealed), Err(OpenError::NoKey)));
    let mut several = third.clone();
    several.extend(first);
    assert_eq!(several.open(&sealed).unwrap(), b"text");
    let host = age::x25519::Identity::generate();
    let sealed = one.seal(Some(&host.to_public()), b"index").unwrap();
    let text = host.to_string();
    let host = age::secrecy::ExposeSecret::expose_secret(&text);
    let host = Identities::read(host.as_bytes(), "host", &mut nobody).unwrap();
    assert_eq!(host.open(&sealed).unwrap(), b"index");
}

#[test]
fn nothing_is_sealed_to_nobody() {
    assert!(matches!(
        Recipients::default().seal(None, b"x"),
        Err(SealError::Age(EncryptError::MissingRecipients))
    ));
}

#[test]
fn recipients_are_read_as_age_reads_them() {
    let (_, key) = pair();
    let key = key.texts().next().unwrap().to_owned();
    let text = format!("# those of the office\n\n  {key}\r\n{key}\n");
    assert_eq!(Recipients::parse(&text).unwrap().texts().count(), 1);
    for text in ["age1abc", "ssh-dss AAAA", "x", "ssh-ed25519 !!!", "age1 age1"] {
        let refused = Recipients::parse(text).unwrap_err();
        assert!(matches!(refused, ParseRecipientError::Unknown(_)), "{text}");
    }
    let (secret, _) = Identities::generate();
    let line = secret.lines().nth(1).unwrap();
    let refused = Recipients::parse(line).unwrap_err();
    assert_eq!(refused, ParseRecipientError::Secret);
    assert!(!refused.to_string().contains(line));
}

#[test]
fn no_secret_is_shown() {
    let (secret, _) = Identities::generate();
    let key = Identities::read(secret.as_bytes(), "x", &mut nobody).unwrap();
    assert_eq!(format!("{key:?}"), "[\"x25519\"]");
}

#[test]
fn identity_files_behind_a_passphrase() {
    let (secret, public) = Identities::generate();
    let recipients = Recipients::parse(&public).unwrap();
    let sealed = recipients.seal(None, b"text").unwrap();
    let wrapped = wrap(&secret, "correct".to_owned().into()).unwrap();
    let mut asked = Vec::new();
    let mut say = |name: &str| {
        asked.push(name.to_owned());
        Some(SecretString::from("correct".to_owned()))
    };
    let key = Identities::read(&wrapped, "keys/paper.age", &mut say).unwrap();
    assert_eq!(key.open(&sealed).unwrap(), b"text");
    assert_eq!(asked, ["keys/paper.age"]);
    let mut wrong = |_: &str| Some(SecretString::from("wrong".to_owned()));
    let refused = Identities::read(&wrapped, "x", &mut wrong).unwrap_err();
    assert!(matches!(refused, IdentityError::WrongPassphrase), "{refused:?}");
    let refused = Identities::read(&wrapped, "x", &mut nobody).unwrap_err();
    assert!(matches!(refused, IdentityError::NoPassphrase), "{refused:?}");
    let mut say = |_: &str| Some(SecretString::from("correct".to_owned()));
    for bytes in [&b""[..], b"# nothing", b"\xff", b"AGE-SECRET-KEY-1", &sealed] {
        let refused = Identities::read(bytes, "x", &mut say).unwrap_err();
        assert!(
            matches!(refused, IdentityError::None | IdentityError::Malformed(_)),
            "{refused:?}"
        );
    }
}

/// Keys as ssh-keygen makes them, with and without a passphrase.
#[test]
fn ssh_keys_open_what_is_sealed_to_them() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, passphrase) in [("ed25519", ""), ("rsa", ""), ("ed25519", "correct")] {
        let path = folder.path().join(format!("{kind}{passphrase}"));
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", kind, "-N", passphrase, "-C", "me@here", "-f"]);
        wait::success(make.arg(&path));
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        let sealed = Recipients::parse(&public).unwrap().seal(None, b"text").unwrap();
        let mut say = |_: &str| Some(SecretString::from("correct".to_owned()));
        let private = std::fs::read(&path).unwrap();
        let key = Identities::read(&private, "key", &mut say).unwrap();
        assert_eq!(key.open(&sealed).unwrap(), b"text", "{kind}");
        if !passphrase.is_empty() {
            let mut wrong = |_: &str| Some(SecretString::from("wrong".to_owned()));
            let refused = Identities::read(&private, "key", &mut wrong).unwrap_err();
            assert!(matches!(refused, IdentityError::WrongPassphrase), "{refused:?}");
        }
    }
}

fn part(bytes: &[u8], range: &std::ops::Range<u64>) -> Vec<u8> {
    let at = |at: u64| usize::try_from(at).unwrap();
    bytes[at(range.start)..at(range.end)].to_vec()
}

/// What is fetched for a range: the header, the pieces that it lies in, and the last.
#[test]
fn a_range_takes_the_pieces_that_it_lies_in() {
    const PIECE: u64 = 64 * 1024 + 16;
    let (key, recipients) = pair();
    let plain: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let sealed = recipients.seal(None, &plain).unwrap();
    let len = sealed.len() as u64;
    for range in [0..1, 70_000..70_010, 65_535..65_537, 131_072..262_144, 999_999..1_000_000, 5..5]
    {
        let mut fetched = Vec::new();
        let mut fetch = |range: std::ops::Range<u64>| {
            fetched.push(range.clone());
            Ok(part(&sealed, &range))
        };
        let read = key.open_range(len, range.clone(), &mut fetch).unwrap();
        assert_eq!(read, part(&plain, &range), "{range:?}");
        let pieces = match range.end - range.start {
            0 => 0,
            _ => (range.end - 1) / 65_536 - range.start / 65_536 + 1,
        };
        let bytes: u64 = fetched.iter().map(|range| range.end - range.start).sum();
        assert!(fetched.len() <= 3, "{range:?}: {fetched:?}");
        assert!(bytes <= (pieces + 1) * PIECE + 2048, "{range:?}: {bytes}");
    }
    let mut fetch = |range: std::ops::Range<u64>| Ok(part(&sealed, &range));
    for range in [999_999..1_000_001, 0..len, len..len + 1] {
        assert!(key.open_range(len, range, &mut fetch).is_err());
    }
}

proptest! {
    #[test]
    fn altered_bytes_are_never_given(at: prop::sample::Index, flip in 1u8.., len in 0usize..200_000) {
        let (key, recipients) = pair();
        let plain = vec![7; len];
        let mut sealed = recipients.seal(None, &plain).unwrap();
        prop_assert_eq!(&key.open(&sealed).unwrap(), &plain);
        let at = at.index(sealed.len());
        sealed[at] ^= flip;
        prop_assert!(key.open(&sealed).is_err());
        sealed.truncate(at);
        prop_assert!(key.open(&sealed).is_err());
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), magic: bool) {
        let (key, _) = pair();
        let mut bytes = bytes;
        if magic {
            bytes.splice(0..0, *b"age-encryption.org/v1\n-> X25519 ");
        }
        prop_assert!(key.open(&bytes).is_err());
        let _ = Identities::read(&bytes, "x", &mut nobody);
        let _ = Recipients::parse(&String::from_utf8_lossy(&bytes));
    }
}
