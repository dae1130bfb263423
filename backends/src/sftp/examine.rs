//! What a person should know of an SFTP server.

use super::Server;
use super::publish::SftpPublishing;
use super::session::Session;
use crate::{Error, Result, SettingFinding, Weight};

/// Below this much free space a backup of any size is in danger.
const LITTLE_BYTES: u64 = 1 << 30;
/// Below this part of the disk, as a divisor: 5 %.
const LITTLE_PART: u64 = 20;

/// Asks the server.
pub(super) async fn examine(server: &Server, session: &Session) -> Result<Vec<SettingFinding>> {
    let software = server.pool.software();
    let offers = session.offers;
    let mut findings = vec![SettingFinding {
        about: "server",
        weight: Weight::Note,
        text: format!("{} is {software}", server.pool.name()),
        next: None,
    }];
    findings.push(match server.publishing(session) {
        SftpPublishing::Rename => SettingFinding {
            about: "overwriting",
            weight: Weight::Good,
            text: "this server refuses to rename over a name that is taken, where its file system has hard links".to_owned(),
            next: None,
        },
        SftpPublishing::LinkOrRename => SettingFinding {
            about: "overwriting",
            weight: Weight::Note,
            text: "what this server does with a name that is taken is only known by trying".to_owned(),
            next: None,
        },
    });
    findings.push(if offers.sync {
        SettingFinding {
            about: "durability",
            weight: Weight::Good,
            text: "what is written is synced (fsync@openssh.com)".to_owned(),
            next: None,
        }
    } else {
        SettingFinding {
            about: "durability",
            weight: Weight::Note,
            text: "the server does not sync on demand: what was written last may be lost in its power cut".to_owned(),
            next: Some("run check after a power cut of the server".to_owned()),
        }
    });
    findings.push(if offers.replacing_rename {
        SettingFinding {
            about: "append-only",
            weight: Weight::Note,
            text: "who has this login can remove and replace what is stored".to_owned(),
            next: Some("see the documentation of append-only SFTP (internal-sftp -P …), and snapshots of the server's file system".to_owned()),
        }
    } else {
        SettingFinding {
            about: "append-only",
            weight: Weight::Note,
            text: "the server does not offer posix-rename: it may forbid more than that, which only a try would show".to_owned(),
            next: None,
        }
    });
    findings.push(space(server, session).await?);
    Ok(findings)
}

async fn space(server: &Server, session: &Session) -> Result<SettingFinding> {
    let folder = server.place.folder();
    let asked = session.space(folder).await;
    let space = asked.map_err(|failed| failed.into_error(folder))?;
    let Some(space) = space else {
        return Ok(SettingFinding {
            about: "space",
            weight: Weight::Note,
            text: "the server does not tell how much space is left".to_owned(),
            next: None,
        });
    };
    let all = space.blocks.saturating_mul(space.fragment_size);
    let free = space.blocks_avail.saturating_mul(space.fragment_size);
    let is_little = free < LITTLE_BYTES || free < all / LITTLE_PART;
    Ok(SettingFinding {
        about: "space",
        weight: if is_little { Weight::Bad } else { Weight::Good },
        text: format!("{} of {} are free", shown(free), shown(all)),
        next: is_little.then(|| "make room before the next backup".to_owned()),
    })
}

fn shown(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20)];
    let unit = UNITS.iter().find(|(_, size)| bytes >= *size);
    match unit {
        Some((name, size)) => format!("{}.{} {name}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} bytes"),
    }
}

/// What could not be asked.
pub(super) fn not_asked(error: &Error) -> SettingFinding {
    use std::error::Error as _;
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    SettingFinding {
        about: "server",
        weight: Weight::Bad,
        text: format!("the server could not be asked: {source}"),
        next: error.hint().map(str::to_owned),
    }
}
