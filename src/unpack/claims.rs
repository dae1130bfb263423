//! Reads what a member's headers claim, and checks whether it can be believed.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use tar::{Entry, EntryType, PaxExtensions};

use super::TarLimits;
use super::attributes::Attributes;
use super::error::{Error, Refusal, refused};
use super::members::{Extensions, MemberKind, TarMember};

/// What a member's headers claim, before any check.
#[derive(Default)]
struct Claims {
    name: Vec<u8>,
    target: Vec<u8>,
    mode: u32,
    uid: u64,
    gid: u64,
    seconds: i64,
    nanoseconds: u32,
}

/// Makes a member from its header and the extensions before it, or refuses it.
pub(super) fn member<R: Read>(
    entry: &Entry<'_, R>,
    extensions: Extensions,
    limits: &TarLimits,
) -> Result<TarMember, Error> {
    let raw_name = PathBuf::from(OsString::from_vec(entry.path_bytes().into_owned()));
    let claims = claims(entry, extensions).map_err(|refusal| refused(&raw_name, refusal))?;
    let name = PathBuf::from(OsString::from_vec(claims.name.clone()));
    judge(entry, claims, limits).map_err(|refusal| refused(&name, refusal))
}

fn claims<R: Read>(entry: &Entry<'_, R>, extensions: Extensions) -> Result<Claims, Refusal> {
    let header = entry.header();
    let number = |field: io::Result<u64>| field.map_err(|_| Refusal::Number);
    let mut claims = Claims {
        name: header.path_bytes().into_owned(),
        target: header.link_name_bytes().unwrap_or_default().into_owned(),
        mode: header.mode().map_err(|_| Refusal::Number)?,
        uid: number(header.uid())?,
        gid: number(header.gid())?,
        seconds: i64::try_from(number(header.mtime())?).map_err(|_| Refusal::Number)?,
        nanoseconds: 0,
    };
    if let Some(pax) = &extensions.pax {
        claims.read_pax(pax, entry.size())?;
    }
    for (text, claim) in
        [(extensions.name, &mut claims.name), (extensions.target, &mut claims.target)]
    {
        if let Some(mut text) = text {
            // GNU tar ends these texts with a NUL.
            if text.last() == Some(&0) {
                text.pop();
            }
            *claim = text;
        }
    }
    Ok(claims)
}

impl Claims {
    fn read_pax(&mut self, pax: &[u8], len: u64) -> Result<(), Refusal> {
        for record in PaxExtensions::new(pax) {
            let record = record.map_err(|_| Refusal::Extension)?;
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => self.name = value.to_vec(),
                b"linkpath" => self.target = value.to_vec(),
                b"uid" => self.uid = parse(value)?,
                b"gid" => self.gid = parse(value)?,
                b"mtime" => (self.seconds, self.nanoseconds) = parse_time(value)?,
                // With two different lengths it is unclear where the next member begins.
                b"size" if parse::<u64>(value)? != len => return Err(Refusal::Extension),
                key if key.starts_with(b"GNU.sparse.") => return Err(Refusal::Kind),
                _ => {}
            }
        }
        Ok(())
    }
}

fn parse<T: std::str::FromStr>(value: &[u8]) -> Result<T, Refusal> {
    let text = std::str::from_utf8(value).map_err(|_| Refusal::Number)?;
    text.parse().map_err(|_| Refusal::Number)
}

/// Parses seconds and a fraction up to nanoseconds. Accepts only times since 1970.
fn parse_time(value: &[u8]) -> Result<(i64, u32), Refusal> {
    let text = std::str::from_utf8(value).map_err(|_| Refusal::Number)?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::Number);
    }
    let seconds: i64 = parse(seconds.as_bytes())?;
    if seconds < 0 {
        return Err(Refusal::Number);
    }
    Ok((seconds, parse(digits.as_bytes())?))
}

/// Makes a member from its claims, or refuses it.
fn judge<R: Read>(
    entry: &Entry<'_, R>,
    claims: Claims,
    limits: &TarLimits,
) -> Result<TarMember, Refusal> {
    let len = entry.size();
    let kind = match entry.header().entry_type() {
        EntryType::Regular => MemberKind::File { len },
        EntryType::Directory if len == 0 => MemberKind::Folder,
        EntryType::Symlink if len == 0 => {
            MemberKind::Link { target: target(claims.target, limits)? }
        }
        _ => return Err(Refusal::Kind),
    };
    let name = match kind {
        MemberKind::Folder => claims.name.strip_suffix(b"/").unwrap_or(&claims.name),
        MemberKind::File { .. } | MemberKind::Link { .. } => &claims.name,
    };
    Ok(TarMember {
        path: plain_path(name, limits)?,
        kind,
        attributes: Attributes {
            mode: claims.mode & 0o7777,
            uid: owner(claims.uid)?,
            gid: owner(claims.gid)?,
            seconds: claims.seconds,
            nanoseconds: claims.nanoseconds,
        },
    })
}

/// Refuses the number −1: system calls take it as "unchanged", and no user has it.
fn owner(id: u64) -> Result<u32, Refusal> {
    match u32::try_from(id) {
        Ok(u32::MAX) | Err(_) => Err(Refusal::Number),
        Ok(id) => Ok(id),
    }
}

/// Accepts only a path that leads strictly downward.
fn plain_path(name: &[u8], limits: &TarLimits) -> Result<PathBuf, Refusal> {
    if name.len() > limits.path_bytes {
        return Err(Refusal::Long);
    }
    let plain = !name.contains(&0)
        && name.split(|&byte| byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."));
    if !plain {
        return Err(Refusal::Name);
    }
    Ok(OsString::from_vec(name.to_vec()).into())
}

fn target(target: Vec<u8>, limits: &TarLimits) -> Result<PathBuf, Refusal> {
    if target.len() > limits.path_bytes {
        return Err(Refusal::Long);
    }
    if target.is_empty() || target.contains(&0) {
        return Err(Refusal::Target);
    }
    Ok(OsString::from_vec(target).into())
}
