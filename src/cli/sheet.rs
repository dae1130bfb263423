//! The recovery sheet: what to keep away from the host that is backed up, on paper if possible.

use super::Global;
use super::place::{Joined, absolute};
use crate::repository::place::shell;

/// The sheet of this host and repository, ready to print.
pub(super) fn recovery_sheet(joined: &Joined, global: &Global) -> String {
    let place = joined.repository.place();
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
    let key = joined.host_key.verifying();
    let recipients = joined.repository.recipients();
    let (recipients, identity) = if recipients.is_empty() {
        ("none: this repository is not encrypted".to_owned(), "")
    } else {
        let all = recipients.join("\n                   ");
        (all, " -i IDENTITY-FILE")
    };
    let word = format!("{}{}", shell(&url), global.reaching.words());
    format!(
        "RECOVERY SHEET - keep it away from the server, on paper if you can

repository         {url}
repository id      {id}
verification key   {key}
recipients         {recipients}{reached}

On restore day, on any machine that can read the repository:

  seawall -r {word} --trust '{key}' snapshots
  seawall -r {word} --trust '{key}'{identity} restore latest --target /srv/haiwen
  seawall verify /srv/haiwen

Without seawall: docs/restore-by-hand.md (sha256sum, zstd, tar, sqlite3).",
        id = joined.repository.id(),
    )
}
