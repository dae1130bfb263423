//! The recovery sheet: what to keep away from the host that is backed up, on paper if possible.

use std::fmt::Write as _;

use super::{CommandError, Global};
use crate::host::{Audience, Writing};
use crate::object::Sha256;
use crate::place::{absolute, shell};
use crate::repository;

/// The sheet of this host and repository, ready to print.
pub(super) fn recovery_sheet(joined: &Writing, global: &Global) -> Result<String, CommandError> {
    let place = joined.place();
    let url = if place.contains("://") {
        place.to_owned()
    } else {
        absolute(place.as_ref()).display().to_string()
    };
    let reached = if seawall_backends::local_path(place).is_some() {
        ""
    } else {
        "
to reach it        a login or access key for that server: keep one that does not die with this host"
    };
    let key = joined.host_key().verifying();
    let wrapped = joined.wrapped();
    let readers = joined.readers()?;
    let who = who(&readers, joined);
    let identity = match (readers.recipients.is_empty(), wrapped) {
        (true, _) => "",
        (false, []) => " -i IDENTITY-FILE",
        (false, _) => " [-i IDENTITY-FILE]",
    };
    let mut keys = String::new();
    for wrapped in wrapped {
        let text = String::from_utf8_lossy(&wrapped.bytes);
        // Writing to a String cannot fail.
        let _ = write!(
            keys,
            "\n{}, which only its passphrase opens (write it to a file for -i if the repository has lost it):\n\n{text}",
            wrapped.key
        );
    }
    let words = global.reaching.words_elsewhere();
    let word = format!("{}{words}", shell(&url));
    let files = if words.contains("-FILE") {
        "
In capitals: files that may be on this host alone. Keep copies elsewhere."
    } else {
        ""
    };
    let page = if joined.has_page()? {
        format!(
            "Without seawall: print restore-by-hand.md, which lies in the repository, and keep it with
this sheet. It needs sha256sum, zstd, tar and sqlite3 (and age, if it is encrypted).
Its sha256 is {}",
            Sha256::of(repository::PAGE.as_bytes())
        )
    } else {
        "Without seawall: docs/restore-by-hand.md of its source says how. Print it, and keep it with
this sheet."
            .to_owned()
    };
    Ok(format!(
        "RECOVERY SHEET - keep it away from the server, on paper if you can

repository         {url}
repository id      {id}
verification key   {key}
recipients         {who}{reached}

On restore day, on any machine that can read the repository:

  seawall -r {word} --trust '{key}' snapshots
  seawall -r {word} --trust '{key}'{identity} restore latest --target /srv/haiwen
  seawall verify /srv/haiwen
{files}
If the databases were on MySQL or MariaDB, restore and load them into an empty server, instead of these two:

  seawall -r {word} --trust '{key}'{identity} restore latest --target /srv/haiwen \\
    --import-databases --database-host HOST --database-user USER --database-password-file FILE

HOST is the new server. Then run the `seawall verify` line that this prints.

{page}
Made by seawall {version}.
{keys}",
        version = env!("CARGO_PKG_VERSION"),
        id = joined.id(),
    )
    .trim_end()
    .to_owned())
}

/// Who can open what, one a line.
fn who(readers: &Audience, joined: &Writing) -> String {
    if readers.recipients.is_empty() {
        return "none: this repository is not encrypted".to_owned();
    }
    let of = |recipient: &str| match joined.wrapped_key_of(recipient) {
        Some(key) => format!("{recipient}\n                     = {key} and its passphrase"),
        None => recipient.to_owned(),
    };
    let mut lines: Vec<String> = Vec::new();
    for recipient in &readers.recipients {
        lines.push(of(recipient));
        if readers.is_partly(recipient) {
            lines.push("  opens only what was stored since it was added".to_owned());
        }
    }
    for recipient in readers.of_before() {
        lines.push(of(recipient));
        lines.push("  KEEP IT: opens what was stored until it was removed".to_owned());
    }
    if readers.of_all().count() == 0 {
        lines.push("No key alone opens everything: give all of them, each with -i".to_owned());
    }
    lines.join("\n                   ")
}
