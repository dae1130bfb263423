//! Damage to markers, signatures and `seawall.json`.

use std::fs;

use seawall::check::{CheckLevel, ProblemKind};
use seawall::host;
use seawall::repository::Error;

use super::{Copy, checked, problems, world};
use crate::support::{Source, World};

#[test]
fn damaged_markers_are_no_snapshots() {
    type Break = fn(Vec<u8>) -> Vec<u8>;
    let breaks: [(&str, Break); 4] = [
        ("empty", |_| Vec::new()),
        ("cut", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("text flipped", |mut bytes| {
            bytes[30] ^= 1;
            bytes
        }),
        ("signature flipped", |mut bytes| {
            let at = bytes.len() - 8;
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            bytes
        }),
    ];
    for (name, damage) in breaks {
        for position in 0..3 {
            let copy = Copy::new();
            let key = copy.keys("markers", |_| true)[position].clone();
            copy.write(&key, &damage(copy.read(&key)));
            let report = copy.check(CheckLevel::Names);
            assert_eq!(problems(&report), [(key, ProblemKind::Signature)], "{name}");
            assert_eq!(report.snapshots, 2);
            assert!(report.information.gaps.is_empty(), "reported once, not as a gap too");
        }
    }
}

#[test]
fn swapped_and_renamed_markers_are_no_snapshots() {
    let copy = Copy::new();
    let keys = copy.keys("markers", |_| true);
    let (first, second) = (copy.read(&keys[0]), copy.read(&keys[1]));
    copy.write(&keys[0], &second);
    copy.write(&keys[1], &first);
    let expected = [&keys[0], &keys[1]].map(|key| (key.clone(), ProblemKind::Signature));
    assert_eq!(problems(&copy.check(CheckLevel::Names)), expected);

    let copy = Copy::new();
    let later = keys[2].replacen("markers/20", "markers/30", 1);
    fs::rename(copy.path.join(&keys[2]), copy.path.join(&later)).unwrap();
    let report = copy.check(CheckLevel::Names);
    assert_eq!(problems(&report), [(later, ProblemKind::Signature)]);
    assert!(report.problems[0].detail.contains("says that it is"), "{:?}", report.problems);
}

#[test]
fn a_marker_of_another_repository_is_no_snapshot() {
    let copy = Copy::new();
    let other = World::local();
    let key = format!("markers/{}", other.backup(&Source::example()).marker.snapshot);
    copy.write(&key, &fs::read(other.repository_path().join(&key)).unwrap());
    let pinned = vec![world().host_key().verifying(), other.host_key().verifying()];
    let report = checked(&copy.open(&pinned).unwrap(), CheckLevel::Names);
    assert_eq!(problems(&report), [(key, ProblemKind::Signature)]);
    assert!(report.problems[0].detail.contains("another repository"));
}

#[test]
fn a_removed_marker_is_a_gap_that_is_told() {
    let copy = Copy::new();
    let keys = copy.keys("markers", |_| true);
    fs::remove_file(copy.path.join(&keys[1])).unwrap();
    let report = copy.check(CheckLevel::Data);
    assert!(report.is_good());
    let [gap] = &report.information.gaps[..] else { panic!("{:?}", report.information) };
    assert_eq!(format!("markers/{}", gap.previous), keys[1]);
    assert_eq!(format!("markers/{}", gap.snapshot), keys[2]);
    // Sums and manifest of the second; the rest is named by the third too.
    assert_eq!(report.information.unnamed.unwrap().things, 2);
    assert_eq!(report.information.unfinished, [gap.previous]);
}

#[test]
fn a_signature_by_an_unpinned_key_is_told_once() {
    let copy = Copy::new();
    let report = checked(&copy.open(&[]).unwrap(), CheckLevel::Names);
    let [problem] = &report.problems[..] else { panic!("{:#?}", report.problems) };
    assert_eq!(problem.kind, ProblemKind::Unpinned);
    assert_eq!(problem.key.as_str(), format!("keys/{}.pub", world().host_key().id()));
    assert_eq!(problem.affected, 3);
    assert!(problem.detail.contains(&world().host_key().verifying().to_string()));
    // With the published key gone too, nothing can be said of the markers.
    fs::remove_file(copy.path.join(problem.key.as_str())).unwrap();
    let report = checked(&copy.open(&[]).unwrap(), CheckLevel::Names);
    assert_eq!(report.problems.len(), 3);
    assert!(report.problems.iter().all(|problem| problem.kind == ProblemKind::Signature));
}

#[test]
fn seawall_json_is_checked_as_far_as_anything_speaks_of_it() {
    let key = "seawall.json";
    let pinned = || vec![world().host_key().verifying()];
    for bytes in [&b""[..], b"{\"form"] {
        let copy = Copy::new();
        let opened = copy.open(&pinned()).unwrap();
        copy.write(key, bytes);
        assert_eq!(
            problems(&checked(&opened, CheckLevel::Names)),
            [(key.into(), ProblemKind::Malformed)]
        );
        assert_eq!(copy.open(&pinned()).unwrap().id(), opened.id(), "signed markers say it");
        let error = copy.open(&[]).unwrap_err();
        assert!(error.to_string().starts_with(key), "{error}");
    }
    let copy = Copy::new();
    let opened = copy.open(&pinned()).unwrap();
    fs::remove_file(copy.path.join(key)).unwrap();
    assert_eq!(
        problems(&checked(&opened, CheckLevel::Names)),
        [(key.into(), ProblemKind::Missing)]
    );
    let missing = copy.open(&[]).unwrap_err();
    assert!(matches!(missing, host::Error::Repository(Error::ConfigurationMissing { .. })));

    // Another's, or one digit of the id: every marker belongs to another repository then.
    let copy = Copy::new();
    let opened = copy.open(&pinned()).unwrap();
    copy.write(key, &fs::read(World::local().repository_path().join(key)).unwrap());
    assert_eq!(
        problems(&checked(&opened, CheckLevel::Names)),
        [(key.into(), ProblemKind::Altered)]
    );
    let report = copy.check(CheckLevel::Names);
    let [problem] = &report.problems[..] else { panic!("{:#?}", report.problems) };
    assert_eq!((problem.key.as_str(), problem.kind), (key, ProblemKind::Altered));
    // Who trusts no key believes the file: then every marker is another repository's.
    let report = checked(&copy.open(&[]).unwrap(), CheckLevel::Names);
    assert_eq!(report.problems.len(), 4);
    let last = report.problems.last().unwrap();
    assert_eq!((last.key.as_str(), last.kind), (key, ProblemKind::Altered));
    assert!(last.detail.contains(world().repository.id().as_str()), "{}", last.detail);
}
