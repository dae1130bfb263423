//! What a repository says of itself in text and JSON.

use seawall::repository::configuration::Configuration;
use seawall::repository::frames;
use seawall::repository::host_key::{self, HostKey};
use seawall::repository::manifest::Manifest;
use seawall::repository::marker::Marker;
use seawall::repository::names::{self, SnapshotId};
use seawall::repository::note::{self, VerifyingKey};
use seawall::repository::segment::{self, SegmentWriter};
use seawall::repository::sums::Sums;
use seawall::repository::{Error, runs};
use seawall::time::Timestamp;
use seawall_backends::{Backend as _, Key, MemoryBackend};

use crate::text;

/// `seawall.json`.
pub fn configuration(data: &[u8]) {
    if let Ok(read) = Configuration::parse(data) {
        let again = Configuration::parse(&read.to_bytes());
        assert_eq!(again.ok(), Some(read));
    }
}

/// The file with a host's secret key.
pub fn host_key(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(key) = HostKey::parse(text) {
        let written = key.to_text();
        let again = HostKey::parse(&written).expect("what was written is read");
        assert_eq!(again.to_text(), written);
    }
}

/// `keys/<key id>.pub`.
pub fn public_key(data: &[u8]) {
    if let Ok(key) = host_key::parse_public(data) {
        assert_eq!(key.to_string().parse().ok(), Some(key));
    }
}

/// A verification key, as `--trust` and the recovery sheet have it.
pub fn verifying_key(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(key) = text.parse::<VerifyingKey>() {
        assert_eq!(key.to_string(), text);
        assert!(!key.name().contains(char::is_control));
    }
}

/// Signed notes: none is believed that no known key signed.
pub fn note(data: &[u8]) {
    if let Ok(seen) = note::peek(data) {
        assert!(data.starts_with(seen.text.as_bytes()));
        assert!((1..=note::MAX_SIGNATURES).contains(&seen.signatures.len()));
    }
    let stranger = "seawall-vm+c67a7f02+AY5MQ4xxfTLiOz931Ng8DyPy8NjZctCZ1XItylzwLsyQ";
    let known = stranger.parse::<VerifyingKey>().expect("a key");
    assert!(note::open(data, &[]).is_err());
    if let Ok(opened) = note::open(data, std::slice::from_ref(&known)) {
        assert_eq!(opened.key, known);
        assert!(data.starts_with(opened.text.as_bytes()));
    }
}

/// The text of a marker.
pub fn marker(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(mut marker) = Marker::parse(text) {
        marker.unknown.clear();
        assert_eq!(Marker::parse(&marker.to_text()), Ok(marker));
    }
}

/// Names of snapshots.
pub fn snapshot_name(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(snapshot) = text.parse::<SnapshotId>() {
        assert_eq!(snapshot.to_string(), text);
        assert!(names::marker(snapshot).as_str().ends_with(text));
    }
}

/// Both forms of a time.
pub fn time(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(time) = text.parse::<Timestamp>() {
        assert_eq!(time.to_string(), text);
    }
    if let Some(time) = Timestamp::from_file_name(text) {
        assert_eq!(time.file_name(), text);
    }
}

/// Manifests, as stored bytes and as the JSON in them.
pub fn manifest(data: &[u8]) {
    for stored in [data.to_vec(), compressed(data)] {
        if let Ok(manifest) = Manifest::parse(&stored) {
            let written = manifest.to_bytes().expect("what was read can be written");
            assert_eq!(Manifest::parse(&written).ok(), Some(manifest));
        }
    }
}

/// Sums and lists: nothing but what is written is read. Names in them are read back, too.
pub fn sums(data: &[u8]) {
    if let Ok(sums) = Sums::parse(data) {
        assert_eq!(sums.to_bytes(), data);
        for (_, key) in sums.entries() {
            for seal in [seawall::crypt::Seal::None, seawall::crypt::Seal::Age] {
                if let Some((kind, name)) = names::parse_pack(key, seal) {
                    assert_eq!(names::pack(kind, &name, seal), *key);
                }
                if let Some(name) = names::parse_segment(key, seal) {
                    assert_eq!(names::segment(&name, seal), *key);
                }
            }
        }
    }
}

/// Segments, as stored bytes and as the lines in them.
pub fn segment(data: &[u8]) {
    for stored in [data.to_vec(), compressed(data)] {
        if let Ok((header, lines)) = segment::parse(&stored) {
            let mut writer = SegmentWriter::new(&header).expect("a header");
            for line in &lines {
                writer.add(line).expect("what was read can be written");
            }
            let written = writer.finish().expect("a segment");
            assert_eq!(segment::parse(&written).ok(), Some((header, lines)));
        }
    }
}

/// A record below `data/runs/`: what it cannot read stops a run, and is named.
pub fn record(data: &[u8]) {
    let backend = MemoryBackend::new();
    let key = Key::parse("data/runs/prune-1").expect("a key");
    backend.put_new(&key, data).expect("a new key");
    match runs::absent_keys(&backend) {
        Ok(absent) => {
            let again = runs::record_text(runs::DAMAGE, absent.iter());
            let backend = MemoryBackend::new();
            backend.put_new(&key, again.as_bytes()).expect("a new key");
            assert_eq!(runs::absent_keys(&backend).ok(), Some(absent));
        }
        Err(Error::Malformed { what, .. }) => assert_eq!(what, key.as_str()),
        Err(error) => panic!("{error}"),
    }
}

fn compressed(data: &[u8]) -> Vec<u8> {
    frames::compress_frame(data, 1).expect("bytes can be compressed")
}
