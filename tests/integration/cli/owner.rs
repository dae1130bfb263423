//! `restore --owner`: users and groups of this machine, of a directory, and numbers.

use std::fs;

use seawall_test_servers::wait;

use super::{Ran, User, example};

/// A command on a machine whose users and groups come from a directory, as LDAP's do: they stand in no
/// `/etc/passwd`. Debian's package libnss-wrapper answers the system's calls in the directory's place.
fn with_a_directory(user: &User, arguments: &[&str]) -> Ran {
    let passwd = user.path("directory-users");
    let group = user.path("directory-groups");
    fs::write(&passwd, "ldap-seafile:x:70123:70124::/nonexistent:/bin/false\n").unwrap();
    fs::write(&group, "ldap-storage:x:70125:\n").unwrap();
    let mut command = user.command(arguments);
    command
        .env("LD_PRELOAD", "libnss_wrapper.so")
        .env("NSS_WRAPPER_PASSWD", passwd)
        .env("NSS_WRAPPER_GROUP", group);
    Ran::of(wait::output(&mut command))
}

#[test]
fn owners_are_whom_the_machine_knows() {
    let user = User::new();
    user.backup(&example()).succeeds();
    let restore = |owner: &str| {
        let arguments = ["restore", "latest", "--target", "new", "--dry-run", "--owner", owner];
        with_a_directory(&user, &arguments)
    };
    for owner in ["ldap-seafile", "ldap-seafile:ldap-storage", "8000:ldap-storage", "8000:8000"] {
        assert_eq!(restore(owner).succeeds().matches("lost").count(), 0, "{owner}");
    }
    restore("nobody-at-all")
        .fails(1, &["this machine knows no user \"nobody-at-all\"", "id -u seafile"]);
    restore("8000:ldap-seafile")
        .fails(1, &["this machine knows no group \"ldap-seafile\"", "getent group"]);
    restore(":ldap-storage").fails(1, &["knows no user \"\""]);
    restore("4294967296").fails(1, &["knows no user \"4294967296\""]);
}
