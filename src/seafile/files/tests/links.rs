//! Links that lead out of the installation.

use super::*;

/// Moves something to another disk and leaves a link, as administrators do.
fn move_out(installation: &Installation, path: &str) -> PathBuf {
    let target = installation.outside("disk").join(path.replace('/', "_"));
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::rename(installation.path(path), &target).unwrap();
    symlink(&target, installation.path(path)).unwrap();
    fs::canonicalize(target).unwrap()
}

/// What the scan reports about links, each as `path -> target`.
fn told(scan: &FileScan) -> Vec<String> {
    let told = |warning: &FileWarning| match &warning.kind {
        FileWarningKind::LeadsOut { target } => {
            assert!(warning.kind.is_incomplete());
            assert!(warning.kind.to_string().starts_with("content not in the backup"));
            Some(format!("{} -> {}", warning.path.display(), target.display()))
        }
        _ => None,
    };
    scan.warnings.iter().filter_map(told).collect()
}

#[test]
fn what_lies_elsewhere_at_known_places_is_stored_in_its_place() {
    let expected = Installation::new();
    expected.write("md-data/v1/tags.bin", "tags");
    expected.write("conf/.env", "A=1");
    expected.write("ccnet/GroupMgr/groupmgr.db", "groups");
    expected.write("seafile-data/current_version", "11");
    expected.write("notification-data/x", "x");
    let installation = Installation::new();
    installation.write("md-data/v1/tags.bin", "tags");
    installation.write("conf/.env", "A=1");
    installation.write("ccnet/GroupMgr/groupmgr.db", "groups");
    installation.write("seafile-data/current_version", "11");
    installation.write("notification-data/x", "x");
    let mut targets = Vec::new();
    for path in [
        "md-data",
        "notification-data",
        "seafile-license.txt",
        "conf/.env",
        "conf/seafile.conf",
        "ccnet/GroupMgr",
        "seahub-data/avatars",
        "seahub-data/loose",
        "seafile-data/current_version",
        "seafile-data/library-template",
    ] {
        targets.push(move_out(&installation, path));
    }
    // The program's own link leads to the avatars, which are stored already.
    fs::create_dir_all(installation.path("seafile-server-2/seahub/media")).unwrap();
    symlink(
        "../../../seahub-data/avatars",
        installation.path("seafile-server-2/seahub/media/avatars"),
    )
    .unwrap();
    let scan = installation.scan();
    let mut lines = listing(&scan);
    lines.retain(|line| !line.contains("seahub/media"));
    let mut wanted = listing(&expected.scan());
    wanted.retain(|line| !line.contains("seahub/media"));
    assert_eq!(lines, wanted);
    assert_eq!(scan.warnings, []);
    let mut followed: Vec<PathBuf> =
        known_links(&installation.options()).unwrap().into_iter().map(|link| link.target).collect();
    followed.sort();
    targets.sort();
    assert_eq!(followed, targets);
}

#[test]
fn links_in_what_a_followed_link_leads_to_are_followed_at_known_places_too() {
    let installation = Installation::new();
    let avatars = move_out(&installation, "seahub-data/avatars");
    move_out(&installation, "seahub-data");
    let middle = installation.outside("middle");
    symlink(&avatars, &middle).unwrap();
    let link = fs::canonicalize(installation.path("seahub-data")).unwrap().join("avatars");
    fs::remove_file(&link).unwrap();
    symlink(&middle, &link).unwrap();
    let scan = installation.scan();
    assert_eq!(listing(&scan), listing(&Installation::new().scan()));
    assert_eq!(scan.warnings, []);
}

#[test]
fn other_links_that_lead_out_are_told() {
    let installation = Installation::new();
    let target = |name: &str| {
        write(&installation.outside(name).join("x"), "content");
        fs::canonicalize(installation.outside(name)).unwrap()
    };
    let deep = target("deep");
    let archive = target("archive");
    let folder = target("folder");
    fs::create_dir_all(installation.path("seahub-data/custom/a")).unwrap();
    symlink(&deep, installation.path("seahub-data/custom/a/deep")).unwrap();
    symlink(archive.join("x"), installation.path("archive")).unwrap();
    symlink(&folder, installation.path("conf/folder")).unwrap();
    let scan = installation.scan();
    assert_eq!(
        told(&scan),
        [
            format!("archive -> {}/x", archive.display()),
            format!("conf/folder -> {}", folder.display()),
            format!("seahub-data/custom/a/deep -> {}", deep.display()),
        ]
    );
    assert!(listing(&scan).contains(&"conf: conf/folder@".to_owned()));
    let reason = "a link out of the installation: its content is not in the backup";
    assert!(left_out(&scan).contains(&format!("archive: {reason} (1)")));

    // It is not reported if another path stores it, or if the user excludes it.
    let mut options = installation.options();
    options.also = vec![deep, folder.join("x")];
    options.excludes = vec!["archive".to_owned()];
    let left = super::scan(&options).unwrap();
    assert_eq!(told(&left), [format!("conf/folder -> {}", folder.display())]);
}

#[test]
fn links_without_content_are_no_news() {
    let installation = Installation::new();
    let socket = installation.outside("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    for (path, target) in [
        ("conf/old", "/nonexistent/conf"),
        ("conf/circle", "circle"),
        ("conf/socket", socket.to_str().unwrap()),
        ("conf/null", "/dev/null"),
        ("conf/python3", "/bin/sh"),
        ("conf/inside", "../seahub-data"),
        ("conf/data", "../seafile-data/storage"),
        ("logs-of-nginx", "/proc/self"),
    ] {
        symlink(target, installation.path(path)).unwrap();
    }
    fs::remove_dir_all(installation.path("logs")).unwrap();
    let logs = installation.outside("logs");
    fs::create_dir(&logs).unwrap();
    symlink(logs, installation.path("logs")).unwrap();
    let scan = installation.scan();
    assert_eq!(scan.warnings, []);
}

#[test]
fn a_disk_that_is_not_there_is_told() {
    let installation = Installation::new();
    symlink("/nonexistent/md-data", installation.path("md-data")).unwrap();
    let scan = installation.scan();
    assert_eq!(scan.warnings.len(), 1);
    assert_eq!(scan.warnings[0].kind, FileWarningKind::BrokenLink);
    assert!(scan.warnings[0].kind.is_incomplete());
}

#[test]
fn a_link_to_everything_is_told_and_not_followed() {
    let installation = Installation::new();
    for path in ["md-data", "seahub-data/all", "conf/up"] {
        symlink("/", installation.path(path)).unwrap();
    }
    fs::remove_dir_all(installation.path("ccnet")).unwrap();
    symlink(installation.folder.path(), installation.path("ccnet")).unwrap();
    let mut options = installation.options();
    // Discovery names this link.
    options.followed_links = vec![PathBuf::from("ccnet")];
    let scan = super::scan(&options).unwrap();
    let above = fs::canonicalize(installation.folder.path()).unwrap();
    assert_eq!(
        told(&scan),
        [
            format!("ccnet -> {}", above.display()),
            "conf/up -> /".to_owned(),
            "md-data -> /".to_owned(),
            "seahub-data/all -> /".to_owned(),
        ]
    );
    assert!(listing(&scan).contains(&"top level: md-data@".to_owned()));
}

/// The target of such a link would be stored twice, with the objects in it.
#[test]
fn a_link_to_a_folder_that_holds_another_stored_place_is_told_and_not_followed() {
    let installation = Installation::new();
    installation.write("md-data/v1/tags.bin", "tags");
    move_out(&installation, "md-data");
    let disk = fs::canonicalize(installation.outside("disk")).unwrap();
    symlink(&disk, installation.path("notification-data")).unwrap();
    let mut options = installation.options();
    options.followed_links = vec![PathBuf::from("md-data")];
    let scan = super::scan(&options).unwrap();
    assert_eq!(told(&scan), [format!("notification-data -> {}", disk.display())]);
    assert!(listing(&scan).contains(&"top level: notification-data@".to_owned()));
}

#[test]
fn a_link_that_is_excluded_is_neither_followed_nor_told() {
    let installation = Installation::new();
    installation.write("md-data/v1/tags.bin", "tags");
    move_out(&installation, "md-data");
    let mut options = installation.options();
    assert_eq!(known_links(&options).unwrap().len(), 1);
    options.excludes = vec!["md-data".to_owned()];
    assert_eq!(known_links(&options).unwrap(), []);
    let scan = super::scan(&options).unwrap();
    assert_eq!(told(&scan), [] as [String; 0]);
    assert!(!listing(&scan).iter().any(|line| line.contains("tags.bin")));
}
