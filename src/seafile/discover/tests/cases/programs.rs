//! The program in use: its edition, and what lies in the place of `seafile-server-latest`.

use super::*;

#[test]
fn c11_the_community_edition_ignores_object_storage() {
    let name = "11-community-with-s3-sections";
    let community = Case::new(name, "conf/..", "seafile-data", &["seafile-server-11.0.13"]);
    let installation = community.find().unwrap();
    let roots = &installation.object_storage.roots;
    assert_eq!(roots.blocks, community.root().join("seafile-data/storage/blocks"));
    let text = texts(&installation);
    let section = "conf/seafile.conf:15: [block_backend] = s3, but the community edition (seafile-server-latest)";
    assert!(text.contains(section), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");

    let pro = Case::new(name, "conf/..", "seafile-data", &[]);
    fs::remove_file(pro.source.join("seafile-server-latest")).unwrap();
    symlink("seafile-pro-server-11.0.13", pro.source.join("seafile-server-latest")).unwrap();
    assert!(complaint(pro.find()).contains("cannot be backed up: \"s3\""));
    let on_disk = SourceOptions { objects_on_disk: true, ..SourceOptions::default() };
    let text = complaint(pro.find_with(on_disk.clone(), DatabaseOverrides::default()));
    assert!(text.contains("cannot be backed up: \"s3\""), "{text}");

    let unknown = Case::new(name, "conf/..", "seafile-data", &[]);
    fs::remove_file(unknown.source.join("seafile-server-latest")).unwrap();
    assert!(complaint(unknown.find()).contains("cannot be backed up: \"s3\""));
    unknown.make("seafile-data/storage/blocks/5dbd46b1-6c5e-4d85-b7b9-4b8e1b2f4a3c");
    let text = complaint(unknown.find());
    assert!(text.contains("[block_backend] = s3") || text.contains("= s3"), "{text}");
    assert!(text.contains("holds blocks") && text.contains("--objects-on-disk"), "{text}");
    let installation = unknown.find_with(on_disk, DatabaseOverrides::default()).unwrap();
    assert!(texts(&installation).contains("--objects-on-disk was given"));
}

#[test]
fn c11_other_words_for_object_storage_are_dead_too() {
    for (version, conf, env) in [
        ("11.0.13", "[block_backend]\nname = filesystem\ndir = /mnt/nowhere\n", ""),
        ("13.0.19", "", "SEAF_SERVER_STORAGE_TYPE=s3\n"),
        ("13.0.19", "", "SEAF_SERVER_STORAGE_TYPE=multiple\n"),
        ("11.0.13", "[storage]\nenable_storage_classes = true\n", ""),
        ("11.0.13", "[store_crypt]\nkey_path = /etc/key\n", ""),
    ] {
        let conf = format!("[database]\ntype = mysql\nhost = db\n{conf}");
        let fake =
            Fake::with_program(&format!("seafile-server-{version}"), &conf).file("conf/.env", env);
        let installation = fake.discover().unwrap();
        let roots = &installation.object_storage.roots;
        assert_eq!(roots.blocks, fake.top().join("seafile-data/storage/blocks"));
        assert!(texts(&installation).contains("does not read it"), "{conf}{env}");
    }
    // With docker, the image tells the edition.
    for (image, is_taken) in [
        ("seafileltd/seafile-mc:13.0-latest", true),
        ("docker.example/seafile-pro-mc:13.0.9", false),
    ] {
        let fake =
            Fake::new().folder("seafile-data/storage/blocks").file("conf/seafile.conf", "").file(
                "conf/.env",
                &format!(
                    "SEAFILE_IMAGE={image}\nSEAF_SERVER_STORAGE_TYPE=s3\nSEAFILE_MYSQL_DB_HOST=db\n"
                ),
            );
        let found = fake.discover();
        assert_eq!(found.is_ok(), is_taken, "{image}");
        if let Ok(found) = found {
            assert_eq!(found.program_version.as_deref(), Some("13.0"));
        }
    }
}

#[test]
fn c19_and_c20_the_program_in_use_is_known_whatever_stands_at_the_link() {
    let program = "seafile-server-11.0.13";
    let others = ["seafile-server-11.0.13", "seafile-server-12.0.1", "seafile-server-9.0.2"];
    for name in ["19-moved-absolute-latest", "20-latest-is-a-file"] {
        let case = Case::new(name, "conf/..", "seafile-data", &others);
        let installation = case.find().unwrap();
        assert_eq!(installation.program_folder.as_deref(), Some(Path::new(program)), "{name}");
        assert_eq!(installation.program_version.as_deref(), Some("11.0.13"));
        assert_eq!(installation.warnings.len(), 1, "{name}: {}", texts(&installation));
        assert_eq!(
            servers(&installation)[0],
            "seafile-db 127.0.0.1:3306 seafile fakepw19".replace("19", &name[..2])
        );
    }
}

/// `pro-data` tells the edition only in docker's volume. Beside a program whose name tells no
/// edition it may be a leftover.
#[test]
fn c11_a_leftover_of_the_professional_edition_tells_no_edition() {
    let conf = "[database]\ntype = mysql\nhost = db\n[block_backend]\nname = s3\n";
    let fake = Fake::new()
        .folder("seafile-server-latest")
        .folder("pro-data")
        .folder("seafile-data/storage/blocks/5dbd46b1-6c5e-4d85-b7b9-4b8e1b2f4a3c")
        .file("conf/seafile.conf", conf);
    let text = complaint(fake.discover());
    assert!(text.contains("--objects-on-disk"), "{text}");
}

type Make = fn(&Path);

/// Each case: a function that makes the link or what replaces it, and the folder and version that
/// are found.
#[test]
fn latest_in_every_state() {
    let at = |top: &Path| top.join("seafile-server-latest");
    let states: [(&str, Make, Option<&str>, Option<&str>); 9] = [
        ("nothing", |_| {}, Some("seafile-server-11.0.13"), Some("11.0.13")),
        (
            "an empty file",
            |at| fs::write(at, "").unwrap(),
            Some("seafile-server-11.0.13"),
            Some("11.0.13"),
        ),
        (
            "plain text",
            |at| fs::write(at, "/old/seafile-server-9.0.2\n").unwrap(),
            Some("seafile-server-9.0.2"),
            Some("9.0.2"),
        ),
        (
            "a link to itself",
            |at| symlink("seafile-server-latest", at).unwrap(),
            Some("seafile-server-11.0.13"),
            Some("11.0.13"),
        ),
        (
            "a relative link",
            |at| symlink("./seafile-server-9.0.2/", at).unwrap(),
            Some("seafile-server-9.0.2"),
            Some("9.0.2"),
        ),
        (
            "a link through another",
            |at| {
                symlink("seafile-server-9.0.2", at.with_file_name("current")).unwrap();
                symlink("current", at).unwrap();
            },
            Some("seafile-server-9.0.2"),
            Some("9.0.2"),
        ),
        (
            "a program that is gone",
            |at| symlink("seafile-server-8.0.0", at).unwrap(),
            None,
            Some("8.0.0"),
        ),
        (
            "a copy of the program",
            |at| {
                fs::create_dir_all(at.join("seahub/seahub")).unwrap();
                fs::write(
                    at.join("seahub/seahub/settings.py"),
                    "X = 1\nSEAFILE_VERSION = '9.0.2'\n",
                )
                .unwrap();
            },
            Some("seafile-server-latest"),
            Some("9.0.2"),
        ),
        (
            "a copy that says nothing",
            |at| fs::create_dir(at).unwrap(),
            Some("seafile-server-latest"),
            None,
        ),
    ];
    for (what, make, folder, version) in states {
        let fake = Fake::new()
            .folder("seafile-server-11.0.13")
            .folder("seafile-server-9.0.2")
            .folder("seafile-data/storage")
            .file("conf/seafile.conf", "[database]\ntype = sqlite\n")
            .sqlite("seafile-data/seafile.db", 1);
        make(&at(&fake.top()));
        let installation = fake.discover().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(installation.program_folder.as_deref(), folder.map(Path::new), "{what}");
        assert_eq!(installation.program_version.as_deref(), version, "{what}");
    }
}
