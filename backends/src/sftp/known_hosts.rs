//! Known host keys (`sshd(8)`, `SSH_KNOWN_HOSTS FILE FORMAT`), and what they say about a key.
//!
//! An own reader, of the library's parts: russh's passes over wildcards and `@revoked`, and that of
//! ssh-key has no line numbers and gives up at a line that it does not know. `@cert-authority`
//! lines are passed over, since certificates of hosts are not asked for.

use std::path::PathBuf;

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::known_hosts::HostPatterns;
use russh::keys::{Algorithm, HashAlg, PublicKey};
use sha1::Sha1;

use super::pattern;

/// The port that a name without a port means.
const DEFAULT_PORT: u16 = 22;

/// The lines of one or more files.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    lines: Vec<Line>,
}

#[derive(Debug, Clone)]
struct Line {
    at: KnownHostsLine,
    is_revoked: bool,
    hosts: HostPatterns,
    key: PublicKey,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHostsLine {
    /// The file.
    pub file: PathBuf,
    /// The line's number, from 1.
    pub line: usize,
}

/// What the known keys say about a host's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the host's.
    Known,
    /// The host is not known, or by keys of other kinds only: these.
    Unknown(Vec<Algorithm>),
    /// The host is known by another key of this kind, with this fingerprint.
    Changed(KnownHostsLine, String),
    /// It was taken back.
    Revoked(KnownHostsLine),
}

impl KnownHosts {
    /// Adds a file's lines. One that cannot be understood is passed over, as OpenSSH does.
    pub fn read(&mut self, file: impl Into<PathBuf>, text: &str) {
        let file = file.into();
        for (index, line) in text.lines().enumerate() {
            let at = KnownHostsLine { file: file.clone(), line: index + 1 };
            self.lines.extend(parse(at, line));
        }
    }

    /// What is known about `key` as that of a host. A key that is known for the name alone counts
    /// on every port, as in OpenSSH.
    pub fn judge(&self, host: &str, port: u16, key: &PublicKey) -> Verdict {
        let is_it = |line: &Line| line.key.key_data() == key.key_data();
        let of_host = self.of_host(host, port);
        let of_name = self.of_host(host, DEFAULT_PORT);
        let mut all = of_host.iter().chain(&of_name);
        if let Some(line) = all.find(|line| line.is_revoked && is_it(line)) {
            return Verdict::Revoked(line.at.clone());
        }
        let holds = |lines: &[&Line]| lines.iter().any(|line| !line.is_revoked && is_it(line));
        if holds(&of_host) {
            return Verdict::Known;
        }
        let others = || of_host.iter().filter(|line| !line.is_revoked);
        let same_kind = |line: &&&Line| line.key.algorithm() == key.algorithm();
        match others().find(same_kind) {
            Some(line) => Verdict::Changed(line.at.clone(), fingerprint(&line.key)),
            None if holds(&of_name) => Verdict::Known,
            None => Verdict::Unknown(others().map(|line| line.key.algorithm()).collect()),
        }
    }

    /// The kinds of keys that are known of a host: those to ask it for.
    pub fn algorithms(&self, host: &str, port: u16) -> Vec<Algorithm> {
        let mut found = self.of_host(host, port);
        if found.is_empty() {
            found = self.of_host(host, DEFAULT_PORT);
        }
        let known = found.iter().filter(|line| !line.is_revoked);
        known.map(|line| line.key.algorithm()).collect()
    }

    fn of_host(&self, host: &str, port: u16) -> Vec<&Line> {
        let name = name(host, port);
        let lines = self.lines.iter();
        lines.filter(|line| is_of(&line.hosts, &name)).collect()
    }
}

/// A host's name as the files have it.
pub(super) fn name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == DEFAULT_PORT { host } else { format!("[{host}]:{port}") }
}

/// A key as people compare it.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn parse(at: KnownHostsLine, line: &str) -> Option<Line> {
    let mut words = line.split_ascii_whitespace();
    let mut word = words.next()?;
    let is_revoked = word == "@revoked";
    if is_revoked {
        word = words.next()?;
    } else if word.starts_with(['#', '@']) {
        return None;
    }
    let hosts = word.parse().ok()?;
    let (kind, encoded) = (words.next()?, words.next()?);
    let key = russh::keys::parse_public_key_base64(encoded).ok()?;
    (key.algorithm().as_str() == kind).then_some(Line { at, is_revoked, hosts, key })
}

fn is_of(hosts: &HostPatterns, name: &str) -> bool {
    match hosts {
        HostPatterns::Patterns(patterns) => {
            pattern::any_matches(patterns.iter().map(String::as_str), name)
        }
        HostPatterns::HashedName { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
            .is_ok_and(|mac| mac.chain_update(name).verify_slice(hash).is_ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with ssh-keygen for these tests; so are the hashed lines below.
    const ED: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE/vl+vQo2R+d6cuLujj2hFACezdCDbgzJO7L9E+3W40";
    const ED_PRINT: &str = "SHA256:byiuhQiw6rNjsiv4u0cE8R9+EXTsH8bVbY71Cp0Q+3E";
    const OTHER: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN0XrquhjZFfVg22IggZApJcG1TIbzTffUTuogUtTphC";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBC3RfRrm3pG0VIQGJmNBaCcvOCPtuhJ9nOFdFt/HfHWXQuO0RQugu8RcZ0Iyt/M/6rGwAS3rNh/H8DnCD/YWAUk=";
    const HASHED: &str = "|1|AK3mhc/hRRJ2b9mgpsciMpNGQjQ=|W/CwRCHc00pZWcFA5KlpEEzXN4g=";
    const HASHED_2222: &str = "|1|SptenoxDo1G/bPINqbKtUSUqUEE=|X4EfdXhks3K1muZ815UCwhgU/+w=";

    /// What lines say about a host that shows the key `ED`; the words stand for keys.
    fn judge(text: &str, host: &str, port: u16) -> Verdict {
        let mut known = KnownHosts::default();
        let text = text.replace("ED", ED).replace("OTHER", OTHER);
        known.read("/f", &text.replace("ECDSA", ECDSA));
        known.judge(host, port, &PublicKey::from_openssh(ED).unwrap())
    }

    fn line(line: usize) -> KnownHostsLine {
        KnownHostsLine { file: "/f".into(), line }
    }

    fn unknown() -> Verdict {
        Verdict::Unknown(Vec::new())
    }

    #[test]
    fn names_patterns_and_ports() {
        for (text, host, port) in [
            ("h ED", "h", 22),
            ("h ED comment with words", "H", 22),
            ("H.Example.Org ED", "h.example.org", 22),
            ("a,h,b ED", "h", 22),
            ("*.example.org ED", "h.example.org", 22),
            ("h?.example.org,!h2.example.org ED", "h1.example.org", 22),
            ("[h]:2222 ED", "h", 2222),
            ("[*.example.org]:* ED", "h.example.org", 2222),
            ("10.0.0.1 ED", "10.0.0.1", 22),
            ("fe80::1 ED", "fe80::1", 22),
            ("[fe80::1]:23 ED", "fe80::1", 23),
            ("\t h\t\tED  ", "h", 22),
            ("#h ED\n\nh ED", "h", 22),
            // Known for the name alone.
            ("h ED", "h", 2222),
            ("[h]:2222 ECDSA\nh ED", "h", 2222),
        ] {
            assert_eq!(judge(text, host, port), Verdict::Known, "{text}");
        }
        for (text, host, port) in [
            ("", "h", 22),
            ("#h ED", "h", 22),
            ("other ED", "h", 22),
            ("hh ED", "h", 22),
            ("h?.example.org,!h2.example.org ED", "h2.example.org", 22),
            ("[h]:2222 ED", "h", 22),
            ("[h]:2222 ED", "h", 2223),
            ("h", "h", 22),
            ("h ssh-ed25519", "h", 22),
            ("h ssh-ed25519 AAAA", "h", 22),
            (
                "h ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIE/vl+vQo2R+d6cuLujj2hFACezdCDbgzJO7L9E+3W40",
                "h",
                22,
            ),
            ("@cert-authority * ED", "h", 22),
            ("@unheard-of h ED", "h", 22),
        ] {
            assert_eq!(judge(text, host, port), unknown(), "{text}");
        }
    }

    #[test]
    fn hashed_names() {
        let both = format!("{HASHED} ED\n{HASHED_2222} ED");
        assert_eq!(judge(&both, "host.example.org", 22), Verdict::Known);
        assert_eq!(judge(&both, "HOST.example.org", 2222), Verdict::Known);
        assert_eq!(judge(&both, "other.example.org", 22), unknown());
        let of_port = format!("{HASHED_2222} ED");
        assert_eq!(judge(&of_port, "host.example.org", 22), unknown());
        let changed = judge(&format!("{HASHED} OTHER"), "host.example.org", 22);
        assert!(matches!(changed, Verdict::Changed(..)), "{changed:?}");
        for broken in ["|1|x|y ED", "|1||  ED", "|1|AK3m ED", "|2|AK3m|AK3m ED"] {
            assert_eq!(judge(broken, "host.example.org", 22), unknown(), "{broken}");
        }
    }

    #[test]
    fn another_key_of_its_kind_is_a_change() {
        let changed = |number: usize| {
            let print = fingerprint(&PublicKey::from_openssh(OTHER).unwrap());
            assert_ne!(print, ED_PRINT);
            Verdict::Changed(line(number), print)
        };
        assert_eq!(judge("h OTHER", "h", 22), changed(1));
        assert_eq!(judge("# x\n* OTHER", "h", 22), changed(2));
        // Also if the name alone would do.
        assert_eq!(judge("h ED\n[h]:23 OTHER", "h", 23), changed(2));
        // A host may have several keys of one kind while it changes them.
        assert_eq!(judge("h OTHER\nh ED", "h", 22), Verdict::Known);
        // One of another kind is no change, and no trust.
        let ecdsa = PublicKey::from_openssh(ECDSA).unwrap().algorithm();
        assert_eq!(judge("h ECDSA", "h", 22), Verdict::Unknown(vec![ecdsa]));
        // A key of the name alone says nothing against that of another port.
        assert_eq!(judge("h OTHER", "h", 2222), unknown());
    }

    #[test]
    fn a_revoked_key_is_refused_wherever_else_it_stands() {
        let revoked = |text: &str, port| judge(text, "h", port);
        assert_eq!(revoked("h ED\n@revoked h ED", 22), Verdict::Revoked(line(2)));
        assert_eq!(revoked("@revoked * ED\nh ED", 22), Verdict::Revoked(line(1)));
        assert_eq!(revoked("[h]:23 ED\n@revoked h ED", 23), Verdict::Revoked(line(2)));
        // Of another key or host.
        assert_eq!(revoked("h ED\n@revoked h OTHER", 22), Verdict::Known);
        assert_eq!(revoked("h ED\n@revoked x ED", 22), Verdict::Known);
        assert_eq!(revoked("@revoked h OTHER", 22), unknown());
    }

    #[test]
    fn kinds_to_ask_for() {
        let mut known = KnownHosts::default();
        let text = format!("h {ECDSA}\n@revoked h {OTHER}\n[h]:23 {ED}\n*.x {ED}\n");
        known.read("/f", &text);
        let kinds = |host, port| {
            let kinds = known.algorithms(host, port);
            kinds.iter().map(Algorithm::to_string).collect::<Vec<_>>()
        };
        assert_eq!(kinds("h", 22), ["ecdsa-sha2-nistp256"]);
        assert_eq!(kinds("h", 23), ["ssh-ed25519"]);
        assert_eq!(kinds("h", 24), ["ecdsa-sha2-nistp256"]);
        assert_eq!(kinds("y", 22), Vec::<String>::new());
    }

    #[test]
    fn fingerprints_are_those_of_ssh_keygen() {
        assert_eq!(fingerprint(&PublicKey::from_openssh(ED).unwrap()), ED_PRINT);
    }
}
