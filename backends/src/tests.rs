//! The conformance suite for every backend and every wrapper of this crate.

use tempfile::TempDir;

use crate::conformance::{CASES, Fresh};
use crate::{
    Backend, FaultPlan, FaultyBackend, LimitedBackend, LocalBackend, LookingBackend, MemoryBackend,
    RecordingBackend, RetryPolicy, RetryingBackend,
};

mod model;

/// Two handles on one storage in memory, each wrapped.
fn in_memory<B: Backend + 'static>(wrap: impl Fn(MemoryBackend) -> B) -> Fresh {
    let backend = MemoryBackend::new();
    Fresh::new(wrap(backend.clone()), wrap(backend))
}

/// A folder on a disk, if temporary files are.
fn on_disk() -> TempDir {
    TempDir::new().unwrap()
}

/// A folder in memory where there is such a place: there a sync costs nothing.
fn in_ram() -> TempDir {
    TempDir::new_in("/dev/shm").unwrap_or_else(|_| on_disk())
}

/// Two handles on one folder, each wrapped.
fn in_folder<B: Backend + 'static>(folder: TempDir, wrap: impl Fn(LocalBackend) -> B) -> Fresh {
    let open = || wrap(LocalBackend::open(folder.path()).unwrap());
    Fresh::new(open(), open()).keeping(folder)
}

fn retrying<B: Backend>(inner: B) -> RetryingBackend<B> {
    RetryingBackend::new(inner, RetryPolicy::fast())
}

fn faultless<B: Backend>(inner: B) -> FaultyBackend<B> {
    FaultyBackend::new(inner, FaultPlan::new())
}

#[test]
fn every_case_has_its_own_name() {
    let names: std::collections::BTreeSet<_> = CASES.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), CASES.len());
}

mod memory {
    use super::in_memory;
    crate::conformance_tests!(|| in_memory(|memory| memory));
}

mod memory_retrying {
    use super::{in_memory, retrying};
    crate::conformance_tests!(|| in_memory(retrying));
}

mod memory_recording {
    use super::{RecordingBackend, in_memory};
    crate::conformance_tests!(|| in_memory(RecordingBackend::new));
}

mod memory_faulty {
    use super::{faultless, in_memory};
    crate::conformance_tests!(|| in_memory(faultless));
}

mod memory_limited {
    use super::{LimitedBackend, in_memory};
    const FAST: Option<std::num::NonZeroU64> = std::num::NonZeroU64::new(1 << 32);
    crate::conformance_tests!(|| in_memory(|memory| LimitedBackend::new(memory, FAST, FAST)));
}

mod memory_looking {
    use super::{LookingBackend, in_memory};
    crate::conformance_tests!(|| in_memory(LookingBackend::new));
}

mod local {
    use super::{in_folder, on_disk};
    crate::conformance_tests!(|| in_folder(on_disk(), |local| local));
}

mod local_by_links {
    use super::{LocalBackend, in_folder, on_disk};
    crate::conformance_tests!(|| in_folder(on_disk(), LocalBackend::by_links));
}

mod local_retrying {
    use super::{in_folder, in_ram, retrying};
    crate::conformance_tests!(|| in_folder(in_ram(), retrying));
}

mod local_recording {
    use super::{RecordingBackend, in_folder, in_ram};
    crate::conformance_tests!(|| in_folder(in_ram(), RecordingBackend::new));
}

mod local_faulty {
    use super::{faultless, in_folder, in_ram};
    crate::conformance_tests!(|| in_folder(in_ram(), faultless));
}
