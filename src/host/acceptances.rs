//! Damage that the administrator has accepted (docs/design.md, "Accepted damage"): which, since
//! when, until when, and why. `damage` changes the file in the state folder; a backup signs its
//! content into the manifest.
//!
//! An acceptance is for one occurrence: an object, and the first snapshot that reported it damaged.
//! If the object is mended and breaks again, the first snapshot is another one, and the old
//! acceptance does not cover it.

use std::collections::{BTreeMap, HashSet};

use seawall_backends::Key;
use serde::{Deserialize, Serialize};

use crate::object::{Kind, Object, ObjectId, Store};
use crate::repository::manifest::{Acceptance, Damage, Manifest};
use crate::repository::names::SnapshotId;
use crate::time::Timestamp;

/// The first line of the file in the state folder.
const COMMENT: &str = "# damage that was accepted; `seawall damage` changes this file\n";

/// One occurrence of damage: the object, and the first snapshot that reported it.
type Occurrence = (Object, SnapshotId);

fn occurrence(damage: &Damage) -> Occurrence {
    (damage.object(), damage.first_seen)
}

/// A line of the file in the state folder.
#[derive(Serialize, Deserialize)]
struct Accepted {
    store: Store,
    kind: Kind,
    id: ObjectId,
    first_seen: SnapshotId,
    #[serde(flatten)]
    acceptance: Acceptance,
}

/// The accepted damage of the source, by occurrence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acceptances(BTreeMap<Occurrence, Acceptance>);

impl Acceptances {
    /// What was accepted when this snapshot was made.
    pub fn signed(manifest: &Manifest) -> Self {
        let mut signed = Self::default();
        for damage in manifest.all_damage() {
            if let Some(acceptance) = &damage.accepted {
                signed.accept(damage, acceptance.clone());
            }
        }
        signed
    }

    /// The acceptance of this damage, even if it is over.
    pub fn of(&self, damage: &Damage) -> Option<&Acceptance> {
        self.0.get(&occurrence(damage))
    }

    /// Accepts damage. Returns the acceptance that this one replaces.
    pub fn accept(&mut self, damage: &Damage, acceptance: Acceptance) -> Option<Acceptance> {
        self.0.insert(occurrence(damage), acceptance)
    }

    /// Withdraws an acceptance. Returns whether there was one.
    pub fn withdraw(&mut self, damage: &Damage) -> bool {
        self.0.remove(&occurrence(damage)).is_some()
    }

    /// Drops acceptances of damage that the manifest no longer lists: it was mended.
    pub fn forget_mended(&mut self, manifest: &Manifest) {
        let listed: HashSet<Occurrence> = manifest.all_damage().map(occurrence).collect();
        self.0.retain(|accepted, _| listed.contains(accepted));
    }

    /// A comment, then one JSON object a line: people read the file too.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        let mut text = COMMENT.to_owned();
        for ((object, first_seen), acceptance) in &self.0 {
            let Object { store, kind, id } = *object;
            text.push_str(&serde_json::to_string(&Accepted {
                store,
                kind,
                id,
                first_seen: *first_seen,
                acceptance: acceptance.clone(),
            })?);
            text.push('\n');
        }
        Ok(text)
    }

    /// Reads [`Self::to_text`] back. Skips empty lines and lines that begin with `#`.
    ///
    /// Errors: the number of the first line that cannot be read, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mut accepted = Self::default();
        for (number, line) in lines {
            let Accepted { store, kind, id, first_seen, acceptance } =
                serde_json::from_str(line)
                    .map_err(|error| format!("line {}: {error}", number + 1))?;
            let object = Object::new(store, kind, id);
            accepted.0.insert((object, first_seen), acceptance);
        }
        Ok(accepted)
    }
}

/// The first line of the file of bad stored files in the state folder.
const FAULTS_COMMENT: &str =
    "# stored files that are bad, and that was accepted; `seawall damage` changes this file\n";

/// A line of that file.
#[derive(Serialize, Deserialize)]
struct AcceptedFault {
    key: String,
    #[serde(flatten)]
    acceptance: Acceptance,
}

/// Bad stored files that the administrator has accepted: older snapshots will lack their content
/// for good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AcceptedFaults(BTreeMap<Key, Acceptance>);

impl AcceptedFaults {
    /// Whether the acceptance of a bad file exists and is not over.
    pub fn holds(&self, key: &Key, now: Timestamp) -> bool {
        self.0.get(key).is_some_and(|given| !given.is_over(now))
    }

    /// The accepted files whose acceptance is not over.
    pub fn keys(&self, now: Timestamp) -> Vec<Key> {
        let holding = self.0.iter().filter(|(_, given)| !given.is_over(now));
        holding.map(|(key, _)| key.clone()).collect()
    }

    /// Accepts a bad file. Returns whether this changed anything.
    pub fn accept(&mut self, key: &Key, acceptance: &Acceptance) -> bool {
        self.0.insert(key.clone(), acceptance.clone()).as_ref() != Some(acceptance)
    }

    /// Withdraws an acceptance. Returns whether there was one.
    pub fn withdraw(&mut self, key: &Key) -> bool {
        self.0.remove(key).is_some()
    }

    /// A comment, then one JSON object a line.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        let mut text = FAULTS_COMMENT.to_owned();
        for (key, acceptance) in &self.0 {
            let line = AcceptedFault { key: key.to_string(), acceptance: acceptance.clone() };
            text.push_str(&serde_json::to_string(&line)?);
            text.push('\n');
        }
        Ok(text)
    }

    /// Reads [`Self::to_text`] back.
    ///
    /// Errors: the number of the first line that cannot be read, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut accepted = Self::default();
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |reason: String| format!("line {}: {reason}", number + 1);
            let AcceptedFault { key, acceptance } =
                serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
            let key = Key::parse(&key).map_err(|error| bad(error.to_string()))?;
            accepted.0.insert(key, acceptance);
        }
        Ok(accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::LibraryId;

    fn damage(id: u8, first_seen: &str) -> Damage {
        let library = LibraryId::new([7; 16]);
        Damage {
            store: Store::Library(library),
            kind: Kind::Block,
            id: ObjectId::new([id; 20]),
            library,
            reason: "missing".into(),
            detail: "is missing".into(),
            paths: Vec::new(),
            first_seen: first_seen.parse().unwrap(),
            kept: None,
            accepted: None,
        }
    }

    fn acceptance(note: &str) -> Acceptance {
        Acceptance {
            since: "2026-11-22T20:40:05Z".parse().unwrap(),
            until: Some("2026-12-31".parse().unwrap()),
            note: Some(note.into()),
        }
    }

    const FIRST: &str = "2026-11-22T20-40-05Z-9f3c";
    const LATER: &str = "2026-11-23T20-40-05Z-9f3c";

    #[test]
    fn the_file_round_trips_and_may_be_edited() {
        let mut accepted = Acceptances::default();
        accepted.accept(&damage(1, FIRST), acceptance("power cut\nof 2019, \"disk 3\""));
        accepted.accept(&damage(2, FIRST), acceptance("ü"));
        let text = accepted.to_text().unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(Acceptances::parse(&text), Ok(accepted.clone()));
        let edited = format!("\n# mine\n{}", text.lines().last().unwrap());
        assert!(Acceptances::parse(&edited).unwrap().of(&damage(2, FIRST)).is_some());
        let error = Acceptances::parse(&format!("{text}oops\n")).unwrap_err();
        assert!(error.starts_with("line 4:"), "{error}");
    }

    #[test]
    fn accepted_faults_round_trip() {
        let key = |text: &str| Key::parse(text).unwrap();
        let mut accepted = AcceptedFaults::default();
        assert!(accepted.accept(&key("data/blocks/ab/x"), &acceptance("disk 3")));
        assert!(!accepted.accept(&key("data/blocks/ab/x"), &acceptance("disk 3")));
        let text = accepted.to_text().unwrap();
        assert_eq!(AcceptedFaults::parse(&text), Ok(accepted.clone()));
        assert!(
            AcceptedFaults::parse(&format!("{text}oops\n")).unwrap_err().starts_with("line 3:")
        );
        let at = |text: &str| text.parse().unwrap();
        assert!(accepted.holds(&key("data/blocks/ab/x"), at("2026-12-30T00:00:00Z")));
        assert!(!accepted.holds(&key("data/blocks/ab/x"), at("2027-01-02T00:00:00Z")));
        assert!(!accepted.holds(&key("data/blocks/ab/y"), at("2026-12-30T00:00:00Z")));
        assert!(
            accepted.withdraw(&key("data/blocks/ab/x"))
                && !accepted.withdraw(&key("data/blocks/ab/x"))
        );
    }

    #[test]
    fn an_acceptance_is_of_one_occurrence() {
        let mut accepted = Acceptances::default();
        accepted.accept(&damage(1, FIRST), acceptance("a"));
        accepted.accept(&damage(1, FIRST), acceptance("b"));
        let found = accepted.of(&damage(1, FIRST)).unwrap();
        assert_eq!(found.note.as_deref(), Some("b"));
        assert!(accepted.of(&damage(1, LATER)).is_none());
        assert!(accepted.of(&damage(2, FIRST)).is_none());
        assert!(!accepted.withdraw(&damage(1, LATER)) && accepted.withdraw(&damage(1, FIRST)));
        assert_eq!(accepted, Acceptances::default());
    }
}
