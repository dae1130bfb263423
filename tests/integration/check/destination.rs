//! What check asks of a destination, and one that does not give everything.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seawall::check::{self, CheckLevel, Options, ProblemKind};
use seawall::host::{self, Reading};
use seawall::repository::Error;
use seawall_backends::{
    Backend, ErrorKind, Fault, FaultPlan, FaultyBackend, LocalBackend, RecordingBackend, Verb,
};

use super::{Copy, checked, problems, world};
use crate::support::open_to_read;

fn open(backend: Arc<dyn Backend>) -> Reading {
    open_to_read(backend, &[world().host_key().verifying()]).unwrap()
}

fn faulty(copy: &Copy, plan: FaultPlan) -> (Arc<FaultyBackend<LocalBackend>>, Reading) {
    let backend = Arc::new(FaultyBackend::new(LocalBackend::open(&copy.path).unwrap(), plan));
    (Arc::clone(&backend), open(backend))
}

#[test]
fn check_only_reads_and_lists_once() {
    let copy = Copy::new();
    let backend = Arc::new(RecordingBackend::new(LocalBackend::open(&copy.path).unwrap()));
    let repository = open(Arc::clone(&backend) as _);
    backend.take();
    for level in [CheckLevel::Names, CheckLevel::Data, CheckLevel::Deep] {
        checked(&repository, level);
        let operations = backend.take();
        let listings: Vec<_> = operations
            .iter()
            .map(|recorded| &recorded.operation)
            .filter(|operation| operation.verb() == Verb::List)
            .collect();
        assert_eq!(listings.len(), 2, "markers, and everything: {listings:?}");
        let mut keys = Vec::new();
        for recorded in &operations {
            assert!(matches!(recorded.operation.verb(), Verb::Get | Verb::Stat | Verb::List));
            // A length is asked for before what nothing tells the length of.
            if recorded.operation.verb() != Verb::Stat {
                keys.extend(recorded.operation.key());
            }
        }
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all, "nothing is read twice");
    }
}

#[test]
fn damage_of_a_snapshot_that_is_forgotten_meanwhile_is_not_reported() {
    let copy = Copy::new();
    let keys = copy.keys("markers", |_| true);
    let name = &keys[0]["markers/".len()..];
    let repository = copy.open(&[world().host_key().verifying()]).unwrap();
    // What a forget and a prune do between reading the markers and the listing.
    let forget = |text: &str| {
        if text.starts_with("listing") {
            fs::remove_file(copy.path.join(&keys[0])).unwrap();
            fs::remove_file(copy.path.join(format!("data/manifests/{name}.json.zst"))).unwrap();
            fs::remove_file(copy.path.join(format!("data/lists/{name}.sha256"))).unwrap();
        }
    };
    let report = check::run(&repository, &Options::default(), &forget).unwrap();
    assert!(report.is_good(), "{:#?}", report.problems);
    let forgotten: Vec<String> =
        report.information.forgotten_meanwhile.iter().map(ToString::to_string).collect();
    assert_eq!(forgotten, [name]);
}

#[test]
fn what_the_destination_refuses_to_give_does_not_hide_the_rest() {
    let copy = Copy::new();
    let keys: Vec<String> =
        ["markers", "data/lists", "data/index", "data/manifests", "data/blocks", "databases"]
            .iter()
            .map(|folder| copy.keys(folder, |_| true)[0].clone())
            .collect();
    for kind in [ErrorKind::PermissionDenied, ErrorKind::Other] {
        for key in &keys {
            let plan = FaultPlan::new().always(Verb::Get, key, Fault::FailBefore(kind));
            let report = checked(&faulty(&copy, plan).1, CheckLevel::Data);
            let expected = if key.starts_with("markers") {
                ProblemKind::Signature
            } else {
                ProblemKind::Unreadable
            };
            assert_eq!(problems(&report), [(key.clone(), expected)]);
            assert!(report.problems[0].detail.contains("cannot be read"), "{:?}", report.problems);
        }
    }
}

#[test]
fn a_destination_that_does_not_answer_is_an_error() {
    let copy = Copy::new();
    let fails = Fault::FailBefore(ErrorKind::Transient);
    for (verb, prefix) in [
        (Verb::List, ""),
        (Verb::Get, "markers"),
        (Verb::Get, "data/lists"),
        (Verb::Get, "data/index"),
        (Verb::Get, "data/blocks"),
        (Verb::Get, "data"),
    ] {
        let plan = FaultPlan::new().always(verb, prefix, fails);
        let backend = FaultyBackend::new(LocalBackend::open(&copy.path).unwrap(), plan);
        let repository = match open_to_read(Arc::new(backend), &[world().host_key().verifying()]) {
            Ok(repository) => repository,
            // Markers are looked at already when a repository is opened.
            Err(error) => {
                assert!(matches!(error, host::Error::Repository(Error::Backend(_))), "{error:?}");
                assert!(prefix.is_empty() || prefix == "markers", "{verb:?} {prefix}");
                continue;
            }
        };
        let options = Options { level: CheckLevel::Data, ..Options::default() };
        let result = check::run(&repository, &options, &|_| {});
        if prefix == "data/blocks" {
            // Fewer than it takes to lose patience: each is told.
            let report = result.unwrap();
            assert!(!report.is_good());
            let kinds = report.problems.iter().map(|problem| problem.kind);
            assert!(kinds.into_iter().all(|kind| kind == ProblemKind::Unreadable));
        } else {
            assert!(matches!(result, Err(Error::Backend(_))), "{verb:?} {prefix}");
        }
    }
    // Everything at the second level: patience ends.
    let mut plan = FaultPlan::new();
    for folder in ["data/blocks", "data/trees", "data/files", "databases"] {
        plan = plan.always(Verb::Get, folder, fails);
    }
    let options = Options { level: CheckLevel::Data, ..Options::default() };
    let result = check::run(&faulty(&copy, plan).1, &options, &|_| {});
    assert!(matches!(result, Err(Error::Backend(_))));
}

#[test]
fn a_listing_with_a_hole_makes_nothing_missing() {
    let copy = Copy::new();
    let (backend, repository) = faulty(&copy, FaultPlan::new());
    let listing = AtomicU64::new(0);
    let progress = |text: &str| {
        if text.starts_with("listing") {
            listing.store(backend.count(), Ordering::Relaxed);
        }
    };
    let good = check::run(&repository, &Options::default(), &progress).unwrap();
    // The next call is the listing of everything; opening was made with another handle's count.
    let number = listing.into_inner();
    let breaks_off = Fault::FailAfter(ErrorKind::Other);
    let (_, repository) = faulty(&copy, FaultPlan::new().at(number, breaks_off));
    let report = checked(&repository, CheckLevel::Names);
    assert!(report.is_good(), "{:#?}", report.problems);
    assert_eq!((report.things, report.bytes), (good.things, good.bytes));
    // What is really not there still is missing.
    let key = copy.keys("data/files", |_| true)[0].clone();
    fs::remove_file(copy.path.join(&key)).unwrap();
    let (_, repository) = faulty(&copy, FaultPlan::new().at(number, breaks_off));
    let report = checked(&repository, CheckLevel::Names);
    assert_eq!(problems(&report), [(key, ProblemKind::Missing)]);
}
