use super::*;

#[test]
fn the_example_is_found_whole() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/haiwen");
    let installation = discover(&top, &Environment::default()).unwrap();
    assert_eq!(installation.layout, InstallationLayout::ConfigFolder);
    assert_eq!(installation.program_version.as_deref(), Some("11.0.13"));
    assert!(!installation.pro);
    assert_eq!(installation.program_folder.as_deref(), Some(Path::new("seafile-server-11.0.13")));
    assert_eq!(
        sqlite_files(&installation),
        [
            (DatabaseRole::Seafile, "seafile-data/seafile.db"),
            (DatabaseRole::Usermgr, "ccnet/PeerMgr/usermgr.db"),
            (DatabaseRole::Groupmgr, "ccnet/GroupMgr/groupmgr.db"),
            (DatabaseRole::Orgmgr, "ccnet/OrgMgr/orgmgr.db"),
            (DatabaseRole::Seahub, "seahub.db"),
        ]
    );
    assert!(installation.links.is_empty());
    assert_eq!(installation.warnings, []);
    assert!(!installation.object_storage.shared_folders && !installation.skip_block_hash);
    let lines = lines(&installation);
    assert!(lines.contains(&"databases = SQLite (conf/seafile.conf:7)".to_owned()), "{lines:#?}");
    assert!(lines[2].starts_with("version = Seafile 11.0.13 Community (seafile-server-latest)"));
}

fn seafile_2() -> Fake {
    Fake::new()
        .folder("seafile-server-2.2.1")
        .folder("seafile-server-2.10.0")
        .folder("seafile-server-2.9.9")
        .folder("seafile-server-1.11.0")
        .folder("seafile-server-0.9")
        .file("seafile-server-3.0.0.tar.gz", "not a folder")
        .file("ccnet/ccnet.conf", "[General]\nNAME = x\n")
        .file_with_top("ccnet/seafile.ini", "{top}/seafile-data\n")
        .sqlite("ccnet/PeerMgr/usermgr.db", 0)
        .sqlite("ccnet/GroupMgr/groupmgr.db", 0)
        .sqlite("ccnet/misc/config.db", 0)
        .file("seafile-data/seafile.conf", "[history]\nkeep_days = 30\n")
        .sqlite("seafile-data/seafile.db", 1)
        .folder("seafile-data/commits/00")
        .folder("seafile-data/fs")
        .folder("seafile-data/blocks")
        .sqlite("seahub.db", 0)
        .file("seahub_settings.py", "SECRET_KEY = 'hunter2'\n")
}

#[test]
fn seafile_2_is_found() {
    let installation = seafile_2().discover().unwrap();
    assert_eq!(installation.layout, InstallationLayout::SharedStore);
    assert_eq!(installation.program_version.as_deref(), Some("2.10.0"));
    assert!(installation.object_storage.shared_folders);
    assert_eq!(installation.history_keep_days.as_ref().unwrap().value, 30);
    assert_eq!(sqlite_files(&installation).len(), 5);
    assert_eq!(installation.warnings, []);
    let lines = lines(&installation);
    assert!(lines.contains(&"history is kept = 30 days (seafile-data/seafile.conf:2)".to_owned()));
    assert!(!format!("{installation:?}").contains("hunter2"));
}

#[test]
fn seafile_4_keeps_old_objects_too() {
    let installation = seafile_2().folder("seafile-data/storage").discover().unwrap();
    assert_eq!(installation.layout, InstallationLayout::ConfigBeside);
    assert!(installation.object_storage.shared_folders);
    let roots = &installation.object_storage.roots;
    assert_eq!(roots.folder(Kind::Block), installation.data_dir.join("storage/blocks"));
}

fn seafile(version: &str) -> Fake {
    Fake::with_program(&format!("seafile-server-{version}"), "[database]\ntype = sqlite\n")
        .sqlite("seafile-data/seafile.db", 1)
        .sqlite("ccnet/PeerMgr/usermgr.db", 0)
        .sqlite("ccnet/GroupMgr/groupmgr.db", 0)
        .sqlite("seahub.db", 0)
}

#[test]
fn up_to_7_0_the_data_folder_is_where_the_pointer_says() {
    let elsewhere = tempfile::tempdir().unwrap();
    let real = fs::canonicalize(elsewhere.path()).unwrap();
    fs::create_dir(real.join("storage")).unwrap();
    Connection::open(real.join("seafile.db"))
        .unwrap()
        .execute("CREATE TABLE Repo (a)", [])
        .unwrap();
    let pointer = format!("{}\n", elsewhere.path().display());

    let old = seafile("6.3.4").file("ccnet/seafile.ini", &pointer);
    let installation = old.discover().unwrap();
    assert_eq!(installation.data_dir, real);
    let link = FollowedLink { path: "seafile-data".into(), target: real.clone() };
    assert_eq!(installation.links, [link]);
    let named = elsewhere.path().to_owned();
    let used = real.clone();
    assert_eq!(
        installation.warnings,
        [DiscoverWarning::DataFolderElsewhere {
            named,
            from: SettingOrigin::Path("ccnet/seafile.ini".into()),
            used
        }]
    );
    let DatabaseKind::Sqlite(files) = &installation.database else { panic!() };
    assert_eq!(files[0].file, real.join("seafile.db"));

    let new = seafile("7.1.0").file("ccnet/seafile.ini", &pointer).discover().unwrap();
    assert_eq!(new.data_dir, new.top.join("seafile-data"));
    assert_eq!(new.warnings, []);

    let moved = seafile("6.3.4").file("ccnet/seafile.ini", "/nowhere/seafile-data").discover();
    let moved = moved.unwrap();
    assert_eq!(moved.data_dir, moved.top.join("seafile-data"));
    assert!(matches!(&moved.warnings[..], [DiscoverWarning::DataFolderElsewhere { .. }]));

    let lost = Fake::new().file("ccnet/seafile.ini", "/nowhere/seafile-data");
    assert!(complaint(lost.discover()).contains("/nowhere/seafile-data"));
}

#[test]
fn links_are_followed_at_their_places_only() {
    let fake = seafile("11.0.13").folder("disk/data/disk/blocks").folder("disk/web");
    let top = fake.top();
    fs::rename(top.join("seafile-data"), top.join("disk/data/own")).unwrap();
    fs::create_dir(top.join("disk/data/own/storage/fs")).unwrap();
    let fake = fake
        .link("seafile-data", "disk/data/own")
        .link("disk/data/own/storage/blocks", "../../disk/blocks")
        .link("seahub-data", "disk/web")
        .link("other", "disk");
    let installation = fake.discover().unwrap();
    let links: Vec<_> = installation
        .links
        .iter()
        .map(|link| (link.path.to_str().unwrap(), link.target.strip_prefix(&top).unwrap()))
        .collect();
    assert_eq!(
        links,
        [
            ("seafile-data", Path::new("disk/data/own")),
            ("seafile-data/storage/blocks", Path::new("disk/data/disk/blocks")),
            ("seahub-data", Path::new("disk/web")),
        ]
    );
    assert_eq!(installation.data_dir, top.join("disk/data/own"));
    let given = fake.folder.path().join("link");
    symlink(&top, &given).unwrap();
    let by_link = discover(&given, &Environment::default()).unwrap();
    assert_eq!(by_link, installation);
}

#[test]
fn links_to_disks_that_are_not_mounted_are_errors() {
    let storage = seafile("11.0.13");
    fs::remove_dir_all(storage.top().join("seafile-data/storage")).unwrap();
    let text = complaint(storage.discover());
    assert!(text.contains("seafile-data/storage") && text.contains("mounted"), "{text}");
    let text = complaint(storage.link("seafile-data/storage", "/mnt/away").discover());
    assert!(text.contains("/mnt/away (seafile-data/storage)"), "{text}");

    let data = seafile("11.0.13");
    fs::remove_dir_all(data.top().join("seafile-data")).unwrap();
    let text = complaint(data.link("seafile-data", "/mnt/data").discover());
    assert!(text.contains("/mnt/data (seafile-data)"), "{text}");

    let web = seafile("11.0.13").link("seahub-data", "/mnt/web").discover().unwrap();
    assert!(matches!(&web.warnings[..], [DiscoverWarning::DanglingLink { .. }]));
    assert!(web.warnings[0].to_string().contains("/mnt/web"));
}

#[test]
fn docker_is_recognised_and_its_version_stamp_read() {
    let conf = "[database]\ntype = mysql\nhost = db\n";
    let fake = Fake::new()
        .folder("seafile-data/storage")
        .file("seafile-data/current_version", "12.0.14\n")
        .file("conf/seafile.conf", conf);
    let installation = fake.discover().unwrap();
    assert_eq!(installation.layout, InstallationLayout::DockerVolume);
    assert_eq!(installation.program_version.as_deref(), Some("12.0.14"));
    assert!(installation.docker_env_missing && !installation.pro);
    let seen = Vec::new();
    assert_eq!(installation.warnings[0], DiscoverWarning::DockerEnvMissing { seen });

    let fake = fake
        .file("conf/.env", "JWT_PRIVATE_KEY=hunter2\nSEAFILE_MYSQL_DB_HOST=db\n")
        .folder("pro-data");
    let installation = fake.discover().unwrap();
    assert!(!installation.docker_env_missing && installation.pro);
    let community = seafile("11.0.13").folder("pro-data").discover();
    assert!(!community.unwrap().pro);
    assert_eq!(installation.warnings, []);
    assert!(!format!("{installation:?}").contains("hunter2"));
}

#[test]
fn the_version_is_known_after_the_program_is_gone() {
    let fake = seafile("11.0.13").folder("seafile-server-9.0.1");
    fs::remove_dir(fake.top().join("seafile-server-11.0.13")).unwrap();
    let installation = fake.discover().unwrap();
    assert_eq!(installation.program_version.as_deref(), Some("11.0.13"));
    assert_eq!(installation.program_folder, None);
    assert_eq!(installation.layout, InstallationLayout::ConfigFolder);
}

#[test]
fn other_folders_are_refused_with_a_hint() {
    let fake = seafile("11.0.13");
    let outer = fs::canonicalize(fake.folder.path()).unwrap();
    let haiwen = outer.join("haiwen");
    let at = |path: &Path| complaint(discover(path, &Environment::default()));
    let hint = format!("| {} looks like one: name that folder", haiwen.display());
    for folder in [&outer, &haiwen.join("seafile-data"), &haiwen.join("seafile-data/storage")] {
        let text = at(folder);
        assert!(text.contains("is not a Seafile installation: looked for seafile-data"), "{text}");
        assert!(text.ends_with(&hint), "{text}");
    }
    assert!(at(&haiwen.join("conf/seafile.conf")).ends_with(&hint));
    assert!(at(&outer.join("nothing")).contains("cannot read"));

    // Make docker's volume, and the folder that holds it.
    fs::create_dir_all(outer.join("opt/seafile-data")).unwrap();
    fs::rename(&haiwen, outer.join("opt/seafile-data/seafile")).unwrap();
    for folder in ["opt", "opt/seafile-data"] {
        let text = at(&outer.join(folder));
        assert!(text.contains("opt/seafile-data/seafile looks like one"), "{text}");
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(at(empty.path()).ends_with("| "));
}

#[test]
fn sqlite_by_name_needs_its_file() {
    let fake = Fake::with_program("seafile-server-11.0.13", "[database]\ntype = SQLite\n");
    let text = complaint(fake.discover());
    assert!(text.contains("seafile-data/seafile.db (conf/seafile.conf:2)"), "{text}");
    let fake = fake.file("conf/seafile.conf", "[database]\nhost = db\n");
    let text = complaint(fake.discover());
    assert!(
        text.contains("seafile.db (default) | conf/seafile.conf:2 names a MySQL server"),
        "{text}"
    );
}

#[test]
fn missing_databases_of_users_are_told() {
    let fake =
        Fake::with_program("seafile-server-11.0.13", "").sqlite("seafile-data/seafile.db", 0);
    let installation = fake.discover().unwrap();
    let texts: Vec<_> = installation.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(texts[0].contains("database usermgr: looked for ccnet/PeerMgr/usermgr.db"));
    assert!(texts[2].contains("database seahub"));
}

#[test]
fn the_settings_may_put_seahub_elsewhere() {
    let settings = "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3',\n'NAME': '{top}/web/hub.db'}}";
    let fake = seafile("11.0.13")
        .sqlite("web/hub.db", 0)
        .file_with_top("conf/seahub_settings.py", settings);
    let installation = fake.discover().unwrap();
    assert_eq!(sqlite_files(&installation)[3], (DatabaseRole::Seahub, "web/hub.db"));
}

#[test]
fn unreadable_files_are_named() {
    let fake = seafile("11.0.13").file("conf/seafile.conf", &"x".repeat(2 << 20));
    let text = complaint(fake.discover());
    assert!(text.contains("conf/seafile.conf: is longer than"), "{text}");
    let denied = DiscoverError::read(
        Path::new("/a/conf"),
        std::io::Error::from(std::io::ErrorKind::PermissionDenied),
    );
    assert_eq!(denied.to_string(), "cannot read /a/conf");
    assert!(denied.hint().unwrap().contains("as root"));
}

#[test]
fn lines_that_are_no_settings_are_told() {
    let fake = seafile("11.0.13").file("conf/ccnet.conf", "[General]\nnonsense\n");
    let warnings = fake.discover().unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].to_string(), "conf/ccnet.conf:2: this line is no setting");
}

#[test]
fn the_source_is_not_changed() {
    fn times(folder: &Path, out: &mut Vec<(PathBuf, std::time::SystemTime)>) {
        out.push((folder.to_owned(), fs::metadata(folder).unwrap().modified().unwrap()));
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                times(&path, out);
            } else {
                out.push((path.clone(), fs::metadata(&path).unwrap().modified().unwrap()));
            }
        }
    }
    let fake =
        Fake::with_program("seafile-server-11.0.13", "[database]\ntype = mysql\nhost = db\n")
            .sqlite("seafile-data/seafile.db", 2);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    times(&fake.top(), &mut before);
    assert!(!fake.discover().unwrap().warnings.is_empty());
    times(&fake.top(), &mut after);
    assert_eq!(before, after);
}
