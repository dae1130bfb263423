//! Hostile bytes for every parser of bytes from outside (docs/design.md, "Hostile bytes").
//!
//! One function a parser. Each takes any bytes, and panics if the parser panics or if what it read is not
//! what it must be: what is accepted is written again and read again, and is the same; what is
//! decompressed is bounded; what is unpacked stays inside. The targets in `fuzz_targets/` hand them to
//! libFuzzer, the tests here the corpus and mutations of it.
#![expect(clippy::missing_panics_doc, reason = "to panic is what these functions are for")]

mod crypt;
mod destination;
mod repository;
mod seafile;
mod stored;
#[cfg(test)]
mod tests;

pub use crypt::{identity, recipients, sealed};
pub use destination::{key, known_hosts, ssh_config, url};
pub use repository::{
    configuration, host_key, manifest, marker, note, public_key, record, segment, snapshot_name,
    sums, time, verifying_key,
};
pub use seafile::{
    binary_fs, commit, compose, database, database_log, dotenv, dump_text, folder_names, fs,
    inflated, ini, json_fs, link, object_path, python, settings, statements, storage_classes,
};
pub use stored::{contents, frame, frames, members, pack, parts, unpack};

/// A parser, and whether one call makes files, so that fewer calls are made in tests.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The function's name; also that of its file in `fuzz_targets/` and its folder in `corpus/`.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
    /// Whether it works on files.
    pub makes_files: bool,
}

macro_rules! targets {
    ($($name:ident $makes_files:literal),* $(,)?) => {
        /// Every target.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            run: $name,
            makes_files: $makes_files,
        }),*];
    };
}

targets! {
    key false, url false, ssh_config false, known_hosts false,
    configuration false, host_key false, public_key false, verifying_key false, note false,
    marker false, snapshot_name false, time false, manifest false, sums false, segment false,
    record false, identity false, recipients false, sealed false,
    frame false, frames false, contents false, pack false, members false, parts false, unpack true,
    commit false, fs false, json_fs false, binary_fs false, inflated false, object_path false,
    folder_names true, ini false, dotenv false, compose false, link false, python false, settings true, storage_classes true,
    database true, database_log true, dump_text false, statements false,
}

/// Bytes as text, where they are.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// Cuts bytes at a separator that no text has.
fn pieces<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut pieces = data.splitn(N, |&byte| byte == 0xff);
    std::array::from_fn(|_| pieces.next().unwrap_or_default())
}

/// A folder in memory where there is one: these targets make many files.
fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary folder can be made")
}

/// Puts a file where nothing is.
fn put(path: &std::path::Path, bytes: &[u8]) {
    use std::io::Write as _;
    let folder = path.parent().expect("below a folder");
    std::fs::create_dir_all(folder).expect("a folder can be made");
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(bytes)).expect("a file can be written");
}
