//! Things that are signed and wrong all the same: contradictions, and chains that do not hold.

use seawall::check::{CheckLevel, ProblemKind, Report};
use seawall::object::Sha256;
use seawall::repository::marker::Marker;
use seawall::repository::note;

use super::{Copy, problems, world};

/// Changes what a marker says, and signs it with the host's key.
fn sign_again(copy: &Copy, position: usize, change: impl FnOnce(&mut Marker)) -> String {
    let key = copy.keys("markers", |_| true)[position].clone();
    let known = [world().host_key().verifying()];
    let mut marker = Marker::parse(&note::open(&copy.read(&key), &known).unwrap().text).unwrap();
    change(&mut marker);
    let text = note::sign(&marker.to_text(), world().host_key().signing()).unwrap();
    copy.write(&key, text.as_bytes());
    key
}

fn after(position: usize, change: impl FnOnce(&mut Marker)) -> (String, Report) {
    let copy = Copy::new();
    let key = sign_again(&copy, position, change);
    let report = copy.check(CheckLevel::Names);
    (key, report)
}

#[test]
fn chains_that_do_not_hold_are_found() {
    let chain = |(key, report): (String, Report)| {
        assert!(
            report.problems.iter().all(|problem| problem.kind == ProblemKind::Chain),
            "{:#?}",
            report.problems
        );
        report.problems.iter().any(|problem| problem.key.as_str() == key)
    };
    assert!(chain(after(2, |marker| marker.sequence = 7)), "a leap");
    assert!(chain(after(2, |marker| marker.sequence = 2)), "the same number twice");
    assert!(chain(after(2, |marker| marker.sequence = 1)), "backwards");
    assert!(chain(after(2, |marker| marker.previous = None)), "number 3 that follows none");
    assert!(chain(after(2, |marker| {
        let (previous, _) = marker.previous.unwrap();
        marker.previous = Some((previous, Sha256::of(b"another")));
    })));
    // Two that follow the same one, as after a rollback of the destination.
    let copy = Copy::new();
    let first = copy.keys("markers", |_| true)[0].clone();
    let sha256 = Sha256::of(&copy.read(&first));
    let key = sign_again(&copy, 2, |marker| {
        marker.sequence = 2;
        marker.previous = Some((first["markers/".len()..].parse().unwrap(), sha256));
    });
    let report = copy.check(CheckLevel::Names);
    assert_eq!(problems(&report), [(key, ProblemKind::Chain)]);
    assert!(report.problems[0].detail.contains("rolled back"));

    // A marker that was replaced by another of the same host: what follows it says so.
    let (key, report) = after(0, |marker| marker.damage = 5);
    let [problem] = &report.problems[..] else { panic!("{:#?}", report.problems) };
    assert_eq!(problem.kind, ProblemKind::Chain);
    assert!(problem.key.as_str() != key && problem.detail.contains(&key["markers/".len()..]));
}

#[test]
fn totals_that_do_not_fit_the_lists_are_found() {
    for change in [|marker: &mut Marker| marker.packs += 1, |marker: &mut Marker| marker.bytes -= 1]
    {
        let (key, report) = after(2, change);
        assert_eq!(problems(&report), [(key, ProblemKind::Contradiction)]);
    }
    let (key, report) = after(2, |marker| drop(marker.lists.pop()));
    assert_eq!(problems(&report), [(key, ProblemKind::Contradiction)]);
}

#[test]
fn sizes_in_markers_count() {
    let (_, report) = after(2, |marker| marker.sums.size += 1);
    let [problem] = &report.problems[..] else { panic!("{:#?}", report.problems) };
    assert_eq!(problem.kind, ProblemKind::Size);
    assert!(problem.key.as_str().starts_with("data/lists/"));
}

/// Rewrites the sums of the newest snapshot.
fn with_sums(change: impl Fn(&str) -> String) -> (Copy, String) {
    let copy = Copy::new();
    let mut key = String::new();
    sign_again(&copy, 2, |marker| {
        key = marker.sums.key.to_string();
        let bytes = change(&String::from_utf8(copy.read(&key)).unwrap()).into_bytes();
        copy.write(&key, &bytes);
        marker.sums.sha256 = Sha256::of(&bytes);
        marker.sums.size = bytes.len() as u64;
    });
    (copy, key)
}

#[test]
fn sums_that_do_not_fit_the_manifest_are_found() {
    let without = |word: &'static str| {
        move |text: &str| {
            let lines = text.split_inclusive('\n');
            lines.filter(|line| !line.contains(word)).collect()
        }
    };
    let (copy, key) = with_sums(without("data/manifests/"));
    assert_eq!(problems(&copy.check(CheckLevel::Names)), [(key, ProblemKind::Malformed)]);

    let (copy, _) = with_sums(without("seahub.db"));
    let report = copy.check(CheckLevel::Names);
    let [problem] = &report.problems[..] else { panic!("{:#?}", report.problems) };
    assert_eq!(problem.kind, ProblemKind::Contradiction);
    assert!(problem.key.as_str().contains("seahub.db"));

    let (copy, key) = with_sums(|text| format!("{text}# a comment\n"));
    assert_eq!(problems(&copy.check(CheckLevel::Names)), [(key, ProblemKind::Malformed)]);

    // Two snapshots that name the same part with different bytes.
    let (copy, _) = with_sums(|text| {
        let line = text.lines().find(|line| line.contains("seahub.db")).unwrap();
        text.replace(&line[..8], if line.starts_with("00000000") { "11111111" } else { "00000000" })
    });
    let report = copy.check(CheckLevel::Names);
    assert!(report.problems.iter().all(|problem| problem.kind == ProblemKind::Contradiction
        && problem.key.as_str().contains("seahub.db")));
    assert_eq!(report.problems.len(), 2);
}
