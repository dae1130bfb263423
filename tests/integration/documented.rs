//! What the pages in docs/ say, held against the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Source, World, files_below};

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// Every Rust file below a folder of the project, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = files_below(&top.join(folder)).into_iter();
    let rust = files.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    rust.map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(top).unwrap().to_owned(), text)
    })
    .collect()
}

/// The part of a file that is compiled into seawall.
fn without_tests(path: &Path, text: &str) -> String {
    if path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests")) {
        return String::new();
    }
    text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned()
}

#[test]
fn every_heading_that_the_code_cites_exists() {
    let mut cited = BTreeSet::new();
    for (_, text) in sources("src").into_iter().chain(sources("backends/src")) {
        // Comments break lines anywhere.
        let flat = text.replace("\n//! ", " ").replace("\n/// ", " ").replace("\n    /// ", " ");
        for name in ["design.md", "format.md"] {
            for rest in flat.split(&format!("docs/{name}, \"")).skip(1) {
                cited.insert((name, rest.split('"').next().unwrap().to_owned()));
            }
        }
    }
    assert!(cited.len() >= 9, "{cited:?}");
    for (name, heading) in cited {
        let exists = page(name)
            .lines()
            .any(|line| line.trim_start_matches('#').trim() == heading && line.starts_with('#'));
        assert!(exists, "docs/{name} has no heading {heading:?}");
    }
}

#[test]
fn dependencies_point_one_way() {
    let verbs = ["backup", "restore", "check", "verify", "damage", "status", "doctor", "cli"];
    let forbidden = |module: &str| -> Vec<&str> {
        let mut forbidden = match module {
            "seafile" | "database" => {
                vec!["repository", "crypt", "walk", "source", "unpack", "proof", "host"]
            }
            "repository" => {
                vec!["seafile", "database", "walk", "source", "unpack", "proof", "host"]
            }
            "host" => vec!["seafile", "database", "walk", "source", "unpack", "proof"],
            "causes" | "crypt" | "object" | "place" | "time" | "units" => {
                vec!["repository", "seafile", "database", "walk", "source", "unpack", "host"]
            }
            "walk" | "source" | "unpack" => vec!["repository", "host"],
            "backup" | "restore" | "check" | "verify" | "damage" | "status" | "doctor" => {
                return verbs.into_iter().filter(|verb| *verb != module).collect();
            }
            // Keys, seals and signatures are the host's business.
            "cli" => return vec!["crypt"],
            _ => return Vec::new(),
        };
        forbidden.extend(verbs);
        forbidden
    };
    for (path, text) in sources("src") {
        let module = path.components().nth(1).unwrap().as_os_str().to_string_lossy().into_owned();
        let module = module.trim_end_matches(".rs");
        let text = without_tests(&path, &text);
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for other in forbidden(module) {
                let used = line.contains(&format!("crate::{other}::"))
                    || line.contains(&format!("use crate::{other};"));
                let grouped = line.starts_with("use crate::{")
                    && line.split(&['{', ',', ' ', '}', ':'][..]).any(|word| word == other);
                assert!(!used && !grouped, "{} uses {other}: {line}", path.display());
            }
        }
    }
    for (path, text) in sources("backends/src") {
        assert!(
            !text.contains("seawall::") || text.contains("seawall_backends::"),
            "{}",
            path.display()
        );
    }
}

/// The trust model is decided in one place: what a repository is opened with. Other crates cannot call these
/// functions at all.
#[test]
fn only_the_host_opens_a_repository() {
    let doors = [
        "Repository::open",
        "Repository::make(",
        "Repository::put_again(",
        ".guarded(",
        ".with_pinned(",
        ".with_seal(",
        ".with_identities(",
        ".with_wrapped(",
        ".sealing_to(",
    ];
    let mut used = BTreeSet::new();
    for (path, text) in sources("src") {
        let text = without_tests(&path, &text);
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for door in doors.iter().filter(|door| line.contains(**door)) {
                assert!(path.starts_with("src/host"), "{}: {line}", path.display());
                used.insert(door);
            }
        }
    }
    assert_eq!(used.len(), doors.len(), "{used:?}");
}

#[test]
fn only_the_command_line_prints_reads_the_environment_or_exits() {
    let words = [
        "println!",
        "eprintln!",
        "print!(",
        "process::exit",
        "env::var",
        "env::vars",
        "env::args",
        "io::stdout",
        "io::stderr",
    ];
    for (path, text) in sources("src").into_iter().chain(sources("backends/src")) {
        // The suite is test code that is compiled as a library.
        if path.starts_with("src/cli") || path.ends_with("conformance.rs") {
            continue;
        }
        for line in
            without_tests(&path, &text).lines().filter(|line| !line.trim_start().starts_with("//"))
        {
            assert!(!words.iter().any(|word| line.contains(word)), "{}: {line}", path.display());
        }
    }
}

#[test]
fn every_name_in_a_repository_is_documented() {
    let (source, world) = (Source::example(), World::local());
    let snapshot = world.backup(&source).marker.snapshot.to_string();
    let format = page("format.md");
    let is_hash =
        |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pattern = |key: &str| -> String {
        let segments = key.split('/').map(|segment| {
            let (name, ending) = segment.split_once('.').unwrap_or((segment, ""));
            match name {
                _ if segment == snapshot => "<snapshot>".to_owned(),
                _ if is_hash(name) => format!("<64 hex>.{ending}"),
                _ if name == snapshot => format!("<snapshot>.{ending}"),
                _ if segment.len() == 2 => "<2 hex>".to_owned(),
                _ if key.starts_with("databases/") && ending.starts_with("db") => {
                    "<role>.db.zst.<00000>".to_owned()
                }
                _ if segment.ends_with(".tar.zst.00000") => "<group>.tar.zst.<00000>".to_owned(),
                _ if ending == "pub" => "<key id>.pub".to_owned(),
                _ => segment.to_owned(),
            }
        });
        segments.collect::<Vec<_>>().join("/").replace("data/runs/<snapshot>", "data/runs/<id>")
    };
    let patterns: BTreeSet<String> = world.keys().iter().map(|key| pattern(key)).collect();
    assert!(patterns.len() >= 11, "{patterns:?}");
    for pattern in patterns {
        assert!(format.contains(&format!("| `{pattern}` |")), "{pattern} is not in docs/format.md");
    }
}

#[test]
fn every_field_of_a_manifest_and_line_of_a_marker_is_documented() {
    let (source, world) = (Source::example(), World::local());
    let report = world.backup(&source);
    let format = page("format.md");
    let section = |name: &str| {
        format
            .split(&format!("\n## {name}\n"))
            .nth(1)
            .unwrap()
            .split("\n## ")
            .next()
            .unwrap()
            .to_owned()
    };
    let serde_json::Value::Object(manifest) = serde_json::to_value(&report.manifest).unwrap()
    else {
        panic!()
    };
    let text = section("Manifest");
    for (name, value) in &manifest {
        assert!(text.contains(&format!("`{name}`")), "{name}");
        let fields = match value {
            serde_json::Value::Object(fields) => Some(fields),
            serde_json::Value::Array(items) => items.first().and_then(|item| item.as_object()),
            _ => None,
        };
        for field in fields.into_iter().flat_map(|fields| fields.keys()) {
            assert!(text.contains(&format!("`{field}`")), "{name}.{field}");
        }
    }
    let text = section("Marker");
    for line in report.marker.to_text().lines() {
        let name = line.split(' ').next().unwrap();
        assert!(text.lines().any(|documented| documented.starts_with(name)), "{name}");
    }
}

#[test]
fn what_is_left_out_by_default_is_documented() {
    let format = page("format.md");
    for pattern in seawall::seafile::files::DEFAULT_EXCLUDES {
        assert!(format.contains(&format!("`{pattern}`")), "{pattern}");
    }
}

#[test]
fn the_readme_is_short_and_its_commands_exist() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    assert!(readme.lines().count() <= 200);
    let help = crate::support::run(env!("CARGO_BIN_EXE_seawall"), &["--help"]);
    for verb in [
        "init",
        "backup",
        "snapshots",
        "libraries",
        "restore",
        "check",
        "verify",
        "damage",
        "status",
        "doctor",
    ] {
        assert!(readme.contains(&format!("| `{verb}")), "{verb} is not in README.md");
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(verb)),
            "{verb} is not in --help"
        );
    }
    for flag in readme.split('`').filter(|part| part.starts_with("--") && !part.contains('\n')) {
        let flag = flag.split([' ', ':', '=']).next().unwrap();
        let verbs =
            ["backup", "restore", "check", "snapshots", "verify", "status", "damage accept"];
        let known = verbs.iter().any(|verb| {
            let words: Vec<&str> = verb.split(' ').chain(["--help"]).collect();
            crate::support::run(env!("CARGO_BIN_EXE_seawall"), &words).contains(flag)
        });
        assert!(known, "{flag} is in README.md and in no --help");
    }
}

/// A process that hangs would hang its test: libtest has no limit. So tests run and end processes by
/// `seawall_test_servers::wait`, which kills them after a while and says what it waited for.
#[test]
fn no_test_waits_for_a_process_without_a_limit() {
    let endless = [".output()", ".wait_with_output()", ".status()", ".wait()"];
    // Of HTTP, a barrier of threads, and where the process has just been killed.
    let others = ["answer.status()", "send(", "barrier.wait()", ".wait().await", "let _ = self."];
    let folders = ["src", "backends/src", "fuzz", "tests"];
    let mut looked_at = 0;
    for (path, text) in folders.into_iter().flat_map(sources) {
        looked_at += 1;
        if ["wait.rs", "documented.rs"].iter().any(|own| path.ends_with(own)) {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            let waits = endless.iter().any(|call| line.contains(call));
            let is_other = others.iter().any(|other| line.contains(other));
            assert!(
                !waits || is_other,
                "{}:{number}: {}: use seawall_test_servers::wait",
                path.display(),
                line.trim()
            );
        }
    }
    assert!(looked_at > 100, "{looked_at}");
}

/// One word is one thing: a type's name greps as one. What every verb and layer has may share its name.
#[test]
fn few_types_share_their_name_with_another() {
    const SHARED: [&str; 5] = ["Arguments", "Error", "Options", "Report", "Result"];
    const MOST_PERCENT: usize = 5;
    let mut files: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (path, text) in sources("src").into_iter().chain(sources("backends/src")) {
        for line in without_tests(&path, &text).lines() {
            let item = line.trim_start();
            let item = match item.strip_prefix("pub") {
                Some(rest) => rest.split_once(' ').map_or("", |(_, rest)| rest),
                None => item,
            };
            let Some((keyword, rest)) = item.split_once(' ') else { continue };
            // A `type` that is indented belongs to a trait.
            let is_type = match keyword {
                "struct" | "enum" | "trait" | "union" => true,
                "type" => !line.starts_with(' '),
                _ => false,
            };
            let is_name = |char: &char| char.is_alphanumeric() || *char == '_';
            let name: String = rest.chars().take_while(is_name).collect();
            if is_type && !SHARED.contains(&name.as_str()) {
                files.entry(name).or_default().push(path.clone());
            }
        }
    }
    let all: usize = files.values().map(Vec::len).sum();
    files.retain(|_, paths| paths.len() > 1);
    let shared: usize = files.values().map(Vec::len).sum();
    assert!(all > 700, "{all}");
    assert!(shared * 100 <= all * MOST_PERCENT, "{shared} of {all}: {files:#?}");
}
