//! The catalog against a model: random runs that store, visit, mark, lose and die.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use seawall_test_servers::wait::{self, SetAtEnd};

use super::*;
use crate::object::{Kind, LibraryId, Object, ObjectId};
use crate::repository::names::PackKind;
use crate::repository::pack::{Contents, MemberName, Pack, PackBuilder, PackOptions};
use crate::repository::segment::Line;

fn object(store: u8, kind: u8, id: u8) -> Object {
    let store = Store::Library(LibraryId::new([store; 16]));
    Object::new(store, Kind::ALL[usize::from(kind)], ObjectId::new([id; 20]))
}

fn catalog() -> (tempfile::TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    let catalog =
        Catalog::open(&folder.path().join("c.db"), &RepositoryId::random().unwrap()).unwrap();
    (folder, catalog)
}

fn pack(objects: &[Object]) -> (Sha256, Contents) {
    let mut builder = PackBuilder::new(PackOptions::new(1)).unwrap();
    for object in objects {
        let bytes = object.to_string();
        builder.add(MemberName { object: *object, damaged: false }, bytes.as_bytes()).unwrap();
    }
    let Pack { bytes, contents } = builder.finish().unwrap();
    (Sha256::of(&bytes), contents)
}

fn store(catalog: &Catalog, objects: &[Object]) -> Sha256 {
    let (name, contents) = pack(objects);
    catalog
        .add_pending(&NewPack {
            name,
            kind: PackKind::Trees,
            size: 9,
            contents: &contents,
            walked: true,
        })
        .unwrap();
    catalog.mark_stored(&name).unwrap();
    name
}

fn base(sequence: u64) -> Base {
    Base {
        snapshot: "2026-11-22T20-40-05Z-9f3c".parse().unwrap(),
        sha256: Sha256::of(b""),
        sequence,
    }
}

#[test]
fn pending_is_not_stored_and_stored_is_not_closed() {
    let (_folder, catalog) = catalog();
    let tree = object(1, 1, 1);
    catalog.begin_run().unwrap();
    let (name, contents) = pack(&[tree]);
    catalog
        .add_pending(&NewPack {
            name,
            kind: PackKind::Trees,
            size: 9,
            contents: &contents,
            walked: true,
        })
        .unwrap();
    assert_eq!(catalog.known(&tree).unwrap(), None);
    catalog.mark_stored(&name).unwrap();
    let known = catalog.known(&tree).unwrap().unwrap();
    assert!(!known.closed && !known.walked);
    assert_eq!(known.length, tree.to_string().len() as u64);
    catalog.finish_run(&base(1), &[]).unwrap();
    assert!(catalog.known(&tree).unwrap().unwrap().closed);
}

#[test]
fn a_link_falls_with_its_target_and_both_stores_are_walked_again() {
    let (_folder, catalog) = catalog();
    let (target, link) = (object(1, 2, 1), object(2, 2, 1));
    catalog.begin_run().unwrap();
    let first = store(&catalog, &[target]);
    assert_eq!(catalog.same_content(&link).unwrap(), Some(target.store));
    let mut builder = PackBuilder::new(PackOptions::new(1)).unwrap();
    builder.add_link(link, target.store).unwrap();
    let Pack { bytes, contents } = builder.finish().unwrap();
    let name = Sha256::of(&bytes);
    catalog
        .add_pending(&NewPack {
            name,
            kind: PackKind::Blocks,
            size: 9,
            contents: &contents,
            walked: true,
        })
        .unwrap();
    catalog.mark_stored(&name).unwrap();
    assert_eq!(catalog.same_content(&target).unwrap(), None, "a link is no target");
    assert_eq!(catalog.known(&link).unwrap().unwrap().length, target.to_string().len() as u64);
    assert_eq!(catalog.place(&link).unwrap(), catalog.place(&target).unwrap());
    catalog.finish_run(&base(1), &[]).unwrap();
    catalog.begin_run().unwrap();
    let number = catalog.packs().unwrap().iter().find(|pack| pack.name == first).unwrap().number;
    catalog.drop_packs(&[number]).unwrap();
    assert_eq!(catalog.packs().unwrap(), [], "a pack with a link goes with the link's target");
    assert_eq!((catalog.known(&target).unwrap(), catalog.known(&link).unwrap()), (None, None));
    assert!(catalog.is_voided(link.store).unwrap());
}

#[test]
fn a_store_that_a_run_left_unclean_is_closed_only_where_it_says() {
    let (_folder, catalog) = catalog();
    let (open, closed, walked) = (object(1, 1, 1), object(1, 1, 2), object(1, 1, 3));
    catalog.begin_run().unwrap();
    store(&catalog, &[open, closed, walked]);
    let marks = [(closed, Mark::Closed), (walked, Mark::Walked)];
    catalog.mark(&[open.store], marks.into_iter()).unwrap();
    catalog.finish_run(&base(1), &[]).unwrap();
    let known = |object: &Object| catalog.known(object).unwrap().unwrap();
    assert_eq!((known(&open).closed, known(&open).walked), (false, false));
    assert_eq!((known(&closed).closed, known(&closed).walked), (true, true));
    assert_eq!((known(&walked).closed, known(&walked).walked), (false, true));
}

#[test]
fn adopted_objects_are_stored_and_not_closed() {
    let (_folder, catalog) = catalog();
    let tree = object(1, 1, 1);
    catalog.begin_run().unwrap();
    catalog.finish_run(&base(1), &[]).unwrap();
    let (name, contents) = pack(&[tree]);
    catalog.adopt_line(&Line { pack: name, kind: PackKind::Trees, size: 9, contents }).unwrap();
    assert!(!catalog.known(&tree).unwrap().unwrap().closed);
}

#[test]
fn a_link_is_made_only_to_what_is_stored() {
    let (_folder, catalog) = catalog();
    let (target, link) = (object(1, 2, 1), object(2, 2, 1));
    catalog.begin_run().unwrap();
    let (name, contents) = pack(&[target]);
    catalog
        .add_pending(&NewPack {
            name,
            kind: PackKind::Blocks,
            size: 9,
            contents: &contents,
            walked: true,
        })
        .unwrap();
    assert_eq!(catalog.same_content(&link).unwrap(), None);
    catalog.mark_stored(&name).unwrap();
    assert_eq!(catalog.same_content(&link).unwrap(), Some(target.store));
}

#[test]
fn abandoned_packs_are_forgotten() {
    let (_folder, catalog) = catalog();
    catalog.begin_run().unwrap();
    let (name, contents) = pack(&[object(1, 1, 1)]);
    catalog
        .add_pending(&NewPack {
            name,
            kind: PackKind::Trees,
            size: 9,
            contents: &contents,
            walked: true,
        })
        .unwrap();
    let numbers: Vec<i64> = catalog.packs().unwrap().iter().map(|pack| pack.number).collect();
    catalog.forget_pending(&numbers).unwrap();
    assert_eq!(catalog.packs().unwrap(), []);
}

#[test]
fn a_catalog_that_is_no_database_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.db");
    std::io::Write::write_all(&mut tempfile::NamedTempFile::new_in(&folder).unwrap(), b"x")
        .unwrap();
    std::fs::copy("/bin/true", &path).unwrap();
    let error = Catalog::open(&path, &RepositoryId::random().unwrap()).unwrap_err();
    assert!(error.hint().unwrap().contains("c.db"), "{error}");
}

#[derive(Debug, Clone)]
enum Step {
    /// Stores new objects and visits old ones, then ends with a marker or dies.
    Run { objects: BTreeSet<(u8, u8, u8)>, unclean: BTreeMap<u8, BTreeSet<(u8, u8)>>, dies: bool },
    /// A pack vanishes.
    Lose(prop::sample::Index),
}

fn any_step() -> impl Strategy<Value = Step> {
    let name = (0u8..3, 0u8..2, 0u8..6);
    let run = (
        prop::collection::btree_set(name, 1..8),
        prop::collection::btree_map(
            0u8..3,
            prop::collection::btree_set((0u8..2, 0u8..6), 0..4),
            0..2,
        ),
        any::<bool>(),
    );
    prop_oneof![
        4 => run.prop_map(|(objects, unclean, dies)| Step::Run { objects, unclean, dies }),
        1 => any::<prop::sample::Index>().prop_map(Step::Lose),
    ]
}

/// What should be known: by object the pack that holds it, and whether it is closed.
#[derive(Default)]
struct Model {
    stored: BTreeMap<(u8, u8, u8), (Sha256, bool)>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_runs_agree_with_the_model(steps in prop::collection::vec(any_step(), 1..12)) {
        let (folder, mut catalog) = catalog();
        let repository = get_meta(&catalog.lock().connection, "repository").unwrap().unwrap();
        let repository: RepositoryId = repository.parse().unwrap();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Run { objects, unclean, dies } => {
                    catalog.begin_run().unwrap();
                    let named = |(store, kind, id): (u8, u8, u8)| object(store, kind, id);
                    let (old, new): (Vec<&(u8, u8, u8)>, Vec<_>) =
                        objects.iter().partition(|name| model.stored.contains_key(name));
                    for name in &old {
                        catalog.visit(&[named(**name)]).unwrap();
                    }
                    let fresh: Vec<Object> = new.iter().map(|name| named(**name)).collect();
                    if !fresh.is_empty() {
                        let pack = store(&catalog, &fresh);
                        model.stored.extend(new.iter().map(|name| (**name, (pack, false))));
                    }
                    for (store, closed) in &unclean {
                        let marks = objects.iter().filter(|name| name.0 == *store).map(|name| {
                            let mark = if closed.contains(&(name.1, name.2)) { Mark::Closed } else { Mark::Walked };
                            (named(*name), mark)
                        });
                        catalog.mark(&[object(*store, 0, 0).store], marks).unwrap();
                    }
                    if !dies {
                        catalog.finish_run(&base(1), &[]).unwrap();
                    }
                    for name in &objects {
                        let closed = unclean.get(&name.0).is_none_or(|closed| closed.contains(&(name.1, name.2)));
                        model.stored.get_mut(name).unwrap().1 = closed && !dies;
                    }
                }
                Step::Lose(index) => {
                    let packs = catalog.packs().unwrap();
                    if packs.is_empty() { continue }
                    catalog.begin_run().unwrap();
                    let lost = &packs[index.index(packs.len())];
                    catalog.drop_packs(&[lost.number]).unwrap();
                    model.stored.retain(|_, held| held.0 != lost.name);
                    for held in model.stored.values_mut() {
                        held.1 = false;
                    }
                }
            }
            // What a process that starts anew sees.
            catalog = Catalog::open(&folder.path().join("c.db"), &repository).unwrap();
            for store in 0..3 {
                let mut count = 0;
                for (kind, id) in (0..2).flat_map(|kind| (0..6).map(move |id| (kind, id))) {
                    let known = catalog.known(&object(store, kind, id)).unwrap();
                    let expected = model.stored.get(&(store, kind, id));
                    prop_assert_eq!(known.map(|known| known.closed), expected.map(|held| held.1));
                    count += u64::from(known.is_some());
                }
                let counts = catalog.counts(object(store, 0, 0).store).unwrap();
                prop_assert_eq!(counts.commits + counts.fs, count);
            }
        }
    }
}

/// Somebody always looks something up while packs are stored.
#[test]
fn the_log_is_taken_back_while_look_ups_go_on() {
    let (folder, mut catalog) = catalog();
    let long = 512 << 10;
    catalog.lookups.long_log = long;
    catalog.begin_run().unwrap();
    let objects = |pack: u8| {
        let object = move |n: u16| {
            let mut id = [pack.wrapping_mul(37); 20];
            id[..2].copy_from_slice(&n.wrapping_mul(25_117).to_be_bytes());
            Object::new(Store::Library(LibraryId::new([1; 16])), Kind::Block, ObjectId::new(id))
        };
        (0..300).map(object).collect::<Vec<_>>()
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    let wal = folder.path().join("c.db-wal");
    let mut longest = 0;
    wait::step("60 packs are stored beside two readers");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    catalog.known(&objects(1)[0]).unwrap();
                }
            });
        }
        let _done = SetAtEnd(&done);
        for pack in 0..60 {
            store(&catalog, &objects(pack));
            longest = longest.max(std::fs::metadata(&wal).unwrap().len());
        }
    });
    assert!(longest < 3 * long, "{longest}");
    assert!(catalog.known(&objects(59)[299]).unwrap().is_some());
}
