//! Names of temporary files. Every backend with folders uses the same pattern, because one folder
//! may be reached locally, over SFTP and over WebDAV.

use crate::{Error, ErrorKind, Result};

const PREFIX: &str = ".seawall-";
const SUFFIX: &str = ".tmp";
const RANDOM_LEN: usize = 32;

/// A name that no key has and no other writer takes.
pub(crate) fn random_name() -> Result<String> {
    let mut random = [0; RANDOM_LEN / 2];
    getrandom::fill(&mut random)
        .map_err(|error| Error::new(ErrorKind::Other).with_source(error.to_string()))?;
    let random = u128::from_le_bytes(random);
    Ok(format!("{PREFIX}{random:0RANDOM_LEN$x}{SUFFIX}"))
}

/// Whether a name is one of those made here.
pub(crate) fn is_name(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    random.is_some_and(|random| random.len() == RANDOM_LEN && random.bytes().all(is_hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_others() {
        let name = random_name().unwrap();
        assert!(is_name(&name), "{name}");
        assert_ne!(name, random_name().unwrap());
        for other in [
            "",
            ".seawall-.tmp",
            "seawall.json",
            ".seawall-0123456789abcdef0123456789abcdeg.tmp",
            ".seawall-0123456789abcdef0123456789abcdef.tm",
            ".seawall-0123456789abcdef0123456789abcdef0.tmp",
        ] {
            assert!(!is_name(other), "{other}");
        }
    }
}
