//! Signed notes, as <https://c2sp.org/signed-note> defines them, with Ed25519. Markers are signed
//! notes (docs/format.md, "Marker"). Keys are written as Go's `golang.org/x/mod/sumdb/note` writes
//! them.
//!
//! This module does not decide what a note's text says, nor which keys are trusted. A note is the
//! text, an empty line, and lines `— <key name> <base64 of key id and signature>`.
//!
//! By hand, with the verification key (`<name>+<key id>+<base64>`) in `$KEY`, a note with one
//! signature line in the file `note`, and OpenSSL 3:
//!
//! ```sh
//! sed '$d' note | sed '$d' > text
//! tail -n 1 note | cut -d ' ' -f 3 | base64 -d | tail -c 64 > signature
//! { printf '\060\052\060\005\006\003\053\145\160\003\041\000'
//!   printf %s "$KEY" | cut -d + -f 3- | base64 -d | tail -c 32; } > key.der
//! openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in text -sigfile signature
//! ```
//!
//! The first `printf` is the constant beginning of every Ed25519 public key in DER (RFC 8410).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use zeroize::Zeroizing;

use crate::object::Sha256;

/// The longest note, in bytes, signatures included.
pub const MAX_NOTE_BYTES: usize = 1_000_000;

/// The most signature lines that a note may have.
pub const MAX_SIGNATURES: usize = 100;

/// The signature type of Ed25519, the only one that seawall knows.
const ED25519: u8 = 1;

const PRIVATE_KEY_PREFIX: &str = "PRIVATE+KEY+";

/// What can be wrong with notes and keys.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// The bytes are no note, or the text cannot become one.
    #[error("malformed note: {0}")]
    Malformed(&'static str),
    /// No signature line names a key that the reader knows.
    #[error("the note has no signature of a known key")]
    NoKnownKey,
    /// A known key's signature does not fit the text.
    #[error("the note's signature of key {name}+{id} is wrong")]
    BadSignature {
        /// The key's name.
        name: String,
        /// The key's id.
        id: KeyId,
    },
    /// A text that is not a key.
    #[error("malformed key: {0}")]
    Key(&'static str),
    /// The system gave no random bytes for a new key.
    #[error("no random bytes for a key")]
    Random(#[source] getrandom::Error),
}

/// The short id of a key. Together with the key's name it says which key signed. It proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// Takes the raw bytes.
    pub const fn new(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }

    fn of(name: &str, public: &[u8; 32]) -> Self {
        let named = [name.as_bytes(), b"\n", &[ED25519], public].concat();
        let [a, b, c, d, ..] = *Sha256::of(&named).as_bytes();
        Self([a, b, c, d])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The secret half of a key. `Debug` shows the public half only.
#[derive(Clone)]
pub struct SigningKey {
    verifying: VerifyingKey,
    secret: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// Makes a new key of this name.
    pub fn generate(name: &str) -> Result<Self, NoteError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(NoteError::Random)?;
        Self::from_seed(name, &seed)
    }

    fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        let verifying = VerifyingKey::new(name, secret.verifying_key())?;
        Ok(Self { verifying, secret })
    }

    /// The public half.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// The secret as a line of text: `PRIVATE+KEY+<name>+<key id>+<base64 of 0x01 and the seed>`.
    pub fn encode(&self) -> Zeroizing<String> {
        let VerifyingKey { name, id, .. } = &self.verifying;
        let key = Zeroizing::new(encode_key(self.secret.as_bytes()));
        let key = key.as_str();
        Zeroizing::new(format!("{PRIVATE_KEY_PREFIX}{name}+{id}+{key}"))
    }
}

impl FromStr for SigningKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let text = text.strip_prefix(PRIVATE_KEY_PREFIX).ok_or(NoteError::Key("no private key"))?;
        let (name, id, seed) = decode_key(text)?;
        let key = Self::from_seed(name, &seed)?;
        key.verifying.check_id(id)?;
        Ok(key)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, secret)", self.verifying)
    }
}

/// The public half of a key. Its text is `<name>+<key id>+<base64 of 0x01 and the key>`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    id: KeyId,
    public: ed25519_dalek::VerifyingKey,
}

impl VerifyingKey {
    fn new(name: &str, public: ed25519_dalek::VerifyingKey) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::Key("the name is empty or has a space or plus"));
        }
        if public.is_weak() {
            return Err(NoteError::Key("the key is weak"));
        }
        Ok(Self { name: name.to_owned(), id: KeyId::of(name, public.as_bytes()), public })
    }

    /// The key's name. It has no space, plus or control character.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id that stands in signature lines.
    pub fn id(&self) -> KeyId {
        self.id
    }

    fn check_id(&self, written: &str) -> Result<(), NoteError> {
        if self.id.to_string() == written {
            Ok(())
        } else {
            Err(NoteError::Key("the id is another key's"))
        }
    }

    fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        ed25519_dalek::Signature::from_slice(signature)
            .and_then(|signature| self.public.verify_strict(text.as_bytes(), &signature))
            .is_ok()
    }
}

impl FromStr for VerifyingKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, id, public) = decode_key(text)?;
        let public = ed25519_dalek::VerifyingKey::from_bytes(&public)
            .map_err(|_| NoteError::Key("no point of the curve"))?;
        let key = Self::new(name, public)?;
        key.check_id(id)?;
        Ok(key)
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = encode_key(self.public.as_bytes());
        write!(f, "{}+{}+{key}", self.name, self.id)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn encode_key(key: &[u8; 32]) -> String {
    let mut typed = Zeroizing::new([ED25519; 33]);
    typed[1..].copy_from_slice(key);
    STANDARD.encode(typed.as_slice())
}

/// Splits `<name>+<key id>+<base64>`. Does not check the name and the id.
fn decode_key(text: &str) -> Result<(&str, &str, [u8; 32]), NoteError> {
    let mut fields = text.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(NoteError::Key("not of the form name+id+base64"));
    };
    let key = STANDARD.decode(key).map(Zeroizing::new);
    let key = key.map_err(|_| NoteError::Key("not in base64"))?;
    match key.split_first() {
        Some((&ED25519, key)) => {
            Ok((name, id, key.try_into().map_err(|_| NoteError::Key("not of 32 bytes"))?))
        }
        _ => Err(NoteError::Key("not an Ed25519 key")),
    }
}

fn is_name(name: &str) -> bool {
    let forbidden = |char: char| char.is_whitespace() || char.is_control() || char == '+';
    !name.is_empty() && !name.contains(forbidden)
}

/// Signs a text. It must end in a newline and have no control characters but newlines.
pub fn sign(text: &str, key: &SigningKey) -> Result<String, NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::Malformed("the text does not end in a newline"));
    }
    let signature = key.secret.sign(text.as_bytes()).to_bytes();
    let VerifyingKey { name, id, .. } = &key.verifying;
    let signature = STANDARD.encode([id.as_bytes().as_slice(), &signature].concat());
    let note = format!("{text}\n— {name} {signature}\n");
    check_length(note.len())?;
    check_characters(&note)?;
    Ok(note)
}

fn check_length(len: usize) -> Result<(), NoteError> {
    if len > MAX_NOTE_BYTES {
        return Err(NoteError::Malformed("longer than 1,000,000 bytes"));
    }
    Ok(())
}

/// The specification allows DEL and C1 controls. seawall never writes them, and a terminal should
/// not show them.
fn check_characters(note: &str) -> Result<(), NoteError> {
    if note.contains(|char: char| char.is_control() && char != '\n') {
        return Err(NoteError::Malformed("a control character"));
    }
    Ok(())
}

/// A note that a known key signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The signed text.
    pub text: String,
    /// The known key that signed it; the first one if there are several.
    pub key: VerifyingKey,
}

/// Reads a note and verifies it. Every signature that names a key of `known` must fit, and at least
/// one must be there. Signatures of other keys are ignored.
pub fn open(note: &[u8], known: &[VerifyingKey]) -> Result<Opened, NoteError> {
    let Unverified { text, signatures } = peek(note)?;
    let mut first = None;
    for line in signatures {
        let mut named =
            known.iter().filter(|key| key.id == line.id && key.name == line.name).peekable();
        if named.peek().is_none() {
            continue;
        }
        let key = named
            .find(|key| key.verifies(&text, &line.signature))
            .ok_or(NoteError::BadSignature { name: line.name, id: line.id })?;
        first.get_or_insert(key);
    }
    let key = first.ok_or(NoteError::NoKnownKey)?.clone();
    Ok(Opened { text, key })
}

/// A note whose signatures were not verified: good for display, never for a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified {
    /// The text, whoever wrote it.
    pub text: String,
    /// The signature lines: at least one.
    pub signatures: Vec<SignatureLine>,
}

/// One signature line of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    /// The name of the key that the line claims.
    pub name: String,
    /// The id of that key.
    pub id: KeyId,
    signature: Vec<u8>,
}

/// Reads a note without verifying anything.
pub fn peek(note: &[u8]) -> Result<Unverified, NoteError> {
    check_length(note.len())?;
    let note = std::str::from_utf8(note).map_err(|_| NoteError::Malformed("not UTF-8"))?;
    check_characters(note)?;
    let end = note.rfind("\n\n").ok_or(NoteError::Malformed("no empty line before signatures"))?;
    let (text, lines) = note.split_at(end + 1);
    let lines = lines[1..].strip_suffix('\n').ok_or(NoteError::Malformed("no signature lines"))?;
    if lines.split('\n').count() > MAX_SIGNATURES {
        return Err(NoteError::Malformed("more than 100 signatures"));
    }
    Ok(Unverified {
        text: text.to_owned(),
        signatures: lines
            .split('\n')
            .map(|line| parse_line(line).ok_or(NoteError::Malformed("a wrong signature line")))
            .collect::<Result<_, _>>()?,
    })
}

fn parse_line(line: &str) -> Option<SignatureLine> {
    let (name, signature) = line.strip_prefix("— ")?.split_once(' ')?;
    let bytes = STANDARD.decode(signature).ok()?;
    let (id, signature) = bytes.split_first_chunk()?;
    (is_name(name) && !signature.is_empty()).then(|| SignatureLine {
        name: name.to_owned(),
        id: KeyId(*id),
        signature: signature.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::frames::tests::{put, shell};
    use proptest::prelude::*;

    // The example of golang.org/x/mod/sumdb/note.
    const GO_SIGNING: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const GO_VERIFYING: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                           then you don't know what your problem is.\n";
    const GO_LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn key(name: &str) -> SigningKey {
        SigningKey::generate(name).unwrap()
    }

    #[test]
    fn the_example_of_go_is_written_and_verified() {
        let signing: SigningKey = GO_SIGNING.parse().unwrap();
        let verifying: VerifyingKey = GO_VERIFYING.parse().unwrap();
        assert_eq!(signing.verifying_key(), &verifying);
        assert_eq!(signing.encode().as_str(), GO_SIGNING);
        assert_eq!(verifying.to_string(), GO_VERIFYING);
        assert_eq!(verifying.id().to_string(), "c74f20a3");
        assert_eq!(verifying.name(), "PeterNeumann");
        let note = format!("{GO_TEXT}\n{GO_LINE}");
        assert_eq!(sign(GO_TEXT, &signing).unwrap(), note);
        let opened = open(note.as_bytes(), std::slice::from_ref(&verifying)).unwrap();
        assert_eq!((opened.text.as_str(), opened.key), (GO_TEXT, verifying));
    }

    #[test]
    fn the_example_of_the_specification_parses() {
        let text = "Ognuno sta solo sul cuor della terra\n\
                    trafitto da un raggio di sole:\n\ned è subito sera.\n";
        let note = format!(
            "{text}\n— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
        );
        let unverified = peek(note.as_bytes()).unwrap();
        assert_eq!(unverified.text, text);
        assert_eq!(unverified.signatures[0].name, "quasimodo.example/salvatore");
        assert_eq!(unverified.signatures[0].id.to_string(), "367ba04b");
    }

    #[test]
    fn debug_hides_the_secret() {
        let shown = format!("{:?}", GO_SIGNING.parse::<SigningKey>().unwrap());
        assert!(!shown.contains("AYEKFALV") && shown.contains("c74f20a3"), "{shown}");
    }

    #[test]
    fn unknown_signatures_are_ignored_and_known_ones_must_fit() {
        let (ours, other) = (key("host"), key("host"));
        let known = [ours.verifying_key().clone()];
        let note = sign("text\n", &ours).unwrap();
        let by_other = sign("text\n", &other).unwrap();
        let line = |note: &str| note.lines().last().unwrap().to_owned() + "\n";

        let both = by_other.clone() + &line(&note);
        assert_eq!(open(both.as_bytes(), &known).unwrap().key, known[0]);
        assert!(matches!(open(by_other.as_bytes(), &known), Err(NoteError::NoKnownKey)));
        assert!(matches!(open(note.as_bytes(), &[]), Err(NoteError::NoKnownKey)));

        let for_other_text = line(&sign("other\n", &ours).unwrap());
        for bad in [
            note.replace("text", "Text"),
            note.clone() + &for_other_text,
            format!("text\n\n{for_other_text}") + &line(&note),
        ] {
            assert!(
                matches!(open(bad.as_bytes(), &known), Err(NoteError::BadSignature { .. })),
                "{bad}"
            );
        }
        // A known key's line with a signature of another length is a bad one, not an unknown one.
        let short = STANDARD.encode([known[0].id().as_bytes().as_slice(), b"short"].concat());
        let short = format!("text\n\n— host {short}\n");
        assert!(matches!(open(short.as_bytes(), &known), Err(NoteError::BadSignature { .. })));
    }

    #[test]
    fn texts_that_cannot_be_signed() {
        let key = key("a");
        let long = "a".repeat(MAX_NOTE_BYTES - 1) + "\n";
        for text in ["", "a", "a\t\n", "a\r\n", "\0\n", "\u{7f}\n", "\u{9b}1m\n", &long] {
            assert!(sign(text, &key).is_err(), "{:?}", text.get(..10));
        }
        for text in ["\n", "a\n\n", "\n\n\n", "— a b\n\n— c d\n", "è\n"] {
            let note = sign(text, &key).unwrap();
            let known = [key.verifying_key().clone()];
            assert_eq!(open(note.as_bytes(), &known).unwrap().text, text);
        }
    }

    #[test]
    fn the_longest_note_opens() {
        let key = key("a");
        let line = sign("\n", &key).unwrap().len() - 1;
        let text = "a".repeat(MAX_NOTE_BYTES - line - 1) + "\n";
        let note = sign(&text, &key).unwrap();
        assert_eq!(note.len(), MAX_NOTE_BYTES);
        assert!(open(note.as_bytes(), &[key.verifying_key().clone()]).is_ok());
        assert!(sign(&format!("a{text}"), &key).is_err());
    }

    #[test]
    fn malformed_notes_are_refused() {
        let good = format!("{GO_TEXT}\n{GO_LINE}");
        let known = [GO_VERIFYING.parse().unwrap()];
        let many = |count: usize| {
            let other = GO_LINE.replace("Peter", "Paul");
            format!("{GO_TEXT}\n{}{GO_LINE}", other.repeat(count))
        };
        assert!(open(many(99).as_bytes(), &known).is_ok());
        for bad in [
            many(100),
            String::new(),
            GO_TEXT.to_owned(),
            format!("{GO_TEXT}\n"),
            good.trim_end().to_owned(),
            good.clone() + "\n",
            good.clone() + "more\n",
            good.replace("— ", "- "),
            good.replace("— ", "—\u{a0}"),
            good.replace("Neumann x08", "Neumann  x08"),
            good.replace("PeterNeumann x08", "x08"),
            good.replace("PeterNeumann x08", "Peter+Neumann x08"),
            good.replace("nAM=", "nAM"),
            good.replace("nAM=", "nAM= "),
            format!("{GO_TEXT}\n— PeterNeumann x08gow==\n"),
            good.replace("think", "th\u{1b}nk"),
            GO_LINE.to_owned(),
        ] {
            assert!(matches!(open(bad.as_bytes(), &known), Err(NoteError::Malformed(_))), "{bad}");
        }
        let not_utf8 = [b"\xff\n\n".as_slice(), GO_LINE.as_bytes()].concat();
        assert!(peek(&not_utf8).is_err());
    }

    #[test]
    fn malformed_keys_are_refused() {
        let (start, end) = GO_VERIFYING.split_at(13);
        for bad in [
            "",
            "PeterNeumann",
            GO_SIGNING,
            &GO_VERIFYING.replace("c74f20a3", "c74f20a4"),
            &GO_VERIFYING.replace("c74f20a3", "C74F20A3"),
            &GO_VERIFYING.replace("Peter", "Paul"),
            &GO_VERIFYING.replace("Peter", "Peter "),
            &GO_VERIFYING.replace("ARpc", "AhpC"),
            &GO_VERIFYING[..GO_VERIFYING.len() - 4],
            &format!("{start}+{end}"),
        ] {
            assert!(bad.parse::<VerifyingKey>().is_err(), "{bad}");
        }
        let public = encode_key(&[0; 32]);
        assert!(format!("a+00000000+{public}").parse::<VerifyingKey>().is_err());
        for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb", "a\u{7f}"] {
            assert!(SigningKey::generate(name).is_err(), "{name:?}");
        }
        assert!(GO_VERIFYING.parse::<SigningKey>().is_err());
        assert!(GO_SIGNING.replace("c74f20a3", "00000000").parse::<SigningKey>().is_err());
    }

    #[test]
    fn weak_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let text = format!("a+{}+{}", KeyId::of("a", &identity), encode_key(&identity));
        assert!(matches!(text.parse::<VerifyingKey>(), Err(NoteError::Key("the key is weak"))));
    }

    /// Whoever has the secret can make a signature with a small-order `R` that fits by plain
    /// verification, and fits other texts with other keys.
    #[test]
    fn verification_is_strict() {
        use ed25519_dalek::Verifier as _;
        use sha2::Digest as _;
        let key = key("a");
        let VerifyingKey { name, id, public } = key.verifying_key();
        let mut signature = [0; 64];
        signature[0] = 1;
        let challenge = sha2::Sha512::new()
            .chain_update(&signature[..32])
            .chain_update(public.as_bytes())
            .chain_update("text\n")
            .finalize();
        let challenge = curve25519_dalek::Scalar::from_bytes_mod_order_wide(&challenge.into());
        let scalar = challenge * key.secret.to_scalar();
        signature[32..].copy_from_slice(scalar.as_bytes());
        let loose = ed25519_dalek::Signature::from_bytes(&signature);
        assert!(public.verify(b"text\n", &loose).is_ok());
        let line = STANDARD.encode([id.as_bytes().as_slice(), &signature].concat());
        let note = format!("text\n\n— {name} {line}\n");
        assert!(matches!(
            open(note.as_bytes(), &[key.verifying_key().clone()]),
            Err(NoteError::BadSignature { .. })
        ));
    }

    /// The lines of the module's documentation, run as they stand.
    #[test]
    fn openssl_verifies_by_hand() {
        let script: String = include_str!("note.rs")
            .lines()
            .skip_while(|line| *line != "//! ```sh")
            .skip(1)
            .take_while(|line| *line != "//! ```")
            .map(|line| line.trim_start_matches("//! ").to_owned() + "\n")
            .collect();
        let folder = tempfile::tempdir().unwrap();
        for name in ["host.example/backup", "ä"] {
            let key = key(name);
            let note = sign("seawall snapshot 1\n\nè\n", &key).unwrap();
            put(folder.path(), "note", note.as_bytes());
            let with_key = format!("KEY='{}'\n{script}", key.verifying_key());
            let said = shell(folder.path(), &with_key);
            assert_eq!(said, b"Signature Verified Successfully\n");
            put(folder.path(), "note", note.replace('1', "2").as_bytes());
            shell(folder.path(), &format!("! ( set -e; {with_key} )"));
        }
    }

    proptest! {
        #[test]
        fn notes_round_trip(lines in prop::collection::vec("\\PC{0,30}", 1..6), name in "[a-z./é-]{1,20}") {
            let key = key(&name);
            let text = lines.join("\n") + "\n";
            let note = sign(&text, &key).unwrap();
            let opened = open(note.as_bytes(), &[key.verifying_key().clone()]).unwrap();
            prop_assert_eq!(opened.text, text);
            let again: SigningKey = key.encode().parse().unwrap();
            prop_assert_eq!(again.verifying_key(), key.verifying_key());
            let again: VerifyingKey = key.verifying_key().to_string().parse().unwrap();
            prop_assert_eq!(&again, key.verifying_key());
        }

        #[test]
        fn any_change_is_refused(at: prop::sample::Index, byte: u8) {
            let mut note = format!("{GO_TEXT}\n{GO_LINE}").into_bytes();
            let at = at.index(note.len());
            prop_assume!(note[at] != byte);
            note[at] = byte;
            prop_assert!(open(&note, &[GO_VERIFYING.parse().unwrap()]).is_err());
        }

        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,60}") {
            let _ = peek(&bytes);
            let _ = text.parse::<VerifyingKey>();
            let _ = text.parse::<SigningKey>();
            let _ = peek(format!("{text}\n\n— {text}\n").as_bytes());
        }
    }
}
