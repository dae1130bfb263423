//! Fs objects of version 1 and later: inflated JSON. The id is the SHA-1 of that text, byte for
//! byte. The text is never written again.

use super::{
    FileObject, FolderEntry, FolderObject, FormatError, FsObject, FsObjectType, parse_json, sha1,
};
use crate::object::ObjectId;
use serde::Deserialize;

/// The fields of both kinds of object. `type` says which kind it is; it stands at the end of the
/// text.
#[derive(Deserialize)]
struct FsObjectFields {
    #[serde(rename = "type")]
    number: u32,
    size: Option<u64>,
    block_ids: Option<Vec<ObjectId>>,
    dirents: Option<Vec<FolderEntry>>,
}

pub(super) fn parse(json: &[u8]) -> Result<(FsObject, ObjectId), FormatError> {
    let fields: FsObjectFields = parse_json(json)?;
    let object = match FsObjectType::try_from(fields.number)? {
        FsObjectType::File => FsObject::File(FileObject {
            size: present(fields.size, "size")?,
            blocks: present(fields.block_ids, "block_ids")?,
        }),
        FsObjectType::Folder => {
            FsObject::Folder(FolderObject { entries: present(fields.dirents, "dirents")? })
        }
    };
    Ok((object, sha1([json])))
}

fn present<T>(field: Option<T>, name: &str) -> Result<T, FormatError> {
    field.ok_or_else(|| FormatError::Json(format!("missing field `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::io::Write as _;

    const BLOCK: &str = "f89ab40905493d5dc5cf3dae51f3e62234703a19";

    fn parsed(json: &Value) -> Result<FsObject, FormatError> {
        parse(json.to_string().as_bytes()).map(|(object, _)| object)
    }

    fn entry(fields: &Value) -> Value {
        let mut entry = json!({"id": BLOCK, "mode": 33188, "name": "a", "mtime": 5});
        let more = fields.as_object().unwrap().clone();
        entry.as_object_mut().unwrap().extend(more);
        json!({"dirents": [entry], "type": 3, "version": 1})
    }

    #[test]
    fn a_real_file_has_the_id_that_seafile_gave_it() {
        // From the installation in examples/haiwen.
        let json =
            format!(r#"{{"block_ids": ["{BLOCK}"], "size": 4194, "type": 1, "version": 1}}"#);
        let (object, id) = parse(json.as_bytes()).unwrap();
        let expected = FileObject { size: 4194, blocks: vec![BLOCK.parse().unwrap()] };
        assert_eq!(object, FsObject::File(expected));
        assert_eq!(id.to_string(), "e09a00786d0ebaab9efe72ad8796a419cb954b96");
    }

    #[test]
    fn what_an_entry_lacks_is_none() {
        let FsObject::Folder(folder) = parsed(&entry(&json!({"modifier": null}))).unwrap() else {
            panic!("a folder");
        };
        let [entry] = folder.entries.try_into().unwrap();
        assert_eq!((entry.size, entry.mtime, entry.modifier), (None, Some(5), None));
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let fields = json!({"x": {"y": [1, 1e300]}, "size": 9, "modifier": "m"});
        assert!(parsed(&entry(&fields)).is_ok());
    }

    #[test]
    fn wrong_fields_are_refused() {
        for fields in [
            json!({"id": "abc"}),
            json!({"id": null}),
            json!({"mode": -1}),
            json!({"mode": u64::MAX}),
            json!({"name": 7}),
            json!({"size": -1}),
            json!({"size": 1e30}),
            json!({"mtime": u64::MAX}),
        ] {
            assert!(parsed(&entry(&fields)).is_err(), "{fields}");
        }
        for file in [
            json!({"block_ids": [], "size": -1, "type": 1}),
            json!({"block_ids": [7], "size": 1, "type": 1}),
            json!({"block_ids": [], "type": 1}),
            json!({"size": 5, "type": 1}),
            json!({"block_ids": [], "size": 1, "type": -1}),
            json!({"block_ids": [], "size": 1, "dirents": []}),
            json!({"type": 3}),
        ] {
            assert!(matches!(parsed(&file), Err(FormatError::Json(_))), "{file}");
        }
        let huge = format!(r#"{{"block_ids": [], "size": {}, "type": 1}}"#, "9".repeat(5000));
        assert!(parse(huge.as_bytes()).is_err());
    }

    #[test]
    fn other_types_are_refused_by_number() {
        let link = json!({"type": 2, "block_ids": [], "size": 1, "dirents": []});
        assert_eq!(parsed(&link), Err(FormatError::UnknownType(2)));
    }

    #[test]
    fn deep_json_is_an_error() {
        for open in ["[", "{\"x\":", "{\"dirents\": [{\"x\": "] {
            assert!(parse(open.repeat(200_000).as_bytes()).is_err());
        }
    }

    #[test]
    fn names_that_are_not_utf8_are_replaced_but_hashed_as_they_are() {
        let json = entry(&json!({})).to_string().into_bytes();
        let at = json.windows(3).position(|three| three == b"\"a\"").unwrap();
        let mut bytes = json.clone();
        bytes[at + 1] = 0xfe;
        let (FsObject::Folder(folder), id) = parse(&bytes).unwrap() else {
            panic!("a folder");
        };
        assert_eq!(folder.entries[0].name, "\u{fffd}");
        assert_eq!(id, sha1([bytes.as_slice()]));
        assert_ne!(id, sha1([json.as_slice()]));
    }

    fn any_object() -> impl Strategy<Value = FsObject> {
        let id = || any::<[u8; 20]>().prop_map(ObjectId::new);
        let entry = (
            id(),
            any::<u32>(),
            any::<String>(),
            any::<Option<u64>>(),
            any::<Option<i64>>(),
            any::<Option<String>>(),
        )
            .prop_map(|(id, mode, name, size, mtime, modifier)| FolderEntry {
                id,
                mode,
                name,
                size,
                mtime,
                modifier,
            });
        prop_oneof![
            (any::<u64>(), prop::collection::vec(id(), 0..9))
                .prop_map(|(size, blocks)| FsObject::File(FileObject { size, blocks })),
            prop::collection::vec(entry, 0..9)
                .prop_map(|entries| FsObject::Folder(FolderObject { entries })),
        ]
    }

    fn encoded(object: &FsObject) -> Vec<u8> {
        let value = match object {
            FsObject::File(file) => {
                json!({"block_ids": file.blocks, "size": file.size, "type": 1, "version": 1})
            }
            FsObject::Folder(folder) => {
                let entries = folder.entries.iter().map(|entry| {
                    json!({
                        "id": entry.id, "mode": entry.mode, "modifier": entry.modifier,
                        "mtime": entry.mtime, "name": entry.name, "size": entry.size,
                    })
                });
                json!({"dirents": entries.collect::<Vec<_>>(), "type": 3, "version": 1})
            }
        };
        value.to_string().into_bytes()
    }

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    proptest! {
        #[test]
        fn objects_round_trip(object in any_object()) {
            let json = encoded(&object);
            let parsed = super::super::parse(&deflated(&json));
            prop_assert_eq!(parsed, Ok((object, sha1([json.as_slice()]))));
        }

        #[test]
        fn arbitrary_text_never_panics(text in r#"[\[\]{}",:0-9a-z]{0,64}|.{0,64}"#) {
            let _ = parse(text.as_bytes());
        }

        #[test]
        fn altered_text_never_panics(object in any_object(), at: prop::sample::Index, byte: u8) {
            let mut json = encoded(&object);
            let at = at.index(json.len());
            let other = byte != json[at];
            json[at] = byte;
            let before = sha1([encoded(&object).as_slice()]);
            if let Ok((_, id)) = parse(&json) {
                prop_assert_eq!(id != before, other);
            }
        }
    }
}
