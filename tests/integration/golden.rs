//! What an earlier version stored is read, checked, restored and gone on from.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::cli::User;
use crate::support::{Source, files_below, run};

/// A user who has the repository and the state folder of tests/vectors/plain.
fn user_of_earlier_version() -> User {
    let user = User::new();
    let vector = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/plain");
    for name in ["repository", "state"] {
        let (from, to) = (vector.join(name), user.path(name));
        run("cp", &["-r", from.to_str().unwrap(), to.to_str().unwrap()]);
    }
    // A checkout has other modes than a host.
    run("chmod", &["-R", "go=", user.path("state").to_str().unwrap()]);
    assert_eq!(fs::metadata(user.path("state/host.key")).unwrap().permissions().mode() & 0o77, 0);
    user
}

fn keys(user: &User) -> BTreeSet<PathBuf> {
    files_below(&user.repository()).into_iter().collect()
}

/// The objects below a folder with an installation, and their bytes.
fn objects(installation: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let storage = installation.join("seafile-data/storage");
    let mut objects: Vec<(PathBuf, Vec<u8>)> = files_below(&storage)
        .into_iter()
        .map(|path| (path.strip_prefix(&storage).unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    objects.sort();
    objects
}

#[test]
fn what_an_earlier_version_stored_is_checked_and_restored() {
    let user = user_of_earlier_version();
    user.run(&["check", "--deep"]).succeeds();
    let listed = user.run(&["snapshots", "--json"]);
    listed.succeeds();
    let snapshots = listed.json();
    let snapshots = snapshots.as_array().unwrap();
    assert_eq!(snapshots.len(), 2);
    let source = Source::example();
    for (number, snapshot) in snapshots.iter().enumerate() {
        let target = format!("restored {number}");
        let name = snapshot["snapshot"].as_str().unwrap();
        let restored = user.run(&["restore", name, "--target", &target]);
        restored.succeeds();
        assert_eq!(restored.stderr, "");
        user.run(&["verify", &target]).succeeds();
        let restored = objects(&user.path(&target));
        assert_eq!(restored.len(), 375);
        // The installation also holds objects to which nothing leads.
        let of_source = objects(&source.path);
        assert!(restored.iter().all(|object| of_source.contains(object)));
        let settings =
            fs::read_to_string(user.path(&target).join("conf/seahub_settings.py")).unwrap();
        assert_eq!(settings.ends_with("# changed\n"), number == 1);
    }
}

#[test]
fn what_an_earlier_version_stored_is_gone_on_from() {
    let user = user_of_earlier_version();
    let source = Source::example();
    let backup = || {
        let before = keys(&user);
        let ran = user.run(&["backup", source.path.to_str().unwrap(), "--json"]);
        ran.succeeds();
        let report = ran.json();
        let after = keys(&user);
        assert!(before.is_subset(&after));
        let new: BTreeSet<PathBuf> = after.difference(&before).cloned().collect();
        (report, new)
    };
    let (_, new) = backup();
    let is_pack = |path: &&PathBuf| {
        let text = path.to_str().unwrap();
        text.contains("/data/blocks/")
            || text.contains("/data/trees/")
            || text.contains("/databases/")
    };
    assert_eq!(new.iter().filter(is_pack).count(), 0, "{new:?}");
    let (report, new) = backup();
    let name = report["snapshot"].as_str().unwrap();
    let expected = [
        format!("data/lists/{name}.sha256"),
        format!("data/manifests/{name}.json.zst"),
        format!("data/runs/{name}"),
        format!("markers/{name}"),
    ];
    let expected: BTreeSet<PathBuf> =
        expected.iter().map(|key| user.repository().join(key)).collect();
    assert_eq!(new, expected);
    user.run(&["check", "--deep"]).succeeds();
}
