//! A lost index over packs that cannot be read.

use std::fs;

use super::*;
use crate::cli::User;
use crate::encryption::age_key;
use crate::support::{example, files_below};

/// A lost index, and packs that cannot be read themselves: one run meets them all.
#[test]
fn a_lost_segment_over_many_rotten_packs_costs_one_run() {
    let (source, mut world) = (Source::example(), World::local());
    world.backup(&source);
    let packs = |world: &World| {
        let mut packs = files_below(&world.repository_path().join("data/blocks"));
        packs.extend(files_below(&world.repository_path().join("data/trees")));
        packs
    };
    let old = packs(&world);
    assert!(old.len() > 1);
    for pack in &old {
        let mut bytes = fs::read(pack).unwrap();
        bytes[10] ^= 1;
        fs::remove_file(pack).unwrap();
        fs::write(pack, bytes).unwrap();
    }
    for segment in files_below(&world.repository_path().join("data/index")) {
        fs::remove_file(segment).unwrap();
    }
    world.options.list = true;
    let report = world.backup(&source);
    assert!(report.needs_reading());
    assert_eq!(report.alarms.len(), 1 + old.len(), "{:?}", report.alarms);
    let fresh = World::local();
    let needed = stored(&fresh, &fresh.backup(&source));
    assert!(needed.is_subset(&stored(&world, &report)));
    let quiet = world.backup(&source);
    assert!(!quiet.needs_reading(), "{:?}", quiet.alarms);
    assert_deep_check(&world);
}

/// A list says nothing that the segment does not: nothing is read again from packs.
#[test]
fn a_lost_list_is_written_again_from_its_segment() {
    let (source, mut world) = (Source::example(), World::local());
    let first = world.backup(&source);
    let old = files_below(&world.repository_path().join("data/blocks"));
    for pack in &old {
        let mut bytes = fs::read(pack).unwrap();
        bytes[10] ^= 1;
        fs::remove_file(pack).unwrap();
        fs::write(pack, bytes).unwrap();
    }
    for list in &first.marker.lists {
        fs::remove_file(world.repository_path().join(list.key.as_str())).unwrap();
    }
    world.options.list = true;
    let report = world.backup(&source);
    assert_eq!((report.alarms.len(), report.totals.objects), (1, 0), "{:?}", report.alarms);
}

/// A host that encrypts, and has no key: what lies at the destination says nothing to it.
struct Sealed {
    user: User,
    key: String,
    source: String,
}

impl Sealed {
    fn new() -> Self {
        let user = User::new();
        let (key, public) = age_key(&user, "office.key");
        user.run(&["init", "--recipient", &public]).succeeds();
        let source = example().to_str().unwrap().to_owned();
        user.run(&["backup", &source]).succeeds();
        let key = key.to_str().unwrap().to_owned();
        Self { user, key, source }
    }

    fn stored(&self, folder: &str) -> Vec<std::path::PathBuf> {
        files_below(&self.user.repository().join(folder))
    }

    /// The lists that the newest marker names.
    fn lists(&self) -> Vec<std::path::PathBuf> {
        let repository = self.user.repository();
        let marker = repository.join("markers").join(self.user.only_marker());
        let marker = fs::read_to_string(marker).unwrap();
        let lines = marker.lines().filter(|line| line.starts_with("list "));
        lines.map(|line| repository.join(line.rsplit(' ').next().unwrap())).collect()
    }

    /// The next night meets all that was lost; the one after it is quiet, all is there again, and whoever has the key
    /// restores it.
    fn heals(&self, about: &str) {
        let first = self.user.run(&["backup", &self.source, "--list"]);
        first.fails(3, &[]);
        let quiet = self.user.run(&["backup", &self.source, "--list"]);
        assert_eq!(quiet.status, 0, "{about}: {}{}", quiet.stdout, quiet.stderr);
        let deep = ["check", "--deep", "--snapshot", "latest", "-i", &self.key];
        self.user.run(&deep).succeeds();
        let target = self.user.path("restored");
        let target = target.to_str().unwrap();
        let restore = ["restore", "latest", "-i", &self.key, "--target", target];
        self.user.run(&restore).succeeds();
        self.user.run(&["verify", target]).succeeds();
    }
}

/// Each of these ended run after run with exit 12 once, one pack at a time.
#[test]
fn what_is_lost_of_an_encrypted_index_is_met_by_one_run() {
    for (about, has_segments, has_lists) in
        [("segments and lists", false, false), ("segments", false, true), ("lists", true, false)]
    {
        for are_rotten in [false, true] {
            let sealed = Sealed::new();
            let (segments, lists) = (sealed.stored("data/index"), sealed.lists());
            assert!(!segments.is_empty() && !lists.is_empty(), "{about}");
            let lost = segments.into_iter().filter(|_| !has_segments);
            let lost = lost.chain(lists.into_iter().filter(|_| !has_lists));
            let packs = [sealed.stored("data/blocks"), sealed.stored("data/trees")].concat();
            assert!(packs.len() > 1);
            for pack in packs.iter().filter(|_| are_rotten) {
                let mut bytes = fs::read(pack).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::remove_file(pack).unwrap();
                fs::write(pack, bytes).unwrap();
            }
            for file in lost {
                fs::remove_file(file).unwrap();
            }
            if are_rotten && has_segments {
                // Nobody reads the packs for a list.
                let ran = sealed.user.run(&["backup", &sealed.source, "--list"]);
                ran.fails(3, &[]);
                continue;
            }
            sealed.heals(&format!("{about}, rotten: {are_rotten}"));
        }
    }
}
