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

fn listed(user: &User, filters: &[&str]) -> Vec<String> {
    let ran = user.run(&[&["snapshots", "--json"], filters].concat());
    ran.succeeds();
    let rows = ran.json();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["snapshot"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn snapshots_are_listed_by_number_host_and_state() {
    let (user, source) = (User::new(), Source::example());
    let path = source.path.to_str().unwrap();
    user.run(&["init"]).succeeds();
    for _ in 0..2 {
        user.backup(&source.path).succeeds();
    }
    let block = source.objects("blocks", crate::support::DOCUMENTS)[0].clone();
    let other = OtherHost {
        user: &user,
        state: user.path("other state"),
    };
    other.run(&["init"]).succeeds();
    fs::rename(&block, user.path("block")).unwrap();
    other.run(&["backup", path]).fails(3, &[]);
    fs::rename(user.path("block"), &block).unwrap();
    other.run(&["backup", path]).succeeds();
    let missing = user.path("missing");
    other
        .run(&["backup", path, "--also", missing.to_str().unwrap()])
        .fails(3, &[]);
    let all = listed(&user, &[]);
    let [a1, a2, b1, b2, b3] = &all[..] else {
        panic!("{all:?}")
    };
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
        let expected: Vec<String> = expected.into_iter().cloned().collect();
        assert_eq!(listed(&user, filters), expected, "{filters:?}");
    }
    let named = user.run(&["snapshots", "-n", "1"]);
    assert_eq!(
        named
            .succeeds()
            .lines()
            .filter(|line| line.starts_with("20"))
            .count(),
        2
    );
    let host = named
        .stdout
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .nth(2)
        .unwrap();
    assert_eq!(listed(&user, &["--host", host]).len(), 5, "{host}");
    // Nothing is not the same as no snapshot.
    let none = user.run(&["snapshots", "--host", "nowhere"]);
    assert!(
        none.succeeds().contains("None of 5 snapshots"),
        "{}",
        none.stdout
    );
    for wrong in [&["-n", "0"][..], &["-n", "x"], &["--state", "Whole!"]] {
        user.run(&[&["snapshots"], wrong].concat()).fails(2, &[]);
    }
    // Bad stored files are a state too.
    let packs = files_below(&user.repository().join("data/blocks"));
    for pack in packs {
        flip(&pack, 40);
    }
    user.run(&["check", "--read-data", "--report"])
        .fails(3, &[]);
    assert_eq!(listed(&user, &["--state", "bad"]).len(), 5);
    assert_eq!(listed(&user, &["--state", "whole"]), Vec::<String>::new());
}
