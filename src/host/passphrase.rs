//! A new passphrase: one that is strong enough, or one that seawall invents. The file that it protects lies in
//! the repository, where whoever can read it may try passphrases for years.

use age::secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{Error, Result};

/// Twelve random characters are 60 bits or more; age's scrypt makes each try cost a second.
const FEWEST_CHARACTERS: usize = 12;
/// `aaaaaaaaaaaa` and `121212121212` are long, too.
const FEWEST_DIFFERENT: usize = 5;
/// 120 bits.
const INVENTED_CHARACTERS: usize = 24;
/// What nobody mistakes on paper: no `0`, `1`, `l` or `o`. Thirty-two, so that each random byte serves.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A passphrase for a new key.
pub(super) struct NewPassphrase {
    /// The passphrase.
    pub secret: SecretString,
    /// The same, if nobody knows it yet.
    pub invented: Option<SecretString>,
}

impl NewPassphrase {
    /// One that a person chose; a weak one is refused.
    pub(super) fn chosen(secret: SecretString) -> Result<Self> {
        if let Some(weakness) = weakness(secret.expose_secret()) {
            return Err(Error::WeakPassphrase { weakness });
        }
        Ok(Self { secret, invented: None })
    }

    /// One that nobody has to choose.
    pub(super) fn invent() -> Result<Self> {
        let mut random = Zeroizing::new([0; INVENTED_CHARACTERS]);
        getrandom::fill(&mut *random).map_err(|error| Error::Random(error.to_string()))?;
        let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
        let groups = random.chunks(4).map(|four| four.iter().map(letter).collect());
        let groups: Zeroizing<Vec<String>> = Zeroizing::new(groups.collect());
        let secret = SecretString::from(groups.join("-"));
        Ok(Self { invented: Some(secret.clone()), secret })
    }
}

/// Why a passphrase is easily guessed, if it is.
fn weakness(passphrase: &str) -> Option<String> {
    let characters = passphrase.trim().chars().count();
    if characters < FEWEST_CHARACTERS {
        let plural = if characters == 1 { "" } else { "s" };
        return Some(format!(
            "it has {characters} character{plural}, and {FEWEST_CHARACTERS} are the least"
        ));
    }
    let mut different: Vec<char> = passphrase.chars().collect();
    different.sort_unstable();
    different.dedup();
    (different.len() < FEWEST_DIFFERENT)
        .then(|| format!("it repeats the same {} characters", different.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_monotonous_ones_are_weak() {
        for weak in [
            "",
            "a",
            "hunter2",
            "elevenchars",
            "           a           ",
            "aaaaaaaaaaaaaaaa",
            "1212121212121212",
            "ääääääääääääää",
        ] {
            assert!(weakness(weak).is_some(), "{weak}");
        }
        for strong in ["twelve chars", "correct horse battery staple", "пароль-длинный"]
        {
            assert_eq!(weakness(strong), None, "{strong}");
        }
        assert!(weakness("a").unwrap().contains("1 character,"));
    }

    #[test]
    fn invented_ones_are_strong_and_differ() {
        let one = NewPassphrase::invent().unwrap();
        let text = one.secret.expose_secret().to_owned();
        assert_eq!(one.invented.unwrap().expose_secret(), text);
        assert_eq!(text.len(), 29, "{text}");
        assert!(text.chars().all(|char| char == '-' || ALPHABET.contains(&(char as u8))));
        assert_eq!(weakness(&text), None);
        assert_ne!(NewPassphrase::invent().unwrap().secret.expose_secret(), text);
    }
}
