//! What a deep check proves, guarantee by guarantee: each is broken once, with everything signed.

use seawall::check::{CheckLevel, ProblemKind, Report};
use seawall::object::{Kind, LibraryId, Object, ObjectId, Store};
use seawall::repository::manifest::LibraryUse;
use seawall::repository::names::PackKind;
use seawall::repository::pack::{Member, MemberName, MemberPlace};

use super::forge::{Entry, Forge, assemble};
use super::{Copy, problems};
use crate::support::{DOCUMENTS, run};

/// Whether a problem of that kind is told of that thing, in words that hold all of these.
fn tells(report: &Report, key: &str, kind: ProblemKind, words: &[&str]) -> bool {
    report.problems.iter().any(|problem| {
        problem.key.as_str() == key
            && problem.kind == kind
            && words.iter().all(|word| problem.detail.contains(word))
    })
}

fn assert_tells(report: &Report, key: &str, kind: ProblemKind, words: &[&str]) {
    assert!(tells(report, key, kind, words), "{key} {kind:?} {words:?}: {:#?}", report.problems);
}

fn is_block(member: &Member) -> bool {
    member.name.object.kind == Kind::Block && matches!(member.place, MemberPlace::Data { .. })
}

fn is_long_block(member: &Member) -> bool {
    is_block(member) && matches!(member.place, MemberPlace::Data { len, .. } if len > 2000)
}

fn other_store() -> Store {
    Store::Library(LibraryId::new([9; 16]))
}

#[test]
fn what_is_put_together_again_unchanged_is_good() {
    let mut forge = Forge::new();
    forge.manifest.warnings.push("one more".into());
    let report = forge.check();
    assert!(report.is_good(), "{:#?}", report.problems);
    let deep = report.deep.unwrap();
    let members: usize = forge.lines.iter().map(|line| line.contents.members.len()).sum();
    assert_eq!(deep.objects + deep.links, members as u64);
    assert_eq!(deep.packs, forge.lines.len() as u64);
    assert!(deep.walked > 300 && deep.dumps >= 6 && deep.file_groups >= 3, "{deep:?}");
    let data = report.data.unwrap();
    assert_eq!(data.read, data.of);
}

/// Changes to a member, by name.
type Changes = [(&'static str, fn(&mut Member)); 5];

/// The index says something else of one member than its pack does.
#[test]
fn an_index_that_differs_from_the_pack_is_found() {
    let changes: Changes = [
        ("store", |member| member.name.object.store = other_store()),
        ("kind", |member| member.name.object.kind = Kind::Fs),
        ("id", |member| {
            member.name.object.id = ObjectId::new([1; 20]);
        }),
        ("offset", |member| {
            if let MemberPlace::Data { offset, len, .. } = &mut member.place {
                (*offset, *len) = (*offset + 512, *len - 512);
            }
        }),
        ("length", |member| {
            if let MemberPlace::Data { len, .. } = &mut member.place {
                *len -= 1;
            }
        }),
    ];
    for (what, change) in changes {
        let mut forge = Forge::new();
        let at = forge.find(is_long_block);
        let object = forge.member(at).name.object;
        change(forge.member(at));
        let key = forge.pack_key(at.0);
        let report = forge.check();
        let id = object.id.to_string();
        assert_tells(&report, &key, ProblemKind::Undecodable, &["the index names", &id]);
        // Who goes by the index does not find it.
        let manifest = forge.manifest_key();
        assert_tells(&report, &manifest, ProblemKind::Unresolved, &["block", &id]);
        assert!(report.problems.iter().all(|problem| problem.affected > 0), "{what}");
    }
}

#[test]
fn frames_that_differ_are_found() {
    let mut forge = Forge::new();
    let (line, _) = forge.find(is_block);
    forge.lines[line].contents.frames.last_mut().unwrap().plain_len += 512;
    let key = forge.pack_key(line);
    let report = forge.check();
    assert_tells(&report, &key, ProblemKind::Undecodable, &["other frames"]);
}

#[test]
fn members_that_only_one_of_index_and_pack_has_are_found() {
    // In the pack and not in the index.
    let mut forge = Forge::new();
    let (line, _) = forge.find(is_block);
    let last = forge.lines[line].contents.members.pop().unwrap();
    let key = forge.pack_key(line);
    let id = last.name.object.id.to_string();
    let report = forge.check();
    assert_tells(&report, &key, ProblemKind::Undecodable, &["does not name", &id]);

    // In the index and not in the pack: a link, which takes no place in a frame.
    let mut forge = Forge::new();
    let at = forge.find(is_block);
    let object = forge.member(at).name.object;
    forge.lines[at.0].contents.members.push(Member {
        name: MemberName::good(Object { store: other_store(), ..object }),
        place: MemberPlace::Link { target: object.store },
    });
    let key = forge.pack_key(at.0);
    let report = forge.check();
    let id = object.id.to_string();
    assert_tells(&report, &key, ProblemKind::Undecodable, &["does not have", &id, "link"]);
}

#[test]
fn an_index_that_calls_a_pack_the_wrong_kind_is_found() {
    let mut forge = Forge::new();
    let (line, _) = forge.find(is_block);
    let bytes = forge.pack_bytes(line);
    let contents = forge.lines[line].contents.clone();
    forge.lines[line].kind = PackKind::Trees;
    forge.put_pack(line, &bytes, contents);
    let key = forge.pack_key(line);
    let report = forge.check();
    assert_tells(&report, &key, ProblemKind::Undecodable, &["does not belong"]);
}

/// Bytes that are another object's, in a pack that is whole in itself.
#[test]
fn members_with_wrong_bytes_are_found() {
    for kind in Kind::ALL {
        let mut forge = Forge::new();
        let (line, at) = forge.find(|member| member.name.object.kind == kind);
        let name = forge.lines[line].contents.members[at].name;
        forge.repack(line, |entries| {
            entries[at].1 = Entry::Bytes(b"{\"commit_id\": \"0\"}".to_vec());
        });
        let key = forge.pack_key(line);
        let report = forge.check();
        let id = name.object.id.to_string();
        assert_tells(&report, &key, ProblemKind::Undecodable, &[&id]);
        let manifest = forge.manifest_key();
        assert_tells(&report, &manifest, ProblemKind::Unresolved, &[&id, "is missing"]);
    }
}

#[test]
fn a_tar_that_differs_from_the_table_of_contents_is_found() {
    let mut forge = Forge::new();
    let at = forge.find(is_block);
    let members = forge.lines[at.0].contents.members.clone();
    let zeros = [0; 1024];

    // A header with another id: stock tools would put the bytes elsewhere.
    let mut frames = forge.frames(at.0);
    frames[0][60] = if frames[0][60] == b'a' { b'b' } else { b'a' };
    let (bytes, contents) = assemble(&frames, &zeros, members.clone());
    forge.put_pack(at.0, &bytes, contents);
    let key = forge.pack_key(at.0);
    assert_tells(&forge.check(), &key, ProblemKind::Undecodable, &["tar header"]);

    // Something behind the last member, and an end that is none.
    let mut forge = Forge::new();
    let frames = forge.frames(at.0);
    let (bytes, contents) = assemble(&frames, &[1; 1024], members.clone());
    forge.put_pack(at.0, &bytes, contents);
    let key = forge.pack_key(at.0);
    assert_tells(&forge.check(), &key, ProblemKind::Undecodable, &["end of the tar"]);

    let mut forge = Forge::new();
    let mut more = frames.clone();
    more.last_mut().unwrap().extend([0; 512]);
    let (bytes, contents) = assemble(&more, &zeros, members);
    forge.put_pack(at.0, &bytes, contents);
    let key = forge.pack_key(at.0);
    assert_tells(&forge.check(), &key, ProblemKind::Undecodable, &["not listed"]);
}

#[test]
fn a_pack_that_is_no_pack_is_found() {
    let mut forge = Forge::new();
    let (line, _) = forge.find(is_block);
    let contents = forge.lines[line].contents.clone();
    forge.put_pack(line, b"nothing of the kind", contents);
    let key = forge.pack_key(line);
    let report = forge.check();
    assert_tells(&report, &key, ProblemKind::Undecodable, &["table of contents"]);
}

#[test]
fn a_pointer_that_leads_nowhere_is_named_with_library_object_and_path() {
    for kind in Kind::ALL {
        let mut forge = Forge::new();
        let library: LibraryId = DOCUMENTS.parse().unwrap();
        let head = forge.manifest.library(library).unwrap().heads[0].1;
        let is_wanted = |member: &Member| {
            let object = member.name.object;
            object.store == Store::Library(library)
                && object.kind == kind
                && (kind != Kind::Commit || object.id == head)
        };
        let (line, at) = forge.find(is_wanted);
        let object = forge.lines[line].contents.members[at].name.object;
        forge.repack(line, |entries| {
            // With all links to it, which would be found as such.
            entries.retain(|(name, _)| name.object.kind != kind || name.object.id != object.id);
        });
        let report = forge.check();
        let manifest = forge.manifest_key();
        let id = object.id.to_string();
        let words = [DOCUMENTS, &kind.to_string(), &id, "is missing"];
        assert_tells(&report, &manifest, ProblemKind::Unresolved, &words);
        assert!(report.problems.iter().all(|problem| problem.kind == ProblemKind::Unresolved));

        // Listed as damage, it is no problem.
        let first = forge.manifest.snapshot;
        for problem in &report.problems {
            let ids: Vec<&str> = problem.detail.split(' ').collect();
            let word = |before: &str| ids[ids.iter().position(|word| *word == before).unwrap() + 1];
            let library: LibraryId = word("library").trim_end_matches(',').parse().unwrap();
            forge.manifest.damage.push(seawall::repository::manifest::Damage {
                store: object.store,
                kind,
                id: object.id,
                library,
                reason: "missing".into(),
                detail: "is missing".into(),
                paths: Vec::new(),
                first_seen: first,
                kept: None,
                accepted: None,
            });
        }
        forge.marker.damage += 1;
        let report = forge.check();
        assert!(report.is_good(), "{:#?}", report.problems);
        assert_eq!(report.deep.unwrap().damage, 1);

        // And the marker has to count it.
        forge.marker.damage += 1;
        let report = forge.check();
        let marker = format!("markers/{}", forge.marker.snapshot);
        assert_eq!(problems(&report), [(marker, ProblemKind::Contradiction)]);
    }
}

#[test]
fn paths_of_the_newest_state_are_named() {
    let mut forge = Forge::new();
    let library: LibraryId = DOCUMENTS.parse().unwrap();
    let store = Store::Library(library);
    // All of the library's blocks, in whatever packs: some are in its newest state.
    for line in 0..forge.lines.len() {
        if forge.lines[line].kind == PackKind::Blocks {
            forge.repack(line, |entries| {
                entries.retain(|(name, _)| name.object.store != store);
            });
        }
    }
    let report = forge.check();
    let details: Vec<&str> = report.problems.iter().map(|problem| &*problem.detail).collect();
    assert!(details.iter().any(|detail| detail.contains("needed by /")), "{details:#?}");
}

#[test]
fn links_lead_to_earlier_members_of_equal_kind_and_id() {
    let forge = Forge::new();
    let at = forge.find(is_block);
    let object = forge.lines[at.0].contents.members[at.1].name.object;
    let link = |id| {
        let name = MemberName::good(Object { store: other_store(), id, ..object });
        (name, Entry::Link(object.store))
    };
    let with = |position: fn(usize) -> usize, link: (MemberName, Entry)| {
        let mut forge = Forge::new();
        forge.repack(at.0, |entries| {
            entries.insert(position(entries.len()), link);
        });
        let key = forge.pack_key(at.0);
        (forge.check(), key)
    };
    let (report, _) = with(|end| end, link(object.id));
    assert!(report.is_good(), "{:#?}", report.problems);
    let (report, key) = with(|_| 0, link(object.id));
    assert_tells(&report, &key, ProblemKind::Undecodable, &["links lead to nothing"]);
    let (report, key) = with(|end| end, link(ObjectId::new([1; 20])));
    assert_tells(&report, &key, ProblemKind::Undecodable, &["links lead to nothing"]);

    // In an earlier pack, and in a later one.
    for is_later in [false, true] {
        let mut forge = Forge::new();
        let line = forge.lines.len() - 1;
        let mut more = forge.lines[at.0].clone();
        let bytes = forge.pack_bytes(at.0);
        more.kind = PackKind::Blocks;
        forge.lines.push(more);
        let contents = forge.lines[at.0].contents.clone();
        forge.put_pack(line + 1, &bytes, contents);
        forge.repack(line + 1, |entries| *entries = vec![link(object.id)]);
        let key = forge.pack_key(line + 1);
        if is_later {
            let moved = forge.lines.pop().unwrap();
            forge.lines.insert(0, moved);
        }
        let report = forge.check();
        let told = tells(&report, &key, ProblemKind::Undecodable, &["links lead to nothing"]);
        assert_eq!((told, report.is_good()), (is_later, !is_later), "{:#?}", report.problems);
    }
}

#[test]
fn a_manifest_that_says_something_else_than_the_dump_is_found() {
    let lie = |words: &[&str], change: fn(&mut Forge)| {
        let mut forge = Forge::new();
        change(&mut forge);
        let report = forge.check();
        let manifest = forge.manifest_key();
        assert_tells(&report, &manifest, ProblemKind::Contradiction, words);
        report
    };
    lie(&["leaves out library", DOCUMENTS], |forge| {
        let id: LibraryId = DOCUMENTS.parse().unwrap();
        forge.manifest.libraries.retain(|library| library.id != id);
    });
    lie(&["which the dumped database does not have"], |forge| {
        let mut more = forge.manifest.libraries[0].clone();
        more.id = LibraryId::new([3; 16]);
        more.heads.clear();
        forge.manifest.libraries.push(more);
    });
    lie(&["the heads of library"], |forge| {
        let library = &mut forge.manifest.libraries[0];
        library.heads.clear();
    });
    lie(&["whether it is in the trash"], |forge| {
        let live = |library: &&mut seawall::repository::manifest::Library| {
            library.state == LibraryUse::Live
        };
        let library = forge.manifest.libraries.iter_mut().find(live).unwrap();
        library.state = LibraryUse::Trash;
    });
    lie(&["the origin of library"], |forge| {
        let libraries = &mut forge.manifest.libraries;
        libraries.iter_mut().find(|library| library.origin.is_some()).unwrap().origin = None;
    });
    lie(&["valid-since of library"], |forge| {
        let libraries = &mut forge.manifest.libraries;
        let library = libraries.iter_mut().find(|library| library.valid_since.is_some());
        library.unwrap().valid_since = None;
    });
    lie(&["no dump of seafile's database"], |forge| {
        forge.manifest.databases.retain(|database| database.role != "seafile");
    });
}

#[test]
fn dumps_that_are_not_what_the_manifest_says_are_found() {
    let sql = |statement: &'static str| {
        move |plain: &mut Vec<u8>| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.db");
            std::fs::write(&path, &plain).unwrap();
            let database = rusqlite::Connection::open(&path).unwrap();
            database.execute_batch(statement).unwrap();
            drop(database);
            *plain = std::fs::read(&path).unwrap();
        }
    };
    // Other pointers in the dump than the manifest has.
    let mut forge = Forge::new();
    forge.redump("seafile", 32 << 20, sql("DELETE FROM Branch WHERE rowid = 1"));
    let manifest = forge.manifest_key();
    let report = forge.check();
    assert_tells(&report, &manifest, ProblemKind::Contradiction, &["the heads of library"]);

    let undecodable = |words: &[&str], change: &dyn Fn(&mut Forge) -> usize| {
        let mut forge = Forge::new();
        let at = change(&mut forge);
        let key = forge.manifest.databases[at].parts[0].key.to_string();
        let report = forge.check();
        assert_tells(&report, &key, ProblemKind::Undecodable, words);
    };
    // Cut between two parts, longer, other bytes.
    undecodable(&["the dump of seafile", "should have"], &|forge| {
        let at = forge.redump("seafile", 2000, |_| {});
        assert!(forge.manifest.databases[at].parts.len() > 1);
        forge.manifest.databases[at].parts.pop();
        at
    });
    undecodable(&["longer than"], &|forge| {
        let at = forge.redump("seafile", 32 << 20, |plain| plain.push(0));
        forge.manifest.databases[at].size -= 1;
        at
    });
    undecodable(&["another SHA-256"], &|forge| {
        let at = forge.redump("usermgr", 32 << 20, |_| {});
        forge.manifest.databases[at].sha256 = seawall::object::Sha256::of(b"");
        at
    });
    // Not sound, though its bytes are as signed.
    undecodable(&["no sound database"], &|forge| {
        forge.redump("seahub", 32 << 20, |plain| {
            let page = 4096;
            plain[3 * page..4 * page].fill(0xff);
        })
    });
    undecodable(&["no sound database"], &|forge| {
        forge.redump("seafile", 32 << 20, |plain| {
            *plain = b"no database".to_vec();
        })
    });
    undecodable(&["rollback"], &|forge| {
        forge.redump("seafile", 32 << 20, sql("PRAGMA journal_mode = WAL"))
    });
    // No zstd at all.
    undecodable(&["the dump of seafile"], &|forge| {
        let at = forge.redump("seafile", 32 << 20, |_| {});
        let part = &mut forge.manifest.databases[at].parts[0];
        forge.copy.write(part.key.as_str(), b"no frame");
        (part.size, part.sha256) = (8, seawall::object::Sha256::of(b"no frame"));
        at
    });
}

#[test]
fn tars_that_are_not_what_the_manifest_says_are_found() {
    let undecodable = |words: &[&str], change: &dyn Fn(&mut Forge) -> usize| {
        let mut forge = Forge::new();
        let at = change(&mut forge);
        let key = forge.manifest.files[at].parts[0].key.to_string();
        let report = forge.check();
        assert_eq!(problems(&report), [(key.clone(), ProblemKind::Undecodable)]);
        assert_tells(&report, &key, ProblemKind::Undecodable, words);
    };
    undecodable(&["../evil", "not a path that leads downward"], &|forge| {
        forge.refile("conf", |tar| rename_first(tar, b"../evil"))
    });
    undecodable(&["/etc/evil", "not a path that leads downward"], &|forge| {
        forge.refile("conf", |tar| rename_first(tar, b"/etc/evil"))
    });
    undecodable(&["cannot read the tar"], &|forge| {
        forge.refile("conf", |tar| tar.truncate(tar.len() - 1024))
    });
    undecodable(&["members and should have"], &|forge| {
        let at = forge.refile("conf", |_| {});
        forge.manifest.files[at].members += 1;
        at
    });
    undecodable(&["should have"], &|forge| {
        let at = forge.refile("conf", |_| {});
        forge.manifest.files[at].size += 1;
        at
    });
    undecodable(&["another SHA-256"], &|forge| {
        let at = forge.refile("conf", |_| {});
        forge.manifest.files[at].sha256 = seawall::object::Sha256::of(b"");
        at
    });
}

/// Gives the first member of a tar another name.
fn rename_first(tar: &mut [u8], name: &[u8]) {
    tar[..100].fill(0);
    tar[..name.len()].copy_from_slice(name);
    tar[148..156].fill(b' ');
    let sum: u32 = tar[..512].iter().map(|&byte| u32::from(byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Reading is done once for all levels, and what cannot be decoded for want of a part is still read.
#[test]
fn a_deep_check_finds_what_the_levels_below_find() {
    for folder in ["data/blocks", "data/trees", "databases", "data/files"] {
        let copy = Copy::new();
        let key = copy.keys(folder, |_| true)[0].clone();
        let mut bytes = copy.read(&key);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        copy.write(&key, &bytes);
        let report = copy.check(CheckLevel::Deep);
        let told: Vec<_> = problems(&report)
            .into_iter()
            .filter(|(_, kind)| *kind != ProblemKind::Unresolved)
            .collect();
        assert_eq!(told, [(key.clone(), ProblemKind::Altered)], "{:#?}", report.problems);
        let data = report.data.unwrap();
        assert!(data.read.bytes + bytes.len() as u64 >= data.of.bytes, "{data:?}");
        run("rm", &[copy.path.join(&key).to_str().unwrap()]);
        let report = copy.check(CheckLevel::Deep);
        assert_tells(&report, &key, ProblemKind::Missing, &[]);
    }
}
