//! The corpus, and mutations of it, on stable and without libFuzzer. `SEAWALL_LONG` makes it long.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use seawall::unpack::UnpackOptions;

use super::{TARGETS, Target};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What a target's folder holds, sorted by name.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = here("corpus").join(target.name);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let read = paths.iter().map(|path| (name(path), fs::read(path).unwrap()));
    read.collect()
}

/// Random enough, and the same each time.
struct Dice(u64);

impl Dice {
    fn new(seed: &str) -> Self {
        let seed = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(seed | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 16) % end.max(1) as u64).unwrap()
    }
}

/// Numbers that lengths are often wrong about.
const NUMBERS: [u64; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];
/// The same in text, and what else a parser may stumble over.
const WORDS: [&[u8]; 14] = [
    b"-1",
    b"18446744073709551616",
    b"99999999999999999999",
    b"1e309",
    b"null",
    b"../",
    b"/",
    b"\0",
    b"\x1b[2J",
    b"\n\n",
    b"\"",
    b"[[[[[[[[",
    b"  ",
    b"\xff",
];

fn mutate(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    match dice.below(7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        1 => bytes.truncate(at),
        2 => {
            let end = at + dice.below(bytes.len() - at + 1).min(64);
            bytes.drain(at..end);
        }
        3 => {
            let start = dice.below(other.len() + 1);
            let end = start + dice.below(other.len() - start + 1);
            bytes.splice(at.., other[start..end].iter().copied());
        }
        4 => {
            let number = NUMBERS[dice.below(NUMBERS.len())];
            let number = [number.to_le_bytes(), number.to_be_bytes()][dice.below(2)];
            let len = [1, 2, 4, 8][dice.below(4)].min(bytes.len() - at);
            bytes[at..at + len].copy_from_slice(&number[..len]);
        }
        5 => {
            let word = WORDS[dice.below(WORDS.len())];
            bytes.splice(at..at, word.iter().copied());
        }
        _ => {
            let end = at + dice.below(bytes.len() - at + 1).min(256);
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
    }
}

fn feed(target: &Target) {
    let corpus = corpus(target);
    assert!(corpus.len() >= 2, "{} has hardly a corpus", target.name);
    let long = std::env::var_os("SEAWALL_LONG").is_some();
    let rounds = if target.makes_files { 20 } else { 200 } * if long { 100 } else { 1 };
    for (name, bytes) in &corpus {
        (target.run)(bytes);
        let mut dice = Dice::new(name);
        for _ in 0..rounds {
            let (_, other) = &corpus[dice.below(corpus.len())];
            let mut mutant = bytes.clone();
            for _ in 0..=dice.below(4) {
                mutate(&mut mutant, other, &mut dice);
            }
            (target.run)(&mutant);
        }
    }
}

/// Half of the targets, so that two cores are used.
fn feed_every_second(first: usize) {
    for target in TARGETS.iter().skip(first).step_by(2) {
        eprintln!("{}", target.name);
        feed(target);
    }
}

#[test]
fn corpora_and_mutations_of_them_break_no_parser_of_the_even_half() {
    feed_every_second(0);
}

#[test]
fn corpora_and_mutations_of_them_break_no_parser_of_the_odd_half() {
    feed_every_second(1);
}

#[test]
fn every_target_is_a_file_a_binary_and_a_folder_of_the_corpus() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.into()).collect();
    assert_eq!(names.len(), TARGETS.len());
    let listed = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(here(folder)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(listed("fuzz_targets"), names);
    assert_eq!(listed("corpus"), names);
    let cargo = fs::read_to_string(here("Cargo.toml")).unwrap();
    for name in &names {
        let target = fs::read_to_string(here(&format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("seawall_fuzz::{name}(data)")));
        assert!(cargo.contains(&format!("path = \"fuzz_targets/{name}.rs\"")));
    }
}

#[test]
fn every_good_input_is_accepted() {
    use seawall::repository::{manifest::Manifest, marker::Marker, pack, segment, sums::Sums};
    let good = |target: &str| fs::read(here(&format!("corpus/{target}/good"))).unwrap();
    let text = |target: &str| String::from_utf8(good(target)).unwrap();
    Marker::parse(&text("marker")).unwrap();
    Sums::parse(&good("sums")).unwrap();
    let stored = seawall::repository::frames::compress_frame(&good("manifest"), 1).unwrap();
    Manifest::parse(&stored).unwrap();
    let stored = seawall::repository::frames::compress_frame(&good("segment"), 1).unwrap();
    assert!(!segment::parse(&stored).unwrap().1.is_empty());
    let (contents, _) = pack::read_contents(&good("pack")).unwrap();
    assert!(!contents.members.is_empty());
    seawall::seafile::commit::Commit::parse(&good("commit")).unwrap();
    seawall::seafile::fs::parse(&good("fs")).unwrap();
    let folder = super::folder();
    let database = folder.path().join("seafile.db");
    super::put(&database, &good("database"));
    seawall::database::pointers::read_pointers(&database).unwrap();
    let tar = good("unpack");
    let target = folder.path().join("target");
    let unpacked =
        seawall::unpack::unpack(tar.as_slice(), &target, &UnpackOptions::default()).unwrap();
    assert!(unpacked.files > 0 && unpacked.links > 0);
}
