//! Every operation of a restore and of a check fails.

use std::path::Path;
use std::sync::Arc;

use seawall::check::{self, CheckLevel};
use seawall::host;
use seawall::restore;
use seawall_backends::{Backend, FaultPlan, FaultyBackend};

use super::sweep::{FAULTS, backed_up, failing};
use super::{Stage, content};
use crate::support::Source;

/// Restores the newest snapshot; false if that failed.
fn restores(stage: &Stage, backend: Arc<dyn Backend>, target: &Path) -> bool {
    let attempt = || -> host::Result<bool> {
        let repository = stage.repository(backend)?;
        let markers = repository.markers()?;
        let options = restore::Options::new(target.to_owned());
        let snapshot = markers.find("latest")?;
        let report = restore::run(&repository, snapshot, &options, &|_| {});
        Ok(report.is_ok_and(|report| report.lost.is_empty()))
    };
    attempt().unwrap_or_default()
}

#[test]
fn a_restore_goes_on_where_it_died() {
    let stage = backed_up(&Source::example());
    let folder = tempfile::tempdir().unwrap();
    let counting = Arc::new(FaultyBackend::new(stage.memory.clone(), FaultPlan::new()));
    let whole = folder.path().join("whole");
    assert!(restores(&stage, counting.clone(), &whole));
    let (expected, before) = (content(&whole), stage.bytes());
    let (mut points, mut failed) = (0, 0);
    for (position, (fault, retried)) in FAULTS.into_iter().enumerate() {
        for number in 0..counting.count() {
            let about = format!("restore: {fault:?} at {number}, retried: {retried}");
            let target = folder.path().join(format!("{position}-{number}"));
            let backend = failing(&stage.memory, number, fault, retried);
            points += 1;
            if !restores(&stage, backend, &target) {
                failed += 1;
                // What is lost for a moment is not lost: a target that was finished with losses is
                // begun anew.
                if target.exists() && !target.join(restore::UNFINISHED).exists() {
                    std::fs::remove_dir_all(&target).unwrap();
                }
                assert!(restores(&stage, stage.backend(), &target), "{about}");
            }
            assert_eq!(content(&target), expected, "{about}");
            std::fs::remove_dir_all(&target).unwrap();
        }
    }
    assert_eq!(stage.bytes(), before);
    eprintln!("restore: {} operations, {points} crash points, {failed} failed", counting.count());
    assert!(failed > 10, "{failed}");
}

fn checks(stage: &Stage, backend: Arc<dyn Backend>, level: CheckLevel) -> Option<bool> {
    let options = check::Options { level, workers: 1, ..check::Options::default() };
    let repository = stage.repository(backend).ok()?;
    Some(check::run(&repository, &options, &|_| {}).ok()?.is_good())
}

#[test]
fn a_check_that_could_not_read_does_not_say_good() {
    let stage = backed_up(&Source::example());
    let before = stage.bytes();
    let memory = || stage.backend();
    for level in [CheckLevel::Names, CheckLevel::Data] {
        let counting = Arc::new(FaultyBackend::new(memory(), FaultPlan::new()));
        assert_eq!(checks(&stage, counting.clone(), level), Some(true));
        let mut points = 0;
        for (fault, retried) in FAULTS {
            for number in 0..counting.count() {
                let backend = failing(&stage.memory, number, fault, retried);
                let is_good = checks(&stage, backend, level) == Some(true);
                points += 1;
                let about = format!("check {level:?}: {fault:?} at {number}, retried: {retried}");
                let passes = retried && FAULTS[2..].iter().any(|(passing, _)| *passing == fault);
                assert!(passes || !is_good, "{about}");
            }
        }
        eprintln!("check {level:?}: {} operations, {points} points", counting.count());
    }
    assert_eq!(stage.bytes(), before);
    assert_eq!(checks(&stage, memory(), CheckLevel::Data), Some(true));
}
