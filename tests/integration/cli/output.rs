//! Output that cannot be written: a full disk behind `>`, a pipe that nobody reads any more.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use seawall_test_servers::wait;

use super::{Ran, User};
use crate::support::example;

fn full() -> Stdio {
    Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap())
}

/// A pipe whose reader is gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    Stdio::from(writer)
}

fn into(mut command: Command, stdout: Stdio) -> Ran {
    let what = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(stdout);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    Ran::of(wait::output_of(child, &what))
}

#[test]
fn a_result_that_cannot_be_written_is_no_success() {
    let (user, source) = (User::new(), example());
    let path = source.to_str().unwrap();
    user.backup(&source).succeeds();
    let target = user.path("restored");
    let verbs: [&[&str]; 14] = [
        &["init"],
        &["backup", path],
        &["backup", path, "--dry-run"],
        &["snapshots"],
        &["libraries"],
        &["restore", "latest", "--target", target.to_str().unwrap()],
        &["check"],
        &["check", "--read-data"],
        &["verify", path],
        &["status"],
        &["doctor", path],
        &["damage", "list"],
        &["key", "list"],
        &["key", "sheet"],
    ];
    for verb in verbs {
        for more in [&[][..], &["--json"]] {
            let typed = [verb, more].concat();
            std::fs::remove_dir_all(&target).ok();
            into(user.command(&typed), full()).fails(
                1,
                &["cannot write the result", "No space left", "the work itself was finished"],
            );
            std::fs::remove_dir_all(&target).ok();
            let unread = into(user.command(&typed), closed());
            std::fs::remove_dir_all(&target).ok();
            if more.is_empty() {
                assert_eq!(unread.status, user.run(&typed).status, "{typed:?}: {}", unread.stderr);
                assert!(!unread.stderr.contains("cannot write"), "{}", unread.stderr);
            } else {
                unread.fails(1, &["cannot write the result"]);
            }
        }
    }
    for help in [&["--help"][..], &["--version"], &["backup", "--help"]] {
        into(user.command(help), full()).fails(1, &["cannot write"]);
    }
}
