//! A folder on a file system that can do less than those of disks. A FAT that is mounted would need rights and a kernel
//! that machines for tests lack: strace gives the program the errors of one.

use std::path::PathBuf;
use std::process::Command;

use seawall_test_servers::wait;

use crate::cli::{Ran, User};
use crate::support::{Source, files_below};

/// The folders of a repository.
const FOLDERS: [&str; 12] = [
    "",
    "databases",
    "keys",
    "markers",
    "data",
    "data/blocks",
    "data/files",
    "data/index",
    "data/lists",
    "data/manifests",
    "data/runs",
    "data/trees",
];

/// Runs seawall where the repository lies on a disk without hard links and without a rename that replaces nothing, with
/// the errors that FAT and exFAT give. Everything else lies on another disk.
fn on_fat(user: &User, arguments: &[&str]) -> Ran {
    let plain = user.command(arguments);
    let mut command = Command::new("strace");
    for folder in FOLDERS {
        // Without a slash at its end, as the kernel names it.
        let path = user.repository().join(folder);
        command.arg("-P").arg(path.components().collect::<PathBuf>());
    }
    command
        .args(["-f", "-qq", "-o", "/dev/null"])
        .args(["-e", "inject=renameat2:error=EINVAL"])
        .args(["-e", "inject=linkat:error=EPERM"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear()
        .current_dir(user.home());
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap());
    }
    Ran::of(wait::output(&mut command))
}

#[test]
fn without_exclusive_names_a_folder_is_refused_and_used_where_that_is_accepted() {
    let (user, source) = (User::new(), Source::example());
    let path = source.path.to_str().unwrap();
    let text = "can neither rename without replacing nor make hard links";
    for refused in [&["init"][..], &["backup", path, "--init"]] {
        on_fat(&user, refused).fails(1, &[text, "--accept-weak-writes"]);
        let made = user.repository();
        assert!(!made.exists() || files_below(&made).is_empty());
    }
    on_fat(&user, &["init", "--accept-weak-writes"]).succeeds();
    for night in 0..2 {
        let ran = on_fat(&user, &["backup", path]);
        ran.succeeds();
        assert!(ran.stderr.contains("cannot refuse to overwrite"), "night {night}: {}", ran.stderr);
    }
    let names = files_below(&user.repository());
    let is_left = |name: &PathBuf| name.to_string_lossy().contains(".seawall-");
    assert_eq!(names.iter().filter(|name| is_left(name)).count(), 0);
    let doctor = on_fat(&user, &["doctor", path]);
    assert!(
        doctor.stdout.contains("overwrites what it has, which was accepted"),
        "{}{}",
        doctor.stdout,
        doctor.stderr
    );
    on_fat(&user, &["check", "--read-data"]).succeeds();
    let target = user.path("restored");
    let target = target.to_str().unwrap();
    user.run(&["restore", "latest", "--target", target]).succeeds();
    user.run(&["verify", target]).succeeds();
    // What was accepted is not done where it is not needed.
    let ran = user.run(&["backup", path]);
    ran.succeeds();
    assert!(!ran.stderr.contains("overwrite"), "{}", ran.stderr);
}
