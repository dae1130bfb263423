//! Names and places of stored things.

use seawall_backends::ssh::{KnownHosts, Settings};
use seawall_backends::{ErrorKind, Key, ParsedUrl};

use crate::{pieces, text};

/// Keys: what is accepted is the same text, and safe as a path on any file system.
pub fn key(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(key) = Key::parse(text) {
        assert_eq!(key.as_str(), text);
        assert!(text.len() <= Key::MAX_LEN && text.is_ascii());
        for name in text.split('/') {
            assert!(!name.is_empty() && !name.starts_with('.'), "{text:?}");
        }
    }
}

/// URLs of destinations: no message tells more of one than its scheme.
pub fn url(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Err(error) = ParsedUrl::parse(text) {
        assert_eq!(error.kind(), ErrorKind::Invalid);
        if let Some((_, rest)) = text.split_once("://")
            && rest.len() > 40
        {
            assert!(!format!("{error:?}").contains(rest));
        }
    }
}

/// The SSH configuration: a host, what is said of it, and a file that is included.
pub fn ssh_config(data: &[u8]) {
    let [host, config, included] = pieces(data);
    let (Some(host), Some(config), Some(included)) = (text(host), text(config), text(included))
    else {
        return;
    };
    let mut left = 64;
    let mut include = |_: &str| {
        if left == 0 {
            return Vec::new();
        }
        left -= 1;
        vec![included.to_owned()]
    };
    let mut settings = Settings::default();
    match settings.read(config, host, &mut include) {
        Ok(()) => {
            assert_ne!(settings.port, Some(0));
            assert_ne!(settings.host_name.as_deref(), Some(""));
            assert_ne!(settings.user.as_deref(), Some(""));
        }
        Err(bad) => assert!(bad.number > 0),
    }
}

/// Known hosts: a key that nobody wrote down is known to nobody.
pub fn known_hosts(data: &[u8]) {
    let [host, file] = pieces(data);
    let (Some(host), Some(file)) = (text(host), text(file)) else {
        return;
    };
    let mut known = KnownHosts::default();
    known.read("known_hosts", file);
    for port in [22, 2222] {
        // Every key that the file has of a host, and only these.
        let kinds = known.algorithms(host, port);
        let lines = file.lines().count();
        assert!(kinds.len() <= lines);
    }
}
