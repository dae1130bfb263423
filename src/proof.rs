//! Checks that a member's bytes are the object that its name says.
//!
//! The bytes of an intact pack were compared with its SHA-256 before. This check finds an index
//! that points to the wrong place, and mistakes made during the backup. `restore` and `check` use
//! it: they join what a repository stores with what Seafile means by it.

use crate::object::{Kind, Object, Sha256};
use crate::repository::pack::{Member, MemberPlace};
use crate::seafile::check::{self, ObjectFault};

/// The result of a check that found nothing wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The bytes are the object.
    Good,
    /// A block whose id is random, as Pro makes them with `skip_block_hash`. The backup accepted it
    /// as good, and only the pack's SHA-256 protects it.
    Unverifiable,
}

/// Checks a member's bytes. For a member stored as damaged, checks only that they are the bytes
/// that the backup found. `random_block_ids`: the installation may have blocks with random ids.
pub fn prove(member: &Member, bytes: &[u8], random_block_ids: bool) -> Result<Proof, String> {
    let object = &member.name.object;
    let recorded = match member.place {
        MemberPlace::Data { sha256, .. } => sha256,
        MemberPlace::Link { .. } => None,
    };
    // A commit's id does not cover all its bytes, so the index also has their SHA-256.
    if recorded.is_some_and(|sha256| Sha256::of(bytes) != sha256) {
        return Err(format!("{object}: other bytes than the index says"));
    }
    if member.name.damaged {
        return Ok(Proof::Good);
    }
    prove_id(object, bytes, random_block_ids)
}

/// Checks bytes against an object's id alone, without an index.
pub fn prove_id(object: &Object, bytes: &[u8], random_block_ids: bool) -> Result<Proof, String> {
    match check::check(object, bytes) {
        Ok(_) => Ok(Proof::Good),
        Err(ObjectFault::WrongId { .. })
            if object.kind == Kind::Block && random_block_ids && !bytes.is_empty() =>
        {
            Ok(Proof::Unverifiable)
        }
        Err(fault) => Err(format!("{object}: {fault}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{LibraryId, ObjectId, Store};
    use crate::repository::pack::MemberName;

    fn member(kind: Kind, id: [u8; 20], sha256: Option<Sha256>) -> Member {
        let store = Store::Library(LibraryId::new([1; 16]));
        Member {
            name: MemberName::good(Object::new(store, kind, ObjectId::new(id))),
            place: MemberPlace::Data { frame: 0, offset: 512, len: 3, sha256 },
        }
    }

    /// SHA-1 of "abc".
    const ABC: [u8; 20] = [
        0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e, 0x25, 0x71, 0x78, 0x50, 0xc2,
        0x6c, 0x9c, 0xd0, 0xd8, 0x9d,
    ];

    #[test]
    fn blocks_are_proved_by_their_id() {
        let block = member(Kind::Block, ABC, None);
        assert_eq!(prove(&block, b"abc", false), Ok(Proof::Good));
        prove(&block, b"abd", false).unwrap_err();
        prove(&block, b"", true).unwrap_err();
    }

    #[test]
    fn random_ids_are_taken_only_where_they_may_be() {
        let block = member(Kind::Block, [1; 20], None);
        assert_eq!(prove(&block, b"abc", true), Ok(Proof::Unverifiable));
        prove(&block, b"abc", false).unwrap_err();
        prove(&member(Kind::Fs, [1; 20], None), b"abc", true).unwrap_err();
    }

    #[test]
    fn damaged_bytes_are_proved_by_their_sha256_alone() {
        let mut torn = member(Kind::Block, [1; 20], Some(Sha256::of(b"torn")));
        torn.name.damaged = true;
        assert_eq!(prove(&torn, b"torn", false), Ok(Proof::Good));
        prove(&torn, b"turn", false).unwrap_err();
    }

    #[test]
    fn commits_are_proved_by_their_sha256_and_by_what_they_say() {
        let path = "seafile-data/storage/commits/db00fac8-beb9-4b54-88fe-964a243cc8f3/\
                    dc/03d9cbf432917fc18500c39c70457b31289791";
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/haiwen/");
        let bytes = std::fs::read(format!("{example}{path}")).unwrap();
        let object = Object::from_path(path).unwrap();
        let commit = |sha256| member(Kind::Commit, *object.id.as_bytes(), Some(sha256));
        let good = commit(Sha256::of(&bytes));
        assert_eq!(prove(&good, &bytes, false), Ok(Proof::Good));
        // The same commit to Seafile, other bytes.
        let longer = [bytes.as_slice(), b"\n"].concat();
        prove(&good, &longer, true).unwrap_err();
        assert_eq!(prove(&commit(Sha256::of(&longer)), &longer, false), Ok(Proof::Good));
        prove(&commit(Sha256::of(b"abc")), b"abc", true).unwrap_err();
    }
}
