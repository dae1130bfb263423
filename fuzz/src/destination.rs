//! Names and places of stored things.

use seawall_backends::{Destination, ErrorKind, Key};

use crate::text;

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
    if let Err(error) = Destination::parse(text) {
        assert_eq!(error.kind(), ErrorKind::Invalid);
        if let Some((_, rest)) = text.split_once("://")
            && rest.len() > 40
        {
            assert!(!format!("{error:?}").contains(rest));
        }
    }
}
