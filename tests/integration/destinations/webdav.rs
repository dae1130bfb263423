//! WebDAV, with rclone: a destination that overwrites.

use seawall_test_servers::rclone::Rclone;

use super::{Place, Writes, whole_way};
use crate::cli::User;

#[test]
fn rclone() {
    let server = Rclone::serve("webdav", &["--user", "me", "--pass", "hunter2"]);
    let files = tempfile::tempdir().unwrap();
    let password = files.path().join("password");
    std::fs::write(&password, "hunter2\n").unwrap();
    let url = format!("webdav://me@127.0.0.1:{}/backups/of%20ours", server.port);
    let place = Place::new(url).with(&["--password-file", password.to_str().unwrap()]);
    let user = User::new();
    let plain = place.run(&user, &["init"]);
    plain.fails(1, &["--plain-http"]);
    let place = place.with(&["--plain-http"]);
    std::fs::write(&password, "wrong-one\n").unwrap();
    let refused = place.run(&user, &["init"]);
    refused.fails(1, &["permission denied"]);
    assert!(!refused.stderr.contains("wrong-one"), "{}", refused.stderr);
    std::fs::write(&password, "hunter2\n").unwrap();
    whole_way(&place, Writes::Weak);
}
