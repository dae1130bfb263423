//! Which damage somebody means.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::object::Object;
use crate::repository::manifest::{Damage, Manifest};

/// No shorter beginning of an id is taken.
const SHORTEST: usize = 6;

/// The id of a damaged object, or the beginning of one; of damage in a library's row, which is of no
/// object, the library's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id(String);

/// A text that cannot be the beginning of an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("give at least {SHORTEST} hex digits of the id that `seawall damage list` shows")]
pub struct ParseIdError;

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let text = text.to_ascii_lowercase();
        let fits = text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if fits && (SHORTEST..=40).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(ParseIdError)
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// By what id some damage goes: its object's, or its library's.
pub fn id_of(damage: &Damage) -> String {
    if damage.id.is_empty() {
        damage.library.to_string()
    } else {
        damage.id.to_string()
    }
}

/// What of a snapshot's damage is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of it.
    All,
    /// These.
    Ids(Vec<Id>),
}

/// An id does not select anything, or too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No damage has it.
    #[error("the snapshot {snapshot} lists no damage with the id {id}")]
    None {
        /// What was asked for.
        id: Id,
        /// Where it was looked for.
        snapshot: String,
    },
    /// Several begin like this.
    #[error("several ids begin with {id}: {}", candidates.join(", "))]
    Several {
        /// What was asked for.
        id: Id,
        /// The ids, at most ten.
        candidates: Vec<String>,
    },
}

impl SelectError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::None { .. } => "`seawall damage list` shows what there is",
            Self::Several { .. } => "give more digits",
        })
    }
}

impl Selection {
    /// The objects that are meant; an id that several stores have means all of them.
    pub(super) fn objects(&self, manifest: &Manifest) -> Result<BTreeSet<Object>, SelectError> {
        let mut objects = BTreeSet::new();
        match self {
            Self::All => objects.extend(manifest.all_damage().map(Damage::object)),
            Self::Ids(ids) => {
                for id in ids {
                    let matching = manifest
                        .all_damage()
                        .filter(|damage| id_of(damage).starts_with(&id.0));
                    let names: BTreeSet<String> = matching.clone().map(id_of).collect();
                    match names.len() {
                        1 => objects.extend(matching.map(Damage::object)),
                        0 => {
                            return Err(SelectError::None {
                                id: id.clone(),
                                snapshot: manifest.snapshot.to_string(),
                            });
                        }
                        _ => {
                            return Err(SelectError::Several {
                                id: id.clone(),
                                candidates: names.into_iter().take(10).collect(),
                            });
                        }
                    }
                }
            }
        }
        Ok(objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_six_digits_at_least() {
        for text in ["", "abcde", "abcdeg", "ABCDE!", &"a".repeat(41)] {
            assert_eq!(text.parse::<Id>(), Err(ParseIdError), "{text}");
        }
        assert_eq!("ABCDEF".parse::<Id>().unwrap().to_string(), "abcdef");
        let library = "d2ff256a-37df-4218-93c6-4e72af48bab2";
        assert_eq!(library.parse::<Id>().unwrap().to_string(), library);
    }
}
