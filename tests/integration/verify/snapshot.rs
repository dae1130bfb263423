//! `verify --snapshot`: an installation whose databases are not there.

use std::fs;
use std::process::Command;

use seawall_test_servers::wait;
use serde_json::Value;

use super::contents::{Contents, path};
use super::{PHOTOS, TRASH};
use crate::support::{Source, World};

fn program(world: &World, source: &Source) -> (i32, Value) {
    let output = wait::output(
        Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args(["verify", "--json", "--second-look", "0", "--snapshot", "latest", "-r"])
            .arg(world.repository_path())
            .arg("--state-dir")
            .arg(world.path("state"))
            .arg(&source.path),
    );
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code().unwrap(), json)
}

#[test]
fn a_snapshot_says_what_should_be_there_and_what_was_lost_before() {
    let (world, source) = (World::local(), Source::example());
    let (photos, trash) = (Contents::new(&source, PHOTOS), Contents::new(&source, TRASH));
    let (file, root) = (photos.some_file(), trash.root(trash.head()));
    fs::remove_file(path(&source, &file.blocks[0])).unwrap();
    world.backup(&source);
    fs::remove_file(source.path.join("seafile-data/seafile.db")).unwrap();

    let (status, report) = program(&world, &source);
    assert_eq!((status, &report["libraries"]), (0, &10.into()), "{report:#}");
    let before = &report["lost_before"];
    assert_eq!(before[0]["id"], file.blocks[0].id.to_string(), "{report:#}");
    assert_eq!(before[0]["paths"], serde_json::json!([file.path]));
    assert_eq!(before.as_array().unwrap().len(), 1);

    fs::remove_file(path(&source, &root)).unwrap();
    let (status, report) = program(&world, &source);
    let [entry] = report["damage"].as_array().unwrap().as_slice() else { panic!("{report:#}") };
    assert_eq!(
        (status, &entry["library"], &entry["id"], &entry["in_trash"]),
        (3, &TRASH.into(), &root.id.to_string().into(), &true.into())
    );
    assert_eq!(report["without_pointer"], serde_json::json!([]));
}
