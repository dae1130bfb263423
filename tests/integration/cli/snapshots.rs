//! `seawall snapshots` of a repository with many: of which host, in which state, how many.

use super::*;

/// Another host of the same repository.
struct OtherHost<'a> {
    user: &'a User,
    state: PathBuf,
}

impl OtherHost<'_> {
    fn run(&self, arguments: &[&str]) -> Ran {
        let state = ["--state-dir", self.state.to_str().unwrap()];
        self.user.run(&[arguments, &state].concat())
    }
}

/// The snapshot that a backup made, which ended with this status.
fn backup_of(ran: &Ran, status: i32) -> String {
    assert_eq!(ran.status, status, "{}{}", ran.stdout, ran.stderr);
    let name = |line: &str| Some(line.strip_prefix("snapshot ")?.trim().to_owned());
    ran.stdout.lines().find_map(name).unwrap()
}

/// The snapshots that are listed, sorted by name.
fn listed(user: &User, filters: &[&str]) -> Vec<String> {
    let ran = user.run(&[&["snapshots", "--json"], filters].concat());
    ran.succeeds();
    let rows = ran.json();
    let rows = rows.as_array().unwrap().iter();
    let mut names: Vec<String> =
        rows.map(|row| row["snapshot"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn snapshots_are_listed_by_number_host_and_state() {
    let (user, source) = (User::new(), Source::example());
    let path = source.path.to_str().unwrap();
    user.run(&["init"]).succeeds();
    let a1 = &backup_of(&user.run(&["backup", path]), 0);
    let a2 = &backup_of(&user.run(&["backup", path]), 0);
    let block = source.objects("blocks", crate::support::DOCUMENTS)[0].clone();
    let other = OtherHost { user: &user, state: user.path("other state") };
    other.run(&["init"]).succeeds();
    fs::rename(&block, user.path("block")).unwrap();
    let b1 = &backup_of(&other.run(&["backup", path]), 3);
    fs::rename(user.path("block"), &block).unwrap();
    let b2 = &backup_of(&other.run(&["backup", path]), 0);
    let missing = user.path("missing");
    let also = other.run(&["backup", path, "--also", missing.to_str().unwrap()]);
    let b3 = &backup_of(&also, 3);
    let host_of = |snapshot: &str| snapshot.rsplit('-').next().unwrap().to_owned();
    let (a, b) = (host_of(a1), host_of(b1));
    assert_ne!(a, b);
    for (filters, expected) in [
        (&["-n", "1"][..], vec![a2, b3]),
        (&["--last", "2"], vec![a1, a2, b2, b3]),
        (&["--last", "99"], vec![a1, a2, b1, b2, b3]),
        (&["--host", &b], vec![b1, b2, b3]),
        (&["--host", &a.to_uppercase(), "-n", "1"], vec![a2]),
        (&["--state", "whole"], vec![a1, a2, b2]),
        (&["--state", "damaged"], vec![b1]),
        (&["--state", "incomplete"], vec![b3]),
        (&["--state", "also-missing"], vec![b3]),
        (&["--state", "damaged,incomplete"], vec![b1, b3]),
        (&["--state", "whole", "--last", "1"], vec![a2, b2]),
        (&["--state", "source-gone"], vec![]),
    ] {
        let mut expected: Vec<String> = expected.into_iter().cloned().collect();
        // By name: two hosts may begin in the same second.
        expected.sort();
        assert_eq!(listed(&user, filters), expected, "{filters:?}");
    }
    let named = user.run(&["snapshots", "-n", "1"]);
    assert_eq!(named.succeeds().lines().filter(|line| line.starts_with("20")).count(), 2);
    let host = named.stdout.lines().nth(1).unwrap().split_whitespace().nth(2).unwrap();
    assert_eq!(listed(&user, &["--host", host]).len(), 5, "{host}");
    // Nothing is not the same as no snapshot.
    let none = user.run(&["snapshots", "--host", "nowhere"]);
    assert!(none.succeeds().contains("None of 5 snapshots"), "{}", none.stdout);
    for wrong in [&["-n", "0"][..], &["-n", "x"], &["--state", "Whole!"]] {
        user.run(&[&["snapshots"], wrong].concat()).fails(2, &[]);
    }
    // Bad stored files are a state too.
    let packs = files_below(&user.repository().join("data/blocks"));
    for pack in packs {
        flip(&pack, 40);
    }
    user.run(&["check", "--read-data", "--report"]).fails(3, &[]);
    assert_eq!(listed(&user, &["--state", "bad"]).len(), 5);
    assert_eq!(listed(&user, &["--state", "whole"]), Vec::<String>::new());
}
