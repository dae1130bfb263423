//! Configuration and data outside of the top folder.

use super::*;

#[test]
fn c01_a_debian_package_keeps_its_configuration_in_etc() {
    let data = "var/lib/seafile/seafile-data";
    let case = Case::new("01-debian-package", "etc/..", data, &[]);
    let case = Case { source: case.root().join("var/lib/seafile"), ..case };
    let installation = case.find().unwrap();
    assert_eq!(
        servers(&installation),
        [
            "seafile_db 127.0.0.1:3306 seafile fake-pw-01",
            "ccnet_db 127.0.0.1:3306 seafile fake-pw-01",
            "seahub_db 127.0.0.1:3306 seafile fake-pw-01",
        ]
    );
    assert_eq!(installation.layout, InstallationLayout::Apart);
    assert_eq!(installation.conf_dir, Some(case.root().join("etc/seafile")));
    assert_eq!(installation.data_dir, case.root().join(data));
    assert!(!texts(&installation).contains(".env"), "{}", texts(&installation));
    let lines = lines(&installation).join("\n");
    assert!(lines.contains("etc/seafile/seafile.env:5"), "{lines}");

    // The objects lie elsewhere, as the file says.
    case.make("srv/objects/storage/commits");
    let env = case.root().join("etc/seafile/seafile.env");
    let text = fs::read_to_string(&env).unwrap();
    let text = text.replace("/var/lib/seafile/seafile-data", "/srv/objects");
    fs::write(&env, text).unwrap();
    assert_eq!(case.find().unwrap().data_dir, case.root().join("srv/objects"));
}

/// Each of the two pieces of evidence is enough: a file that names the top folder, or the same name
/// in `/etc` and `/var/lib`.
#[test]
fn c01_one_tie_to_the_configuration_is_enough() {
    for is_named in [false, true] {
        let (top, name) =
            if is_named { ("srv/cloud", "haiwen") } else { ("var/lib/seafile", "seafile") };
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        let (top, etc) = (root.join(top), root.join("etc").join(name));
        fs::create_dir_all(top.join("seafile-data/storage/commits")).unwrap();
        fs::create_dir_all(&etc).unwrap();
        fs::write(etc.join("seafile.conf"), "[database]\ntype = mysql\nhost = db\n").unwrap();
        let variables = if is_named { "HOME=/srv/cloud\n" } else { "X=1\n" };
        fs::write(etc.join("seafile.env"), variables).unwrap();
        let installation = discover(&top, &Environment::default()).unwrap();
        assert_eq!(installation.conf_dir, Some(etc), "named: {is_named}");
    }
}

#[test]
fn c01_options_mean_mysql_whatever_else_is_there() {
    let case = Case::new("01-debian-package", "etc/..", "var/lib/seafile/seafile-data", &[]);
    let top = case.root().join("var/lib/seafile");
    fs::remove_dir_all(case.root().join("etc")).unwrap();
    let with = |overrides: DatabaseOverrides| {
        discover(&top, &Environment::default().with_overrides(overrides))
    };
    let installation = with(host("sql")).unwrap();
    assert_eq!(servers(&installation)[0], "seafile_db sql:3306  ");
    assert_eq!(installation.layout, InstallationLayout::Unknown);
    let socket = Some("/run/mysqld.sock".to_owned());
    let by_socket = with(DatabaseOverrides { socket, ..DatabaseOverrides::default() });
    assert_eq!(servers(&by_socket.unwrap())[2], "seahub_db /run/mysqld.sock  ");
    for overrides in [
        DatabaseOverrides { user: Some("x".to_owned()), ..DatabaseOverrides::default() },
        DatabaseOverrides {
            names: vec![(DatabaseRole::Seafile, "x".to_owned())],
            ..DatabaseOverrides::default()
        },
    ] {
        let text = complaint(with(overrides));
        assert!(text.contains("host of the MySQL server is missing"), "{text}");
        assert!(text.contains("--database-host"), "{text}");
    }
    let text = complaint(with(DatabaseOverrides::default()));
    assert!(text.contains("--env-file") && text.contains("--database-host"), "{text}");
}

#[test]
fn c01_a_configuration_that_nothing_ties_to_the_data_is_named_only() {
    let case = Case::new("01-debian-package", "etc/..", "srv/cloud/objects", &[]);
    let top = case.root().join("srv/cloud");
    let text = complaint(discover(&top, &Environment::default()));
    assert!(text.contains("srv/cloud/objects"), "{text}");
    assert!(text.contains("--data-dir") && text.contains("--conf-dir"), "{text}");
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
    let data = installation.findings.iter().find(|found| found.what == "data folder");
    assert_eq!(data.unwrap().sure, Certainty::Given);

    let empty = SourceOptions { conf_dir: Some(top.clone()), ..options.clone() };
    let text = complaint(discover(&top, &Environment::default().with_options(empty)));
    assert!(text.contains("has none of seafile.conf"), "{text}");
    let away = SourceOptions { data_dir: Some(top.join("away")), ..options };
    let text = complaint(discover(&top, &Environment::default().with_options(away)));
    assert!(text.contains("srv/cloud/away (--data-dir)"), "{text}");
}

#[test]
fn c02_nixos_has_another_name_for_the_data_folder() {
    let case = Case::new("02-nixos-mysql", "var/lib/seafile", "var/lib/seafile/data", &[]);
    let installation = case.find().unwrap();
    let socket = "/run/mysqld/mysqld.sock seafile ";
    let names = ["seafile_db", "ccnet_db", "seahub_db"];
    assert_eq!(servers(&installation), names.map(|name| format!("{name} {socket}")));
    assert_eq!(installation.data_dir, case.root().join("var/lib/seafile/data"));
    assert_eq!(installation.program_version.as_deref(), Some("11.0.12"));
    assert_eq!(installation.layout, InstallationLayout::Apart);
    assert_eq!(installation.warnings, []);
    let links: Vec<_> = installation.links.iter().map(|link| link.path.clone()).collect();
    assert_eq!(links, [PathBuf::from("seafile-data"), "conf".into()]);

    // With two data folders, nothing says which is the right one.
    case.make("var/lib/seafile/old/storage/commits");
    let text = complaint(case.find());
    assert!(text.contains("seafile/data and") && text.contains("--data-dir"), "{text}");
}
