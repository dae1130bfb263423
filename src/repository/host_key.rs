//! The host key. It signs markers; its X25519 half opens the index and the manifests of an
//! encrypted repository, so that a lost catalog can be rebuilt (docs/design.md, "Keys"). It never
//! leaves the host.

use bech32::{Bech32, Hrp};
use curve25519_dalek::MontgomeryPoint;
use zeroize::Zeroizing;

use super::Error;
use super::note::{KeyId, NoteError, SigningKey, VerifyingKey};
use crate::crypt::{Identities, Recipients};
use crate::time::Timestamp;

/// The longest key file that is read.
pub const MAX_BYTES: u64 = 64 * 1024;

/// The key of a backed-up host: an Ed25519 key to sign, an X25519 key (an age identity) to read.
pub struct HostKey {
    signing: SigningKey,
    identity: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HostKey({})", self.id())
    }
}

impl HostKey {
    /// Makes a new key for a host of that name. Characters that a key's name cannot have become
    /// `-`.
    pub fn generate(host: &str) -> Result<Self, Error> {
        let host: String = host
            .chars()
            .take(60)
            .map(|char| if char.is_ascii_alphanumeric() || char == '.' { char } else { '-' })
            .collect();
        let signing = SigningKey::generate(&format!("seawall-{host}"))?;
        let mut identity = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *identity).map_err(|error| Error::Random(error.to_string()))?;
        Ok(Self { signing, identity })
    }

    /// The Ed25519 key that signs markers.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The public key that verifies its signatures.
    pub fn verifying(&self) -> VerifyingKey {
        self.signing.verifying_key().clone()
    }

    /// The short id of the key. A snapshot's name has its first four hex digits.
    pub fn id(&self) -> KeyId {
        self.verifying().id()
    }

    /// Its X25519 half as an age recipient, `age1…`.
    pub fn recipient(&self) -> String {
        let public = MontgomeryPoint::mul_base_clamped(*self.identity);
        bech32::encode::<Bech32>(Hrp::parse_unchecked("age"), public.as_bytes()).unwrap_or_default()
    }

    /// Its X25519 half as an identity. It opens segments and manifests of this host.
    pub fn identities(&self) -> Result<Identities, Error> {
        let text = self.identity_text();
        let mut nobody = |_: &str| None;
        let read = Identities::read(text.as_bytes(), "the host key", &mut nobody);
        read.map_err(|error| Error::Malformed {
            what: "the host key".into(),
            reason: error.to_string(),
        })
    }

    /// Seals an empty file as a test, to these recipients together with the host. This fails if an
    /// age plugin is missing, or if a plugin accepts no other recipients beside its own.
    pub fn try_sealing_to(&self, recipients: &Recipients) -> Result<(), Error> {
        if recipients.is_empty() {
            return Ok(());
        }
        let host = self.recipient().parse().ok();
        recipients.seal(host.as_ref(), b"")?;
        Ok(())
    }

    fn identity_text(&self) -> Zeroizing<String> {
        let secret = Hrp::parse_unchecked("age-secret-key-");
        let identity = bech32::encode_upper::<Bech32>(secret, &*self.identity);
        Zeroizing::new(identity.unwrap_or_default())
    }

    /// The text of the key file. It is secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        let (signing, identity) = (self.signing.encode(), self.identity_text());
        Zeroizing::new(format!(
            "# seawall host key {}: signs the markers of this host. Keep it secret, keep it here.\n{}\n{}\n",
            self.id(),
            signing.as_str(),
            identity.as_str()
        ))
    }

    /// Reads a key file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let malformed =
            |reason: &str| Error::Malformed { what: "the host key".into(), reason: reason.into() };
        if text.len() as u64 > MAX_BYTES {
            return Err(malformed("it is too long"));
        }
        let mut lines =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let signing = lines.next().ok_or_else(|| malformed("it holds no key"))?;
        let signing: SigningKey =
            signing.parse().map_err(|error: NoteError| malformed(&error.to_string()))?;
        let identity = lines.next().ok_or_else(|| malformed("it holds no age identity"))?;
        let (prefix, identity) =
            bech32::decode(identity).map_err(|_| malformed("its age identity is bad"))?;
        let identity = Zeroizing::new(identity);
        let identity = <[u8; 32]>::try_from(identity.as_slice()).map(Zeroizing::new);
        let identity = identity.map_err(|_| malformed("its age identity is too short"))?;
        if prefix.to_lowercase() != "age-secret-key-" {
            return Err(malformed("its second key is not an age identity"));
        }
        Ok(Self { signing, identity })
    }

    /// The content of `keys/<key id>.pub`. It informs people; nothing trusts it.
    pub fn public_text(&self, created: Timestamp) -> String {
        format!(
            "seawall host key 1\nverifier {}\nrecipient {}\ncreated {created}\n",
            self.verifying(),
            self.recipient()
        )
    }
}

/// Reads the verification key of `keys/<key id>.pub`.
pub fn parse_public(bytes: &[u8]) -> Result<VerifyingKey, Error> {
    let malformed = |reason: &str| Error::Malformed {
        what: "a host's public key".into(),
        reason: reason.into(),
    };
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not text"))?;
    if text.len() as u64 > MAX_BYTES || text.lines().next() != Some("seawall host key 1") {
        return Err(malformed("it does not begin with \"seawall host key 1\""));
    }
    let verifier = text.lines().find_map(|line| line.strip_prefix("verifier "));
    let verifier = verifier.ok_or_else(|| malformed("it names no verifier"))?;
    verifier.parse().map_err(|error: NoteError| malformed(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_files_round_trip() {
        let key = HostKey::generate("cloud.example ü+x").unwrap();
        let again = HostKey::parse(&key.to_text()).unwrap();
        assert_eq!(again.to_text(), key.to_text());
        assert_eq!(again.id(), key.id());
        let public = key.public_text(Timestamp::from_seconds(0).unwrap());
        assert_eq!(parse_public(public.as_bytes()).unwrap(), key.verifying());
    }

    #[test]
    fn the_recipient_is_the_one_that_age_computes() {
        // The pair of age's own documentation of its test key (rage, age/src/x25519.rs).
        let secret = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
        let recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
        let signing = SigningKey::generate("x").unwrap();
        let key = HostKey::parse(&format!("{}\n{secret}\n", signing.encode().as_str())).unwrap();
        assert_eq!(key.recipient(), recipient);
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = HostKey::generate("x").unwrap();
        let shown = format!("{key:?}");
        assert!(key.to_text().lines().skip(1).all(|line| !shown.contains(line)));
    }

    #[test]
    fn bad_key_files_are_refused() {
        for text in ["", "# only a comment", "PRIVATE+KEY+x", "age1xyz\nage1xyz"] {
            assert!(HostKey::parse(text).is_err(), "{text:?}");
        }
    }
}
