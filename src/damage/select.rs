//! Parses and resolves which damage the administrator means.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::object::{LibraryId, Object};
use crate::repository::manifest::{Damage, Library, Manifest};

/// The shortest beginning of an id that is accepted.
const SHORTEST: usize = 6;

/// The id of a damaged object, or its beginning. Damage in a library's row has no object, so there
/// it is the library's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id(String);

/// A text that cannot be the beginning of an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("give at least {SHORTEST} hex digits of the id that `seawall damage list` shows")]
pub struct ParseIdStartError;

impl FromStr for Id {
    type Err = ParseIdStartError;

    fn from_str(text: &str) -> Result<Self, ParseIdStartError> {
        let text = text.to_ascii_lowercase();
        let fits = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if fits && (SHORTEST..=40).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(ParseIdStartError)
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id by which some damage is selected: its object's, or its library's if it has no object.
pub fn id_of(damage: &Damage) -> String {
    if damage.id.is_empty() { damage.library.to_string() } else { damage.id.to_string() }
}

/// Which damage of a snapshot is selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of it.
    All,
    /// The damage with these ids.
    Ids(Vec<Id>),
    /// What users miss there.
    Place(PlaceFilter),
}

/// Where users miss something: in a library, at a path, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlaceFilter {
    /// The library's id, the first six digits of it or more, or its name.
    pub library: Option<String>,
    /// A file, or a folder with all that is below it.
    pub path: Option<String>,
}

impl fmt::Display for PlaceFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.path, &self.library) {
            (Some(path), Some(library)) => write!(f, "at {path:?} of library {library:?}"),
            (Some(path), None) => write!(f, "at {path:?}"),
            (None, Some(library)) => write!(f, "in library {library:?}"),
            (None, None) => f.write_str("anywhere"),
        }
    }
}

impl PlaceFilter {
    /// What is damaged there. An object may be needed elsewhere too: it is one object.
    fn objects(&self, manifest: &Manifest) -> Result<BTreeSet<Object>, SelectError> {
        let library = self.library.as_deref();
        let library = library.map(|text| library_of(text, manifest)).transpose()?;
        let is_there = |damage: &&Damage| {
            let is_in_library = library.is_none_or(|library| library == damage.library);
            let path = self.path.as_deref();
            is_in_library && path.is_none_or(|path| damage.paths.iter().any(|at| is_at(at, path)))
        };
        let objects = manifest.all_damage().filter(is_there).map(Damage::object);
        let objects: BTreeSet<Object> = objects.collect();
        if objects.is_empty() {
            return Err(SelectError::Nowhere {
                place: self.clone(),
                snapshot: manifest.snapshot.to_string(),
            });
        }
        Ok(objects)
    }
}

/// Whether a path is the wanted one, or lies below it. Both begin at the library's top, with or without a slash.
fn is_at(path: &str, wanted: &str) -> bool {
    let (path, wanted) = (path.trim_matches('/'), wanted.trim_matches('/'));
    let rest = path.strip_prefix(wanted);
    rest.is_some_and(|rest| wanted.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

/// The library that a text means.
fn library_of(text: &str, manifest: &Manifest) -> Result<LibraryId, SelectError> {
    let wanted = text.to_ascii_lowercase();
    let is_named = |library: &&Library| library.name.as_deref() == Some(text);
    let is_begun = |library: &&Library| {
        wanted.len() >= SHORTEST && library.id.to_string().starts_with(&wanted)
    };
    let all = &manifest.libraries;
    let mut found: Vec<LibraryId> = all.iter().filter(is_named).map(|one| one.id).collect();
    if found.is_empty() {
        found = all.iter().filter(is_begun).map(|one| one.id).collect();
    }
    match found[..] {
        [one] => Ok(one),
        [] => Err(SelectError::NoLibrary {
            library: text.to_owned(),
            snapshot: manifest.snapshot.to_string(),
        }),
        _ => Err(SelectError::Libraries {
            library: text.to_owned(),
            candidates: found.iter().take(10).map(ToString::to_string).collect(),
        }),
    }
}

/// An id selects no damage, or is ambiguous.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No damage has this id.
    #[error("the snapshot {snapshot} lists no damage with the id {id}")]
    None {
        /// The given id.
        id: Id,
        /// The snapshot that was searched.
        snapshot: String,
    },
    /// Several ids begin with it.
    #[error("several ids begin with {id}: {}", candidates.join(", "))]
    Several {
        /// The given beginning of an id.
        id: Id,
        /// The ids, at most ten.
        candidates: Vec<String>,
    },
    /// Nothing is damaged there.
    #[error("the snapshot {snapshot} lists no damage {place}")]
    Nowhere {
        /// Where it was looked for.
        place: PlaceFilter,
        /// In which snapshot.
        snapshot: String,
    },
    /// No library has this id or name.
    #[error("the snapshot {snapshot} has no library {library:?}")]
    NoLibrary {
        /// What was asked for.
        library: String,
        /// Where it was looked for.
        snapshot: String,
    },
    /// Several libraries have this name, or begin like this.
    #[error("several libraries go by {library:?}: {}", candidates.join(", "))]
    Libraries {
        /// What was asked for.
        library: String,
        /// Their ids, at most ten.
        candidates: Vec<String>,
    },
}

impl SelectError {
    /// What the administrator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::None { .. } | Self::Nowhere { .. } => "`seawall damage list` shows what there is",
            Self::Several { .. } => "give more digits",
            Self::NoLibrary { .. } => "`seawall libraries` shows their ids and names",
            Self::Libraries { .. } => "give the id of one of them",
        })
    }
}

impl Selection {
    /// The selected objects. An id that exists in several stores selects the object in each.
    pub(super) fn objects(&self, manifest: &Manifest) -> Result<BTreeSet<Object>, SelectError> {
        let mut objects = BTreeSet::new();
        match self {
            Self::All => objects.extend(manifest.all_damage().map(Damage::object)),
            Self::Place(place) => objects = place.objects(manifest)?,
            Self::Ids(ids) => {
                for id in ids {
                    let matching =
                        manifest.all_damage().filter(|damage| id_of(damage).starts_with(&id.0));
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
    fn a_folder_means_all_below_it_and_no_name_that_begins_alike() {
        for (path, wanted, expected) in [
            ("/a/b.txt", "/a/b.txt", true),
            ("/a/b.txt", "a/b.txt", true),
            ("/a/b.txt", "/a/", true),
            ("/a/b.txt", "/", true),
            ("/a/b.txt", "/a/b", false),
            ("/ab", "/a", false),
            ("/a", "/a/b", false),
        ] {
            assert_eq!(is_at(path, wanted), expected, "{path} at {wanted}");
        }
    }

    #[test]
    fn an_id_has_six_digits_at_least() {
        for text in ["", "abcde", "abcdeg", "ABCDE!", &"a".repeat(41)] {
            assert_eq!(text.parse::<Id>(), Err(ParseIdStartError), "{text}");
        }
        assert_eq!("ABCDEF".parse::<Id>().unwrap().to_string(), "abcdef");
        let library = "d2ff256a-37df-4218-93c6-4e72af48bab2";
        assert_eq!(library.parse::<Id>().unwrap().to_string(), library);
    }
}
