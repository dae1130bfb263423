//! Docker's volumes, and the files beside them.

use super::*;

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
    for installation in [case.find().unwrap(), case.with_env_file("opt/seafile/.env").unwrap()] {
        assert_eq!(servers(&installation), expected);
        assert_eq!(installation.outside, outside);
        assert!(!installation.docker_env_missing && installation.pro);
        assert_eq!(installation.warnings, []);
        assert_eq!(installation.layout, InstallationLayout::DockerVolume);
    }
    // This is the compose file of another volume.
    let yml = case.root().join("opt/seafile/seafile-server.yml");
    let text = fs::read_to_string(&yml).unwrap();
    let env = case.root().join("opt/seafile/.env");
    let variables = fs::read_to_string(&env).unwrap().replace("/seafile-data", "/other");
    fs::write(&env, variables).unwrap();
    fs::write(&yml, text.replace("/opt/seafile-data", "/opt/other")).unwrap();
    let text = complaint(case.find());
    assert!(text.contains("host of the MySQL server is missing"), "{text}");
    assert!(text.contains("--env-file") && text.contains("opt/seafile/.env"), "{text}");
    let installation = case.with_env_file("opt/seafile/.env").unwrap();
    assert_eq!(servers(&installation), expected);
    let installation = case.find_with(SourceOptions::default(), host("127.0.0.1")).unwrap();
    assert!(installation.docker_env_missing);
    let seen = vec![env.clone()];
    assert!(installation.warnings.contains(&DiscoverWarning::DockerEnvMissing { seen }));
    let options = SourceOptions { also: vec![env], ..SourceOptions::default() };
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

/// Each file near an installation is checked by itself. Files that the administrator names are used
/// as they are.
#[test]
fn c04_files_near_the_volume_count_only_where_they_are_the_administrators() {
    use std::os::unix::fs::PermissionsExt as _;
    type Spoil = fn(&Path);
    let new = || {
        Case::new(
            "04-docker13-env-beside",
            "opt/seafile-data/seafile",
            "opt/seafile-data/seafile/seafile-data",
            &[],
        )
    };
    let anybody: Spoil =
        |path| fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    let a_stranger: Spoil = |path| std::os::unix::fs::chown(path, Some(12_345), None).unwrap();
    let mut spoils = vec![anybody];
    if rustix::process::geteuid().is_root() {
        spoils.push(a_stranger);
    }
    for spoil in spoils {
        for name in ["seafile-server.yml", ".env"] {
            let case = new();
            let path = case.root().join("opt/seafile").join(name);
            spoil(&path);
            let found = case.find();
            let is_taken = found.is_ok_and(|found| found.outside.contains(&path));
            assert!(!is_taken, "{name}");
            let named = case.with_env_file("opt/seafile/.env").unwrap();
            assert!(servers(&named)[0].contains("fake-pw-04"), "{name}");
            assert!(named.outside.contains(&path), "{name}");
        }
    }
    // A stranger's file that cannot be read does not make a backup fail. A file that the
    // administrator names does.
    let case = new();
    let stranger = case.root().join("opt/seafile/stranger.yml");
    fs::write(&stranger, [0xff, 0xfe, 0x00]).unwrap();
    let found = case.find().unwrap();
    assert!(servers(&found)[0].contains("fake-pw-04"));
    assert!(!found.outside.contains(&stranger));
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
    fs::write(case.root().join("opt/seafile/empty.env"), "# nothing\nnonsense\n").unwrap();
    let text = complaint(case.with_env_file("opt/seafile/empty.env"));
    assert!(text.contains("has no line NAME=value"), "{text}");
}

/// Docker makes a folder if a file that it should mount is missing.
#[test]
fn c04_a_folder_in_the_place_of_a_dotenv_is_none() {
    let case = Case::new(
        "04-docker13-env-beside",
        "opt/seafile-data/seafile",
        "opt/seafile-data/seafile/seafile-data",
        &[],
    );
    case.make("opt/seafile-data/seafile/conf/.env");
    let installation = case.find().unwrap();
    assert_eq!(servers(&installation)[0], "seafile_db db:3306 seafile fake-pw-04");
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
    fs::write(&env, "SEAFILE_MYSQL_DB_HOST: db\nSEAFILE_MYSQL_DB_PASSWORD: x\n").unwrap();
    let installation = case.find().unwrap();
    assert_eq!(servers(&installation)[0], "seafile_db db:3306  x");
    assert_eq!(installation.outside, std::slice::from_ref(&env));
    let server =
        installation.findings.iter().find(|found| found.what == "database seafile: server");
    assert_eq!(server.unwrap().sure, Certainty::Likely);
    fs::write(&env, "SEAFILE_VOLUME=/opt/other\nSEAFILE_MYSQL_DB_HOST=db\n").unwrap();
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
    let dead = installation.findings.iter().find(|found| found.what == "dead configuration");
    assert_eq!(dead.unwrap().value, "Seafile 12 does not read it");

    // Without the compose file the usual names come first, and those in conf/ last.
    fs::remove_file(case.root().join("opt/seafile/seafile-server.yml")).unwrap();
    let installation = case.with_env_file("opt/seafile/.env").unwrap();
    assert_eq!(servers(&installation), expected);
    let name = &mysql_settings(&installation).databases[0].name;
    assert_eq!(name.others[0].value, "seafile-db");

    let installation = case.find().unwrap();
    assert_eq!(servers(&installation)[0], "seafile-db old-db:3306 seafile_old fake-pw-old");
    let text = texts(&installation);
    assert!(
        text.contains("conf/seafile.conf:3, which a container of version 12 does not go by"),
        "{text}"
    );
    assert!(text.contains("--env-file") && text.contains("opt/seafile/.env"), "{text}");
    assert!(installation.doubt.is_some());
    let server =
        installation.findings.iter().find(|found| found.what == "database seafile: server");
    assert_eq!(server.unwrap().sure, Certainty::Guess);
}

#[test]
fn c15_inside_of_the_container() {
    let case =
        Case::new("15-docker-inside-container", "opt/seafile", "shared/seafile/seafile-data", &[]);
    for folder in ["ccnet", "logs", "pro-data", "seahub-data"] {
        case.make(&format!("shared/seafile/{folder}"));
    }
    let installation = case.find().unwrap();
    assert_eq!(servers(&installation)[0], "seafile_db db:3306 seafile fakepw15");
    assert_eq!(installation.data_dir, case.root().join("shared/seafile/seafile-data"));
    assert_eq!(installation.program_version.as_deref(), Some("13.0.19"));
}

#[test]
fn c15_links_that_a_share_made_files_of() {
    let case =
        Case::new("15-docker-inside-container", "opt/seafile", "shared/seafile/seafile-data", &[]);
    for name in ["conf", "seafile-data"] {
        let path = case.source.join(name);
        let target = fs::read_link(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, target.to_str().unwrap()).unwrap();
    }
    let installation = case.find().unwrap();
    assert_eq!(servers(&installation)[0], "seafile_db db:3306 seafile fakepw15");
    assert_eq!(installation.conf_dir, Some(case.root().join("shared/seafile/conf")));
}
