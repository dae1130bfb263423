//! What crashes leave and what no pointer leads to is information, with the damage as without it.

use std::fs;
use std::os::unix::net::UnixListener;

use seawall::object::{Kind, Object, Store};
use serde_json::json;

use super::contents::{Contents, path, put, put_fs};
use super::table::program;
use super::{PHOTOS, VIRTUAL, verify};
use crate::support::Source;

#[test]
fn what_crashes_leave_is_counted_by_place() {
    let source = Source::example();
    let data = source.path.join("seafile-data");
    let store = Contents::new(&source, PHOTOS);
    let object = path(&source, &store.some_file().object);
    let commit = path(&source, &store.head());
    let name = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    put(&object.with_file_name(name(&object) + ".RZB3Y3"), b"12345");
    let whole = format!("{}.123456", store.head().id);
    put(&commit.with_file_name(&whole), b"");
    put(&data.join(format!("tmpfiles/{}.aB3dE6", store.head().id)), b"123");
    put(&data.join("httptemp/cluster-shared/x/y"), b"1234567");
    put(&data.join("httptemp/z"), b"1");
    put(&data.join(format!("storage/blocks/{PHOTOS}/README")), b"12");
    let _socket = UnixListener::bind(data.join("s")).unwrap();
    fs::create_dir_all(data.join("no/such/folder")).unwrap();
    let (status, report) = program(&source);
    assert_eq!(status, 0, "{report:#}");
    let short = |path: &std::path::Path| {
        let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        format!("{folder}/{}", name(path))
    };
    let entry = |folder: String, sort: &str, files: u64, bytes: u64, examples: &[String]| json!({"folder": folder, "sort": sort, "files": files, "bytes": bytes, "examples": examples});
    let storage = "seafile-data/storage";
    let mut expected = [
        entry(
            "seafile-data/httptemp".into(),
            "temporary",
            2,
            8,
            &["cluster-shared/x/y".into(), "z".into()],
        ),
        entry(format!("{storage}/blocks/{PHOTOS}"), "foreign", 1, 2, &["README".into()]),
        entry(
            format!("{storage}/commits/{PHOTOS}"),
            "temporary",
            1,
            0,
            &[short(&commit.with_file_name(&whole))],
        ),
        entry(format!("{storage}/fs/{PHOTOS}"), "temporary", 1, 5, &[short(&object) + ".RZB3Y3"]),
        entry(
            "seafile-data/tmpfiles".into(),
            "temporary",
            1,
            3,
            &[format!("{}.aB3dE6", store.head().id)],
        ),
    ];
    expected.sort_by_key(|entry| entry["folder"].to_string());
    assert_eq!(report["leftovers"], json!(expected));
}

#[test]
fn what_nothing_points_to_is_counted_and_its_damage_is_none() {
    let source = Source::example();
    let before = verify(&source).unreached;
    assert_eq!(before.iter().map(|entry| entry.objects).sum::<u64>(), 2);
    let value = json!({"dirents": [], "type": 3, "version": 1, "x": "garbage"});
    let good = put_fs(&source, PHOTOS, &value);
    let store = Store::Library(PHOTOS.parse().unwrap());
    let torn = Object::new(store, Kind::Fs, "7".repeat(40).parse().unwrap());
    put(&path(&source, &torn), b"torn");
    let empty = Object { kind: Kind::Block, ..torn };
    put(&path(&source, &empty), b"");
    let report = verify(&source);
    assert!(report.good && report.damaged == 0);
    let of = |kind| {
        let mut found = report.unreached.iter();
        found.find(|entry| entry.store == store && entry.kind == kind).unwrap()
    };
    let length = fs::metadata(path(&source, &Object { id: good, ..torn })).unwrap().len();
    let fs_entry = of(Kind::Fs);
    let known = before.iter().find(|entry| entry.store == store && entry.kind == Kind::Fs);
    let (objects, bytes) = known.map_or((0, 0), |known| (known.objects, known.bytes));
    assert_eq!(
        (fs_entry.objects, fs_entry.bytes, fs_entry.bad),
        (objects + 2, bytes + length + 4, 1)
    );
    assert_eq!(fs_entry.examples, [torn.id]);
    let block_entry = of(Kind::Block);
    assert_eq!((block_entry.objects, block_entry.bad), (1, 1));
    // What a shared folder's commits point to lies in its origin's store.
    assert!(report.unreached.iter().all(|entry| entry.store.to_string() != VIRTUAL));
}
