//! What is read before anything is authenticated: keys, and the headers of what is sealed.

use std::sync::OnceLock;

use seawall::crypt::{Identities, Recipients};

/// A key that nothing was sealed to but what is made here.
fn key() -> &'static (Identities, Recipients) {
    static KEY: OnceLock<(Identities, Recipients)> = OnceLock::new();
    KEY.get_or_init(|| {
        let (secret, public) = Identities::generate();
        let identities = Identities::read(secret.as_bytes(), "new", &mut |_| None);
        let recipients = Recipients::parse(&public);
        (identities.expect("a key"), recipients.expect("its half"))
    })
}

/// Identity files: none of them opens what is sealed to another.
pub fn identity(data: &[u8]) {
    let (_, recipients) = key();
    if let Ok(identities) = Identities::read(data, "data", &mut |_| None) {
        let sealed = recipients.seal(None, b"text").expect("it is sealed");
        assert!(identities.open(&sealed).is_err());
    }
}

/// Recipients: what is taken is written again, and is the same.
pub fn recipients(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(recipients) = Recipients::parse(&text) {
        let lines: Vec<&str> = recipients.texts().collect();
        let again = Recipients::parse(&lines.join("\n")).expect("it was read");
        assert_eq!(again, recipients);
    }
}

/// Sealed files, whole and by ranges: bytes of others are refused, and both say the same.
pub fn sealed(data: &[u8]) {
    let (identities, _) = key();
    assert!(identities.open(data).is_err());
    let mut fetch = |range: std::ops::Range<u64>| {
        let part = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let part = part.and_then(|(start, end)| data.get(start..end));
        part.map(<[u8]>::to_vec).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    };
    let range = 0..(data.len() as u64).min(1);
    assert!(identities.open_range(data.len() as u64, range, &mut fetch).is_err());
}
