//! What a server is asked to do, as OpenSSH's own writes it down.

use std::collections::HashMap;

use seawall_test_servers::process::program;

use super::*;

/// A server that notes each request.
struct Noted {
    sshd: Sshd,
    notes: PathBuf,
    _kept: TempDir,
}

impl Noted {
    fn start() -> Self {
        let kept = TempDir::new().unwrap();
        let (script, notes) = (kept.path().join("start"), kept.path().join("notes"));
        let server = program("sftp-server", "openssh-sftp-server");
        let text = format!("exec {} -e -l DEBUG3 2>>{}\n", server.display(), notes.display());
        std::fs::write(&script, text).unwrap();
        let sshd = Sshd::start(&Setup {
            subsystem: format!("/bin/sh {}", script.display()),
            ..Setup::default()
        });
        Self { sshd, notes, _kept: kept }
    }

    /// The requests since the last time, one word each; those with a handle say whether it is of a
    /// new file or of something that was there.
    fn take(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.notes).unwrap();
        std::fs::write(&self.notes, "").unwrap();
        let mut requests = Vec::new();
        let mut handles = HashMap::new();
        let mut opened = "";
        for line in text.lines() {
            let after = line.split_once("request ").and_then(|(_, after)| {
                let (number, request) = after.split_once(": ")?;
                number.parse::<u32>().ok().map(|_| request)
            });
            let Some(request) = after else { continue };
            let word = request.split(' ').next().unwrap();
            let handle = request.split_once("handle ").map(|(_, after)| after);
            if let Some(handle) = request.strip_prefix("sent handle handle ") {
                handles.insert(handle.to_owned(), opened);
            } else if let Some(flags) = request.strip_prefix("open flags ") {
                // To write, made by this, and only by this.
                opened = if flags == "42" { "new" } else { "old" };
                requests.push(format!("open {opened}"));
            } else if let Some(handle) = handle.filter(|_| word != "sent") {
                let handle = handle.split([')', ' ']).next().unwrap();
                requests.push(format!("{word} {}", handles[handle]));
            } else if word != "sent" {
                requests.push(word.to_owned());
            }
        }
        requests
    }
}

/// With `fsync@openssh.com` offered; and the plain rename, never the one that replaces.
#[test]
fn a_file_is_synced_before_it_has_its_name_and_its_folder_after() {
    let noted = Noted::start();
    let mut access = Access::new(&noted.sshd, noted.sshd.port);
    access.options.connections = std::num::NonZeroUsize::new(1);
    let client = access.open();
    noted.take();
    // The folder that the new one is in is synced too.
    let new_folder = ["lstat", "mkdir", "open old", "fsync old", "close old"];
    let publishing = ["fsync new", "close new", "rename", "fsync old", "close old"];
    let opening = ["lstat", "open new", "open old"];
    client.put_new(&key("a/first"), b"x").unwrap();
    let wanted = [&new_folder[..], &opening, &["write new"], &publishing].concat();
    assert_eq!(noted.take(), wanted);
    // All that is written is synced.
    client.put_new(&key("a/second"), &[1; 5 * 32 * 1024]).unwrap();
    let wanted = [&opening[..], &["write new"; 5], &publishing].concat();
    assert_eq!(noted.take(), wanted);
    // That a name is taken is settled, so that who relies on it can.
    let again = client.put_new(&key("a/first"), b"y").unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let refusing = ["close new", "remove", "fsync old", "close old"];
    assert_eq!(noted.take(), [&opening[..], &refusing].concat());
    client.delete(&key("a/first")).unwrap();
    let wanted = ["lstat", "remove", "open old", "fsync old", "close old"];
    assert_eq!(noted.take(), wanted);
    // Another client does not know that the folder was synced by who made it.
    let other = access.open();
    noted.take();
    other.put_new(&key("a/third"), b"x").unwrap();
    let wanted = ["lstat", "open old", "fsync old", "close old"];
    let wanted = [&wanted[..], &opening, &["write new"], &publishing].concat();
    assert_eq!(noted.take(), wanted);
}
