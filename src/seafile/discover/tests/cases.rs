//! Configurations from the field, in `tests/cases`, each a tree with the files that decide. What git
//! does not keep (empty folders, objects) is made here.

use super::*;

/// A copy of a configuration, with folders of objects.
struct Case {
    folder: TempDir,
    source: PathBuf,
}

impl Case {
    /// `source` and `data` are folders of the tree; each program folder named gets made.
    fn new(name: &str, source: &str, data: &str, programs: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/cases")
            .join(name);
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .arg(from.join("."))
            .arg(folder.path())
            .status();
        assert!(copied.unwrap().success());
        let root = fs::canonicalize(folder.path()).unwrap();
        let source = fs::canonicalize(root.join(source)).unwrap();
        let case = Self { folder, source };
        for kind in ["commits", "fs", "blocks"] {
            case.make(&format!("{data}/storage/{kind}"));
        }
        for program in programs {
            fs::create_dir_all(case.source.join(program)).unwrap();
        }
        case
    }

    fn root(&self) -> PathBuf {
        fs::canonicalize(self.folder.path()).unwrap()
    }

    fn make(&self, path: &str) {
        fs::create_dir_all(self.root().join(path)).unwrap();
    }

    fn find(&self) -> Result<Installation, DiscoverError> {
        self.find_with(SourceOptions::default(), DatabaseOverrides::default())
    }

    fn find_with(
        &self,
        options: SourceOptions,
        overrides: DatabaseOverrides,
    ) -> Result<Installation, DiscoverError> {
        let environment = Environment::default()
            .with_options(options)
            .with_overrides(overrides);
        discover(&self.source, &environment)
    }

    fn with_env_file(&self, path: &str) -> Result<Installation, DiscoverError> {
        let options = SourceOptions {
            env_files: vec![self.root().join(path)],
            ..SourceOptions::default()
        };
        self.find_with(options, DatabaseOverrides::default())
    }
}

/// `host:port user names password` of all three databases on MySQL.
fn servers(installation: &Installation) -> Vec<String> {
    let text = |setting: &Option<Setting<String>>| {
        let value = setting.as_ref().map(|setting| setting.value.clone());
        value.unwrap_or_default()
    };
    let databases = mysql_settings(installation).databases.iter();
    let line = |database: &MysqlDatabase| {
        let place = match &database.unix_socket {
            Some(socket) => socket.value.clone(),
            None => format!("{}:{}", text(&database.host), database.port.value),
        };
        let password = database.password.as_ref();
        let password = password.map(|password| password.value.reveal().to_owned());
        format!(
            "{} {place} {} {}",
            database.name.value,
            text(&database.user),
            password.unwrap_or_default()
        )
    };
    databases.map(line).collect()
}

fn texts(installation: &Installation) -> String {
    let texts = installation.warnings.iter().map(ToString::to_string);
    texts.collect::<Vec<_>>().join("\n")
}

fn host(host: &str) -> DatabaseOverrides {
    DatabaseOverrides {
        host: Some(host.to_owned()),
        ..DatabaseOverrides::default()
    }
}

#[test]
fn c01_a_debian_package_keeps_its_configuration_in_etc() {
    let data = "var/lib/seafile/seafile-data";
    let case = Case::new("01-debian-package", "etc/..", data, &[]);
    let case = Case {
        source: case.root().join("var/lib/seafile"),
        ..case
    };
    let installation = case.find().unwrap();
    assert_eq!(
        servers(&installation),
        [
            "seafile_db 127.0.0.1:3306 seafile fake-pw-01",
            "ccnet_db 127.0.0.1:3306 seafile fake-pw-01",
            "seahub_db 127.0.0.1:3306 seafile fake-pw-01",
        ]
    );
    assert_eq!(installation.layout, Layout::Apart);
    assert_eq!(installation.conf_dir, Some(case.root().join("etc/seafile")));
    assert_eq!(installation.data_dir, case.root().join(data));
    assert!(
        !texts(&installation).contains(".env"),
        "{}",
        texts(&installation)
    );
    let lines = lines(&installation).join("\n");
    assert!(lines.contains("etc/seafile/seafile.env:5"), "{lines}");

    // Objects elsewhere, as the file says.
    case.make("srv/objects/storage/commits");
    let env = case.root().join("etc/seafile/seafile.env");
    let text = fs::read_to_string(&env).unwrap();
    let text = text.replace("/var/lib/seafile/seafile-data", "/srv/objects");
    fs::write(&env, text).unwrap();
    assert_eq!(
        case.find().unwrap().data_dir,
        case.root().join("srv/objects")
    );
}

#[test]
fn c01_options_mean_mysql_whatever_else_is_there() {
    let case = Case::new(
        "01-debian-package",
        "etc/..",
        "var/lib/seafile/seafile-data",
        &[],
    );
    let top = case.root().join("var/lib/seafile");
    fs::remove_dir_all(case.root().join("etc")).unwrap();
    let with = |overrides: DatabaseOverrides| {
        discover(&top, &Environment::default().with_overrides(overrides))
    };
    let installation = with(host("sql")).unwrap();
    assert_eq!(servers(&installation)[0], "seafile_db sql:3306  ");
    assert_eq!(installation.layout, Layout::Unknown);
    let socket = Some("/run/mysqld.sock".to_owned());
    let by_socket = with(DatabaseOverrides {
        socket,
        ..DatabaseOverrides::default()
    });
    assert_eq!(
        servers(&by_socket.unwrap())[2],
        "seahub_db /run/mysqld.sock  "
    );
    for overrides in [
        DatabaseOverrides {
            user: Some("x".to_owned()),
            ..DatabaseOverrides::default()
        },
        DatabaseOverrides {
            names: vec![(Role::Seafile, "x".to_owned())],
            ..DatabaseOverrides::default()
        },
    ] {
        let text = complaint(with(overrides));
        assert!(
            text.contains("host of the MySQL server is missing"),
            "{text}"
        );
        assert!(text.contains("--database-host"), "{text}");
    }
    let text = complaint(with(DatabaseOverrides::default()));
    assert!(
        text.contains("--env-file") && text.contains("--database-host"),
        "{text}"
    );
}

#[test]
fn c01_a_configuration_that_nothing_ties_to_the_data_is_named_only() {
    let case = Case::new("01-debian-package", "etc/..", "srv/cloud/objects", &[]);
    let top = case.root().join("srv/cloud");
    let text = complaint(discover(&top, &Environment::default()));
    assert!(text.contains("srv/cloud/objects"), "{text}");
    assert!(
        text.contains("--data-dir") && text.contains("--conf-dir"),
        "{text}"
    );
    assert!(text.contains("etc/seafile"), "{text}");
    let options = SourceOptions {
        data_dir: Some(top.join("objects")),
        conf_dir: Some(case.root().join("etc/seafile")),
        ..SourceOptions::default()
    };
    let environment = Environment::default().with_options(options.clone());
    let installation = discover(&top, &environment).unwrap();
    assert_eq!(installation.data_dir, top.join("objects"));
    assert_eq!(servers(&installation).len(), 3);
    let data = installation
        .findings
        .iter()
        .find(|found| found.what == "data folder");
    assert_eq!(data.unwrap().sure, Certainty::Given);

    let empty = SourceOptions {
        conf_dir: Some(top.clone()),
        ..options.clone()
    };
    let text = complaint(discover(&top, &Environment::default().with_options(empty)));
    assert!(text.contains("has none of seafile.conf"), "{text}");
    let away = SourceOptions {
        data_dir: Some(top.join("away")),
        ..options
    };
    let text = complaint(discover(&top, &Environment::default().with_options(away)));
    assert!(text.contains("srv/cloud/away (--data-dir)"), "{text}");
}

#[test]
fn c02_nixos_has_another_name_for_the_data_folder() {
    let case = Case::new(
        "02-nixos-mysql",
        "var/lib/seafile",
        "var/lib/seafile/data",
        &[],
    );
    let installation = case.find().unwrap();
    let socket = "/run/mysqld/mysqld.sock seafile ";
    let names = ["seafile_db", "ccnet_db", "seahub_db"];
    assert_eq!(
        servers(&installation),
        names.map(|name| format!("{name} {socket}"))
    );
    assert_eq!(
        installation.data_dir,
        case.root().join("var/lib/seafile/data")
    );
    assert_eq!(installation.program_version.as_deref(), Some("11.0.12"));
    assert_eq!(installation.layout, Layout::Apart);
    assert_eq!(installation.warnings, []);
    let links: Vec<_> = installation
        .links
        .iter()
        .map(|link| link.path.clone())
        .collect();
    assert_eq!(links, [PathBuf::from("seafile-data"), "conf".into()]);

    // Two of them: nobody knows which.
    case.make("var/lib/seafile/old/storage/commits");
    let text = complaint(case.find());
    assert!(
        text.contains("seafile/data and") && text.contains("--data-dir"),
        "{text}"
    );
}

#[test]
fn c04_docker_is_found_by_the_compose_file_that_mounts_it() {
    let case = Case::new(
        "04-docker13-env-beside",
        "opt/seafile-data/seafile",
        "opt/seafile-data/seafile/seafile-data",
        &[],
    );
    let expected = ["seafile_db", "ccnet_db", "seahub_db"]
        .map(|name| format!("{name} db:3306 seafile fake-pw-04"));
    let outside: Vec<PathBuf> = [".env", "seafile-server.yml"]
        .map(|name| case.root().join("opt/seafile").join(name))
        .into();
    for installation in [
        case.find().unwrap(),
        case.with_env_file("opt/seafile/.env").unwrap(),
    ] {
        assert_eq!(servers(&installation), expected);
        assert_eq!(installation.outside, outside);
        assert!(!installation.docker_env_missing && installation.pro);
        assert_eq!(installation.warnings, []);
        assert_eq!(installation.layout, Layout::DockerVolume);
    }
    // The compose file of another volume.
    let yml = case.root().join("opt/seafile/seafile-server.yml");
    let text = fs::read_to_string(&yml).unwrap();
    let env = case.root().join("opt/seafile/.env");
    let variables = fs::read_to_string(&env)
        .unwrap()
        .replace("/seafile-data", "/other");
    fs::write(&env, variables).unwrap();
    fs::write(&yml, text.replace("/opt/seafile-data", "/opt/other")).unwrap();
    let text = complaint(case.find());
    assert!(
        text.contains("host of the MySQL server is missing"),
        "{text}"
    );
    assert!(
        text.contains("--env-file") && text.contains("opt/seafile/.env"),
        "{text}"
    );
    let installation = case.with_env_file("opt/seafile/.env").unwrap();
    assert_eq!(servers(&installation), expected);
    let installation = case
        .find_with(SourceOptions::default(), host("127.0.0.1"))
        .unwrap();
    assert!(installation.docker_env_missing);
    let seen = vec![env.clone()];
    assert!(
        installation
            .warnings
            .contains(&Warning::DockerEnvMissing { seen })
    );
    let options = SourceOptions {
        also: vec![env],
        ..SourceOptions::default()
    };
    let installation = case.find_with(options, host("127.0.0.1")).unwrap();
    assert!(!installation.docker_env_missing);
}

#[test]
fn c04_files_that_anybody_may_write_are_not_taken() {
    use std::os::unix::fs::PermissionsExt as _;
    let case = Case::new(
        "04-docker13-env-beside",
        "opt/seafile-data/seafile",
        "opt/seafile-data/seafile/seafile-data",
        &[],
    );
    let folder = case.root().join("opt/seafile");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(complaint(case.find()).contains("host of the MySQL server is missing"));
}

#[test]
fn c04_an_env_file_that_is_none_is_refused() {
    let case = Case::new(
        "04-docker13-env-beside",
        "opt/seafile-data/seafile",
        "opt/seafile-data/seafile/seafile-data",
        &[],
    );
    let text = complaint(case.with_env_file("opt/seafile/away.env"));
    assert!(text.contains("away.env (--env-file)"), "{text}");
    fs::write(
        case.root().join("opt/seafile/empty.env"),
        "# nothing\nnonsense\n",
    )
    .unwrap();
    let text = complaint(case.with_env_file("opt/seafile/empty.env"));
    assert!(text.contains("has no line NAME=value"), "{text}");
}

#[test]
fn c04_a_dotenv_right_above_the_volume_is_likely() {
    let case = Case::new(
        "04-docker13-env-beside",
        "opt/seafile-data/seafile",
        "opt/seafile-data/seafile/seafile-data",
        &[],
    );
    fs::remove_dir_all(case.root().join("opt/seafile")).unwrap();
    let env = case.root().join("opt/.env");
    fs::write(
        &env,
        "SEAFILE_MYSQL_DB_HOST: db\nSEAFILE_MYSQL_DB_PASSWORD: x\n",
    )
    .unwrap();
    let installation = case.find().unwrap();
    assert_eq!(servers(&installation)[0], "seafile_db db:3306  x");
    assert_eq!(installation.outside, [env.clone()]);
    let server = installation
        .findings
        .iter()
        .find(|found| found.what == "database seafile: server");
    assert_eq!(server.unwrap().sure, Certainty::Likely);
    fs::write(
        &env,
        "SEAFILE_VOLUME=/opt/other\nSEAFILE_MYSQL_DB_HOST=db\n",
    )
    .unwrap();
    assert!(complaint(case.find()).contains("host of the MySQL server is missing"));
    fs::write(&env, "DATABASE_URL=other\n").unwrap();
    assert!(complaint(case.find()).contains("host of the MySQL server is missing"));
}

#[test]
fn c06_the_compose_file_sets_names_and_conf_is_dead() {
    let case = Case::new(
        "06-docker12-names-differ",
        "opt/seafile-data/seafile",
        "opt/seafile-data/seafile/seafile-data",
        &[],
    );
    let installation = case.with_env_file("opt/seafile/.env").unwrap();
    let expected = ["seafile_db", "ccnet_db", "seahub_db"]
        .map(|name| format!("{name} db:3306 seafile p@ss$word"));
    assert_eq!(servers(&installation), expected);
    assert_eq!(installation.warnings, []);
    assert_eq!(installation.doubt, None);
    let dead = installation
        .findings
        .iter()
        .find(|found| found.what == "dead configuration");
    assert_eq!(dead.unwrap().value, "Seafile 12 does not read it");

    // Without the compose file the usual names come first, and what conf/ says last.
    fs::remove_file(case.root().join("opt/seafile/seafile-server.yml")).unwrap();
    let installation = case.with_env_file("opt/seafile/.env").unwrap();
    assert_eq!(servers(&installation), expected);
    let name = &mysql_settings(&installation).databases[0].name;
    assert_eq!(name.others[0].value, "seafile-db");

    let installation = case.find().unwrap();
    assert_eq!(
        servers(&installation)[0],
        "seafile-db old-db:3306 seafile_old fake-pw-old"
    );
    let text = texts(&installation);
    assert!(
        text.contains("conf/seafile.conf:3, which a container of version 12 does not go by"),
        "{text}"
    );
    assert!(
        text.contains("--env-file") && text.contains("opt/seafile/.env"),
        "{text}"
    );
    assert!(installation.doubt.is_some());
    let server = installation
        .findings
        .iter()
        .find(|found| found.what == "database seafile: server");
    assert_eq!(server.unwrap().sure, Certainty::Guess);
}

#[test]
fn c11_the_community_edition_ignores_object_storage() {
    let name = "11-community-with-s3-sections";
    let community = Case::new(name, "conf/..", "seafile-data", &["seafile-server-11.0.13"]);
    let installation = community.find().unwrap();
    let roots = &installation.object_storage.roots;
    assert_eq!(
        roots.blocks,
        community.root().join("seafile-data/storage/blocks")
    );
    let text = texts(&installation);
    let section = "conf/seafile.conf:15: [block_backend] = s3, but the community edition (seafile-server-latest)";
    assert!(text.contains(section), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");

    let pro = Case::new(name, "conf/..", "seafile-data", &[]);
    fs::remove_file(pro.source.join("seafile-server-latest")).unwrap();
    symlink(
        "seafile-pro-server-11.0.13",
        pro.source.join("seafile-server-latest"),
    )
    .unwrap();
    assert!(complaint(pro.find()).contains("cannot be backed up: \"s3\""));
    let on_disk = SourceOptions {
        objects_on_disk: true,
        ..SourceOptions::default()
    };
    let text = complaint(pro.find_with(on_disk.clone(), DatabaseOverrides::default()));
    assert!(text.contains("cannot be backed up: \"s3\""), "{text}");

    let unknown = Case::new(name, "conf/..", "seafile-data", &[]);
    fs::remove_file(unknown.source.join("seafile-server-latest")).unwrap();
    assert!(complaint(unknown.find()).contains("cannot be backed up: \"s3\""));
    unknown.make("seafile-data/storage/blocks/5dbd46b1-6c5e-4d85-b7b9-4b8e1b2f4a3c");
    let text = complaint(unknown.find());
    assert!(
        text.contains("[block_backend] = s3") || text.contains("= s3"),
        "{text}"
    );
    assert!(
        text.contains("holds blocks") && text.contains("--objects-on-disk"),
        "{text}"
    );
    let installation = unknown
        .find_with(on_disk, DatabaseOverrides::default())
        .unwrap();
    assert!(texts(&installation).contains("--objects-on-disk was given"));
}

#[test]
fn c11_other_words_for_object_storage_are_dead_too() {
    for (version, conf, env) in [
        (
            "11.0.13",
            "[block_backend]\nname = filesystem\ndir = /mnt/nowhere\n",
            "",
        ),
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
        assert!(
            texts(&installation).contains("does not read it"),
            "{conf}{env}"
        );
    }
    // Docker: the image tells the edition.
    for (image, is_taken) in [
        ("seafileltd/seafile-mc:13.0-latest", true),
        ("docker.example/seafile-pro-mc:13.0.9", false),
    ] {
        let fake = Fake::new()
            .folder("seafile-data/storage/blocks")
            .file("conf/seafile.conf", "")
            .file(
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
fn c12_sections_count_as_they_are_spelled() {
    let case = Case::new(
        "12-merged-ini",
        "conf/..",
        "seafile-data",
        &["seafile-server-11.0.13"],
    );
    let installation = case.find().unwrap();
    let expected = ["seafile_db", "ccnet_db", "seahub_db"]
        .map(|name| format!("{name} db:3306 seafile fake pw 12"));
    assert_eq!(servers(&installation), expected);
    let text = texts(&installation);
    assert!(
        text.contains("conf/seafile.conf:11: this is another name"),
        "{text}"
    );
    assert!(text.contains("seafile.db has 1 library"), "{text}");
}

#[test]
fn c13_each_program_has_rules_of_its_own() {
    let case = Case::new(
        "13-settings-imported",
        "conf/..",
        "seafile-data",
        &["seafile-server-11.0.13"],
    );
    let installation = case.find().unwrap();
    let expected = ["seafile-db", "ccnet-db", "seahub-db"]
        .map(|name| format!("{name} 127.0.0.1:3306 seafile fake%pw13"));
    assert_eq!(servers(&installation), expected);
    let text = texts(&installation);
    assert_eq!(
        text,
        "conf/seahub_settings.py:1: import * is not followed: what it sets is not known"
    );

    // Without the events' file nobody knows.
    fs::remove_file(case.source.join("conf/seafevents.conf")).unwrap();
    let text = complaint(case.find());
    assert!(
        text.contains("conf/seahub_settings.py:1") && text.contains("--database-name seahub="),
        "{text}"
    );
    fs::write(
        case.source.join("conf/seahub_settings.py"),
        "from seahub_secrets import DATABASES\n",
    )
    .unwrap();
    assert!(complaint(case.find()).contains("--database-name seahub="));
}

#[test]
fn c13_two_readers_of_one_line_are_both_tried() {
    let conf = "[database]\ntype = mysql\nhost = db\npassword = \"a ; b\"\n";
    let events = "[DATABASE]\nhost = db\nusername = seafile\npassword = a%%b ; c\nname = hub\n";
    let fake = Fake::with_program("seafile-server-11.0.13", conf)
        .file(
            "conf/ccnet.conf",
            "[Database]\nENGINE = mysql\nHOST = db\nPASSWD = x\n",
        )
        .file("conf/seafevents.conf", events);
    let installation = fake.discover().unwrap();
    let [seafile, _, seahub] = &mysql_settings(&installation).databases[..] else {
        panic!()
    };
    let readings = |database: &MysqlDatabase| -> Vec<String> {
        let password = database.password.as_ref().unwrap();
        let others = password.others.iter().map(|other| &other.value);
        let all = std::iter::once(&password.value).chain(others);
        all.map(|password| password.reveal().to_owned()).collect()
    };
    assert_eq!(readings(seafile), ["\"a ; b\"", "a ; b"]);
    assert_eq!(readings(seahub), ["a%b ; c", "a%b", "a%%b ; c"]);
}

#[test]
fn c14_a_name_that_is_computed_is_not_guessed() {
    let case = Case::new(
        "14-settings-program",
        "conf/..",
        "seafile-data",
        &["seafile-server-10.0.1"],
    );
    let text = complaint(case.find());
    assert!(
        text.contains("conf/seahub_settings.py:") && text.contains("--database-name seahub="),
        "{text}"
    );
    let named = DatabaseOverrides {
        names: vec![(Role::Seahub, "prod-seahub".to_owned())],
        ..DatabaseOverrides::default()
    };
    let installation = case
        .find_with(SourceOptions::default(), named.clone())
        .unwrap();
    let expected = ["prod-seafile", "prod-ccnet", "prod-seahub"]
        .map(|name| format!("{name} sql.internal:3310 svc_seafile fakepw14"));
    assert_eq!(servers(&installation), expected);
    for settings in [
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql', 'NAME': os.environ['X']}}",
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql', 'NAME': f'{x}-db', 'HOST': 'h'}}",
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql', 'NAME': name(), 'HOST': 'h'}}",
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql', 'NAME': 'x', 'HOST': host()}}",
        "DATABASES = {'default': {'ENGINE': engine(), 'NAME': 'x', 'HOST': 'h'}}",
        "DATABASES = databases()",
        "exec(open('/etc/seahub').read())",
        "if x:\n    DATABASES = {'default': {'NAME': 'x'}}",
    ] {
        fs::write(case.source.join("conf/seahub_settings.py"), settings).unwrap();
        let text = complaint(case.find());
        assert!(
            text.contains("--database-name seahub="),
            "{settings}: {text}"
        );
        assert!(
            case.find_with(SourceOptions::default(), named.clone())
                .is_ok(),
            "{settings}"
        );
    }
}

#[test]
fn c15_inside_of_the_container() {
    let case = Case::new(
        "15-docker-inside-container",
        "opt/seafile",
        "shared/seafile/seafile-data",
        &[],
    );
    for folder in ["ccnet", "logs", "pro-data", "seahub-data"] {
        case.make(&format!("shared/seafile/{folder}"));
    }
    let installation = case.find().unwrap();
    assert_eq!(
        servers(&installation)[0],
        "seafile_db db:3306 seafile fakepw15"
    );
    assert_eq!(
        installation.data_dir,
        case.root().join("shared/seafile/seafile-data")
    );
    assert_eq!(installation.program_version.as_deref(), Some("13.0.19"));
}

#[test]
fn c15_links_that_a_share_made_files_of() {
    let case = Case::new(
        "15-docker-inside-container",
        "opt/seafile",
        "shared/seafile/seafile-data",
        &[],
    );
    for name in ["conf", "seafile-data"] {
        let path = case.source.join(name);
        let target = fs::read_link(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, target.to_str().unwrap()).unwrap();
    }
    let installation = case.find().unwrap();
    assert_eq!(
        servers(&installation)[0],
        "seafile_db db:3306 seafile fakepw15"
    );
    assert_eq!(
        installation.conf_dir,
        Some(case.root().join("shared/seafile/conf"))
    );
}

#[test]
fn c19_and_c20_the_program_in_use_is_known_whatever_stands_at_the_link() {
    let program = "seafile-server-11.0.13";
    let others = [
        "seafile-server-11.0.13",
        "seafile-server-12.0.1",
        "seafile-server-9.0.2",
    ];
    for name in ["19-moved-absolute-latest", "20-latest-is-a-file"] {
        let case = Case::new(name, "conf/..", "seafile-data", &others);
        let installation = case.find().unwrap();
        assert_eq!(
            installation.program_folder.as_deref(),
            Some(Path::new(program)),
            "{name}"
        );
        assert_eq!(installation.program_version.as_deref(), Some("11.0.13"));
        assert_eq!(
            installation.warnings.len(),
            1,
            "{name}: {}",
            texts(&installation)
        );
        assert_eq!(
            servers(&installation)[0],
            "seafile-db 127.0.0.1:3306 seafile fakepw19".replace("19", &name[..2])
        );
    }
}

/// What stands at the link, made by the function; the folder and version that are found.
#[test]
fn latest_in_every_state() {
    let at = |top: &Path| top.join("seafile-server-latest");
    type Make = fn(&Path);
    let states: [(&str, Make, Option<&str>, Option<&str>); 9] = [
        (
            "nothing",
            |_| {},
            Some("seafile-server-11.0.13"),
            Some("11.0.13"),
        ),
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
        let installation = fake
            .discover()
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(
            installation.program_folder.as_deref(),
            folder.map(Path::new),
            "{what}"
        );
        assert_eq!(installation.program_version.as_deref(), version, "{what}");
    }
}
