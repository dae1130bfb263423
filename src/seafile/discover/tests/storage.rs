use super::*;

const DATABASE: &str = "[database]\ntype = mysql\nhost = db\n";

fn pro(seafile_conf: &str) -> Fake {
    let fake = Fake::with_program("seafile-pro-server-12.0.14", "").folder("cold").folder("hot");
    let text = format!("{DATABASE}{seafile_conf}");
    fake.file_with_top("conf/seafile.conf", &text)
}

#[test]
fn folders_of_back_ends_are_taken() {
    let fake =
        pro("[block_backend]\nname = fs\ndir = {top}/cold\n[fs_object_backend]\nname = fs\n\
         [fileserver]\nskip_block_hash = true\n");
    let installation = fake.discover().unwrap();
    let roots = &installation.object_storage.roots;
    assert_eq!(roots.blocks, fake.top().join("cold/storage/blocks"));
    assert_eq!(roots.commits, fake.top().join("seafile-data/storage/commits"));
    assert!(installation.skip_block_hash);
    assert_eq!(installation.object_storage.from.to_string(), "conf/seafile.conf:6");

    let text = complaint(pro("[block_backend]\ndir = /mnt/away\n").discover());
    assert!(text.contains("the folder of blocks is missing: /mnt/away"), "{text}");
    assert!(complaint(pro("[block_backend]\ndir = away\n").discover()).contains("missing: away"));
}

#[test]
fn object_storage_is_refused_by_name() {
    for (section, name) in [
        ("commit_object_backend", "s3"),
        ("fs_object_backend", "ceph"),
        ("block_backend", "swift"),
        ("block_backend", "oss"),
    ] {
        let text = complaint(pro(&format!("[{section}]\nname = {name}\n")).discover());
        let expected =
            format!("in [{section}] cannot be backed up: \"{name}\" (conf/seafile.conf:5)");
        assert!(text.contains(&expected), "{text}");
        assert!(text.contains("object storage's own"), "{text}");
    }
}

#[test]
fn encrypted_storage_is_refused() {
    let text = complaint(pro("[store_crypt]\nkey_path = /etc/key\n").discover());
    assert!(text.contains("[store_crypt]") && text.contains("conf/seafile.conf:5"), "{text}");
}

const ENABLED: &str =
    "[storage]\nenable_storage_classes = true\nstorage_classes_file = classes.json\n";

fn backends(dir: &str) -> String {
    let backend = format!(r#"{{"backend": "fs", "dir": "{dir}"}}"#);
    format!(r#""commits": {backend}, "fs": {backend}, "blocks": {backend}"#)
}

fn classes() -> String {
    format!(
        r#"[{{"storage_id": "cold", "name": "Cold", {}}},
            {{"storage_id": "hot", "is_default": true, "for_new_library": true, {}}}]"#,
        backends("{top}/cold"),
        backends("{top}/hot")
    )
}

#[test]
fn local_storage_classes_are_read() {
    let fake = pro(ENABLED).file_with_top("conf/classes.json", &classes());
    let storage = fake.discover().unwrap().object_storage;
    let ids: Vec<_> = storage.classes.iter().map(|class| &*class.id).collect();
    assert_eq!(ids, ["cold", "hot"]);
    let cold = storage.class("cold").unwrap();
    assert_eq!((&*cold.name, cold.is_default), ("Cold", false));
    assert_eq!(cold.roots.fs, fake.top().join("cold/storage/fs"));
    assert_eq!(storage.roots, storage.class("hot").unwrap().roots);
    assert_eq!(storage.class("warm"), None);
}

#[test]
fn a_class_in_object_storage_is_refused_by_name() {
    let classes =
        classes().replacen(r#""backend": "fs""#, r#""key": "hunter2", "backend": "s3""#, 1);
    let fake = pro(ENABLED).file_with_top("conf/classes.json", &classes);
    let text = complaint(fake.discover());
    assert!(text.contains("commits of storage class cold cannot be backed up: \"s3\""), "{text}");
    assert!(text.contains("conf/classes.json") && !text.contains("hunter2"), "{text}");
}

#[test]
fn broken_classes_are_told_without_their_content() {
    let fake = pro(ENABLED);
    assert!(complaint(fake.discover()).contains("file of storage classes is missing"));
    let fake = fake.file("conf/classes.json", r#"[{"storage_id": "a", "is_default": "hunter2"}]"#);
    let text = complaint(fake.discover());
    assert!(text.contains("classes.json: no list of storage classes") && !text.contains("hunter2"));
    let fake = fake.file("conf/classes.json", &"[".repeat(100_000));
    assert!(complaint(fake.discover()).contains("no list of storage classes"));
    let fake = fake
        .file_with_top("conf/classes.json", &classes().replacen(r#", "dir": "{top}/cold""#, "", 1));
    assert!(complaint(fake.discover()).contains("commits of storage class cold have no dir"));
    let fake = fake.file("conf/classes.json", &classes().replace("{top}", "/mnt/away"));
    assert!(complaint(fake.discover()).contains("commits of storage class cold is missing"));
    let text = complaint(pro("[storage]\nenable_storage_classes = true\n").discover());
    assert!(text.contains("no storage_classes_file"), "{text}");
}

fn docker(seafile_conf: &str) -> Fake {
    Fake::new()
        .folder("seafile-data/storage")
        .folder("cold")
        .file("seafile-data/current_version", "13.0.25")
        .file("conf/seafile.conf", &format!("{DATABASE}{seafile_conf}"))
}

#[test]
fn from_13_a_variable_chooses() {
    let fake = docker("[block_backend]\nname = s3\n");
    assert!(complaint(fake.discover()).contains("[block_backend]"));
    let with = |kind| fake.discover_with(&[("SEAF_SERVER_STORAGE_TYPE", kind)]);
    let storage = with("disk").unwrap().object_storage;
    assert_eq!(storage.roots.blocks, fake.top().join("seafile-data/storage/blocks"));
    let text = complaint(with("s3"));
    assert!(text.contains("environment variable SEAF_SERVER_STORAGE_TYPE"), "{text}");
    assert!(complaint(with("multiple")).contains("no storage_classes_file"));
    fs::remove_file(fake.top().join("seafile-data/current_version")).unwrap();
    let unknown = fake.discover_with(&[("SEAF_SERVER_STORAGE_TYPE", "disk")]);
    assert_eq!(unknown.unwrap().program_version, None);
    let old = pro("[block_backend]\nname = s3\n");
    let old = old.discover_with(&[("SEAF_SERVER_STORAGE_TYPE", "disk")]);
    assert!(complaint(old).contains("[block_backend]"));
}

#[test]
fn paths_of_the_container_are_found_in_the_volume() {
    let conf = "[storage]\nenable_storage_classes = true\n\
                storage_classes_file = /shared/conf/classes.json\n";
    let classes = format!(
        r#"[{{"storage_id": "a", "is_default": true, {}}}, {{"storage_id": "b", {}}}]"#,
        backends("/opt/seafile/seafile-data"),
        backends("/shared/seafile/cold")
    );
    let fake = docker(conf).file("conf/classes.json", &classes);
    let storage = fake.discover().unwrap().object_storage;
    assert_eq!(storage.roots.fs, fake.top().join("seafile-data/storage/fs"));
    let cold = &storage.class("b").unwrap().roots;
    assert_eq!(cold.commits, fake.top().join("cold/storage/commits"));
}
