//! Fs objects of version 0: binary, big endian, not compressed. Libraries that were made before
//! Seafile 3 still have them.
//!
//! A file is its type (u32), its size (u64) and the raw ids of its blocks. Its id covers only the
//! ids of the blocks. A folder is its type, and for each entry: mode (u32), id (40 hex digits),
//! length of the name (u32) and name. Its id covers id, name and mode (little endian) of each
//! entry.

use super::{FileObject, FolderEntry, FolderObject, FormatError, FsObject, FsObjectType, sha1};
use crate::object::ObjectId;

/// Seafile itself allows no longer name.
const MAX_NAME_BYTES: usize = 255;

pub(super) fn parse(bytes: &[u8]) -> Result<(FsObject, ObjectId), FormatError> {
    let mut input = BinaryInput(bytes);
    match FsObjectType::try_from(input.u32()?)? {
        FsObjectType::File => parse_file(input),
        FsObjectType::Folder => parse_folder(input),
    }
}

fn parse_file(mut input: BinaryInput<'_>) -> Result<(FsObject, ObjectId), FormatError> {
    let size = u64::from_be_bytes(input.array()?);
    let (ids, rest) = input.0.as_chunks();
    if !rest.is_empty() {
        return Err(FormatError::Truncated);
    }
    let blocks = ids.iter().copied().map(ObjectId::new).collect();
    Ok((FsObject::File(FileObject { size, blocks }), sha1([input.0])))
}

fn parse_folder(mut input: BinaryInput<'_>) -> Result<(FsObject, ObjectId), FormatError> {
    let mut entries = Vec::new();
    let mut hashed = Vec::with_capacity(input.0.len());
    while !input.0.is_empty() {
        let mode = input.u32()?;
        let hex = input.take(40)?;
        let name_len = usize::try_from(input.u32()?).unwrap_or(usize::MAX);
        if name_len > MAX_NAME_BYTES {
            return Err(FormatError::Binary("a name is longer than 255 bytes"));
        }
        let name = input.take(name_len)?;
        hashed.extend_from_slice(hex);
        hashed.extend_from_slice(name);
        hashed.extend_from_slice(&mode.to_le_bytes());
        entries.push(FolderEntry {
            id: parse_id(hex)?,
            mode,
            name: String::from_utf8_lossy(name).into_owned(),
            size: None,
            mtime: None,
            modifier: None,
        });
    }
    let id = sha1([hashed.as_slice()]);
    Ok((FsObject::Folder(FolderObject { entries }), id))
}

fn parse_id(hex: &[u8]) -> Result<ObjectId, FormatError> {
    std::str::from_utf8(hex)
        .ok()
        .and_then(|hex| hex.parse().ok())
        .ok_or(FormatError::Binary("an entry's id is not 40 hex digits"))
}

/// The bytes that are not read yet.
struct BinaryInput<'a>(&'a [u8]);

impl<'a> BinaryInput<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(FormatError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(FormatError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes a folder. The second value is the bytes whose SHA-1 is its id.
    fn encode_folder(entries: &[(ObjectId, u32, Vec<u8>)]) -> (Vec<u8>, Vec<u8>) {
        let mut bytes = 3u32.to_be_bytes().to_vec();
        let mut hashed = Vec::new();
        for (id, mode, name) in entries {
            let hex = id.to_string();
            let len = u32::try_from(name.len()).unwrap();
            bytes.extend([mode.to_be_bytes().as_slice(), hex.as_bytes()].concat());
            bytes.extend([len.to_be_bytes().as_slice(), name].concat());
            hashed.extend([hex.as_bytes(), name, &mode.to_le_bytes()].concat());
        }
        (bytes, hashed)
    }

    fn encode_file(size: u64, blocks: &[[u8; 20]]) -> Vec<u8> {
        let head = [1u32.to_be_bytes().as_slice(), &size.to_be_bytes()].concat();
        [head, blocks.concat()].concat()
    }

    #[test]
    fn long_names_and_wrong_ids_are_refused() {
        let name = |len| [(ObjectId::EMPTY, 33188, vec![b'n'; len])];
        assert!(parse(&encode_folder(&name(255)).0).is_ok());
        assert!(matches!(parse(&encode_folder(&name(256)).0), Err(FormatError::Binary(_))));
        let mut bytes = encode_folder(&name(3)).0;
        bytes[8] = b'A';
        assert!(matches!(parse(&bytes), Err(FormatError::Binary(_))));
        bytes[8] = 0xff;
        assert!(matches!(parse(&bytes), Err(FormatError::Binary(_))));
    }

    #[test]
    fn a_length_beyond_the_end_is_an_error() {
        let mut bytes = encode_folder(&[(ObjectId::EMPTY, 33188, b"name".to_vec())]).0;
        bytes[51] = 5;
        assert_eq!(parse(&bytes), Err(FormatError::Truncated));
        bytes[48] = 0xff;
        assert!(parse(&bytes).is_err());
    }

    #[test]
    fn other_types_are_refused() {
        let mut bytes = encode_file(1, &[[1; 20]]);
        bytes[3] = 2;
        assert_eq!(parse(&bytes), Err(FormatError::UnknownType(2)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>(), number in 0u8..4) {
            let _ = parse(&[&[0, 0, 0, number], bytes.as_slice()].concat());
        }

        #[test]
        fn files_round_trip(size: u64, blocks in prop::collection::vec(any::<[u8; 20]>(), 0..9)) {
            let bytes = encode_file(size, &blocks);
            let (object, id) = parse(&bytes).unwrap();
            prop_assert_eq!(id, sha1(blocks.iter().map(<[u8; 20]>::as_slice)));
            let blocks = blocks.into_iter().map(ObjectId::new).collect();
            prop_assert_eq!(object, FsObject::File(FileObject { size, blocks }));
        }

        #[test]
        fn folders_round_trip(
            entries in prop::collection::vec(
                (any::<[u8; 20]>().prop_map(ObjectId::new), any::<u32>(), prop::collection::vec(any::<u8>(), 0..=255)),
                0..9,
            ),
        ) {
            let (bytes, hashed) = encode_folder(&entries);
            let (object, id) = parse(&bytes).unwrap();
            prop_assert_eq!(id, sha1([hashed.as_slice()]));
            let FsObject::Folder(folder) = object else { panic!("a folder") };
            prop_assert_eq!(folder.entries.len(), entries.len());
            for (entry, (id, mode, name)) in folder.entries.iter().zip(&entries) {
                prop_assert_eq!((entry.id, entry.mode), (*id, *mode));
                prop_assert_eq!(&entry.name, &String::from_utf8_lossy(name));
            }
        }

        #[test]
        fn a_cut_is_an_error_or_at_the_end_of_an_item(
            entries in prop::collection::vec((Just(ObjectId::EMPTY), any::<u32>(), Just(b"n".to_vec())), 1..4),
            cut: prop::sample::Index,
        ) {
            let bytes = encode_folder(&entries).0;
            let end = cut.index(bytes.len());
            let whole = end >= 4 && (end - 4) % 49 == 0;
            prop_assert_eq!(parse(&bytes[..end]).is_ok(), whole);
        }
    }
}
