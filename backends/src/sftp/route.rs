//! The way to a server: from a URL and `~/.ssh/config` to the machines to log in to, one after the
//! other.

use std::path::{Path, PathBuf};

use super::config::{Proxy, Settings};
use super::errors::retold;
use super::files::{self, Home, Includes};
use super::known_hosts::KnownHosts;
use crate::destination::{Remote, invalid};
use crate::{Error, Options, Result};

const SYSTEM_CONFIG: &str = "/etc/ssh/ssh_config";
const SYSTEM_KNOWN_HOSTS: [&str; 2] = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];
const USUAL_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];
/// How many machines there may be on the way.
const MAX_HOPS: usize = 8;

/// One machine to log in to.
#[derive(Debug)]
pub(super) struct Hop {
    /// What to connect to.
    pub(super) host: String,
    pub(super) port: u16,
    /// Who logs in.
    pub(super) user: String,
    /// The name that its key is known by, and the port.
    pub(super) known_as: (String, u16),
    pub(super) known: KnownHosts,
    /// Where a person would add its key.
    pub(super) known_file: Option<PathBuf>,
    pub(super) identities: Vec<Identity>,
    /// Whether the agent may offer other keys than these.
    pub(super) identities_only: bool,
    /// The agent's socket.
    pub(super) agent: Option<PathBuf>,
    /// Whether it is where the way ends.
    pub(super) is_destination: bool,
}

/// A key file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) file: PathBuf,
    /// Whether a person named it, so that it must be there.
    pub(super) is_asked_for: bool,
}

/// A machine as a person names it; what is not given comes from the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NamedMachine {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

/// The machines on the way to a server, which is the last.
///
/// Errors: `Invalid`, `PermissionDenied` or `Other` for a file that cannot be read.
pub(super) fn find(remote: &Remote, options: &Options) -> Result<Vec<Hop>> {
    let finder = Finder { options, home: Home::new(&options.variable) };
    let named =
        NamedMachine { user: remote.user.clone(), host: remote.host.clone(), port: remote.port };
    let mut hops = Vec::new();
    finder.add(&named, &mut hops, 0)?;
    if let Some(last) = hops.last_mut() {
        last.is_destination = true;
    }
    Ok(hops)
}

struct Finder<'a> {
    options: &'a Options,
    home: Home,
}

impl Finder<'_> {
    fn add(&self, named: &NamedMachine, hops: &mut Vec<Hop>, depth: usize) -> Result<()> {
        let settings = self.settings(&named.host)?;
        if let Some(proxy) = &settings.proxy {
            if depth == MAX_HOPS {
                return Err(invalid("ProxyJump goes round in a circle".to_owned()));
            }
            self.add_jumps(&named.host, proxy, hops, depth)?;
        }
        if hops.len() == MAX_HOPS {
            return Err(invalid(format!("ProxyJump goes over more than {MAX_HOPS} machines")));
        }
        hops.push(self.hop(named, &settings)?);
        Ok(())
    }

    /// The first machine may itself be behind others; those after it are reached from the one before.
    fn add_jumps(
        &self,
        host: &str,
        proxy: &Proxy,
        hops: &mut Vec<Hop>,
        depth: usize,
    ) -> Result<()> {
        let list = match proxy {
            Proxy::Jump(list) => list,
            Proxy::Command(command) if command.eq_ignore_ascii_case("none") => return Ok(()),
            Proxy::Command(_) => {
                return Err(invalid(format!(
                    "the SSH configuration has a ProxyCommand for {host}, which is not run here"
                ))
                .with_hint("use ProxyJump, or another configuration file for this"));
            }
        };
        if list.eq_ignore_ascii_case("none") {
            return Ok(());
        }
        for (index, text) in list.split(',').enumerate() {
            let named = parse_named(text.trim())
                .ok_or_else(|| invalid(format!("ProxyJump of {host}: a machine is misspelt")))?;
            if index == 0 {
                self.add(&named, hops, depth + 1)?;
            } else {
                hops.push(self.hop(&named, &self.settings(&named.host)?)?);
            }
        }
        Ok(())
    }

    /// What the user's configuration, and then the system's, say about a host.
    fn settings(&self, host: &str) -> Result<Settings> {
        let mut settings = Settings::default();
        if let Some(path) = &self.options.ssh.config {
            let text = files::read(path)?
                .ok_or_else(|| invalid(format!("{}: there is no such file", path.display())))?;
            self.read_config(&mut settings, path, &text, host)?;
            return Ok(settings);
        }
        let paths = self.home.ssh("config").into_iter();
        for path in paths.chain([PathBuf::from(SYSTEM_CONFIG)]) {
            if let Some(text) = files::read(&path)? {
                self.read_config(&mut settings, &path, &text, host)?;
            }
        }
        Ok(settings)
    }

    fn read_config(
        &self,
        settings: &mut Settings,
        path: &Path,
        text: &str,
        host: &str,
    ) -> Result<()> {
        let system = Path::new(SYSTEM_CONFIG);
        let folder =
            if path == system { system.parent().map(Path::to_owned) } else { self.home.ssh("") };
        let mut includes = Includes::new(&self.home, folder.unwrap_or_default());
        let read = settings.read(text, host, &mut |name| includes.texts(name));
        read.map_err(|bad| {
            invalid(format!(
                "{} (or what it includes), line {}: {} has a value that cannot be one",
                path.display(),
                bad.number,
                bad.keyword
            ))
        })
    }

    fn hop(&self, named: &NamedMachine, settings: &Settings) -> Result<Hop> {
        let revoked = settings.revoked_host_keys.as_ref();
        if let Some(file) = revoked.filter(|file| !file.eq_ignore_ascii_case("none")) {
            return Err(invalid(format!(
                "the SSH configuration has RevokedHostKeys {file} for {}, which is not read here",
                named.host
            ))
            .with_hint("write these keys into the known hosts as @revoked lines, and use another configuration file for this"));
        }
        let host = match &settings.host_name {
            Some(name) => name.replace("%h", &named.host).replace("%%", "%"),
            None => named.host.clone(),
        };
        let port = named.port.or(settings.port).unwrap_or(22);
        let user = named.user.clone().or_else(|| settings.user.clone());
        let user = user.map_or_else(|| self.this_user(), Ok)?;
        let port_text = port.to_string();
        let tokens = [
            ('h', host.as_str()),
            ('n', named.host.as_str()),
            ('p', port_text.as_str()),
            ('r', user.as_str()),
        ];
        let (known, known_file) = self.known_hosts(settings, &tokens)?;
        let known_as = match &settings.host_key_alias {
            Some(alias) => (alias.clone(), 22),
            None => (host.clone(), port),
        };
        Ok(Hop {
            known_as,
            known,
            known_file,
            identities: self.identities(settings, &tokens),
            identities_only: settings.identities_only.unwrap_or(false),
            agent: self.agent(settings, &tokens),
            host,
            port,
            user,
            is_destination: false,
        })
    }

    fn this_user(&self) -> Result<String> {
        let variable = &self.options.variable;
        let name = variable("USER").or_else(|| variable("LOGNAME"));
        name.filter(|name| !name.is_empty()).ok_or_else(|| {
            invalid("it is not said who logs in".to_owned())
                .with_hint("name the user: sftp://user@host/path")
        })
    }

    fn known_hosts(
        &self,
        settings: &Settings,
        tokens: &[(char, &str)],
    ) -> Result<(KnownHosts, Option<PathBuf>)> {
        let expand = |names: &[String]| -> Vec<PathBuf> {
            let wanted = names.iter().filter(|name| *name != "none");
            let paths = wanted.filter_map(|name| self.home.expand(name, tokens));
            paths.collect()
        };
        let of_user = match (&self.options.ssh.known_hosts, &settings.user_known_hosts_files) {
            (Some(path), _) => vec![path.clone()],
            (None, Some(names)) => expand(names),
            (None, None) => {
                let usual = ["known_hosts", "known_hosts2"];
                usual.iter().filter_map(|name| self.home.ssh(name)).collect()
            }
        };
        let of_system = match &settings.global_known_hosts_files {
            Some(names) => expand(names),
            None => SYSTEM_KNOWN_HOSTS.map(PathBuf::from).to_vec(),
        };
        let mut known = KnownHosts::default();
        for path in of_user.iter().chain(&of_system) {
            if let Some(text) = files::read(path)? {
                known.read(path, &text);
            }
        }
        Ok((known, of_user.into_iter().next()))
    }

    /// Those that a person gave, then those of the configuration; the usual ones only where neither
    /// is there, as in OpenSSH.
    fn identities(&self, settings: &Settings, tokens: &[(char, &str)]) -> Vec<Identity> {
        let given = self
            .options
            .ssh
            .identities
            .iter()
            .map(|file| Identity { file: file.clone(), is_asked_for: true });
        let not_asked_for = |file| Identity { file, is_asked_for: false };
        let names = settings.identity_files.iter();
        let configured = names
            .filter(|name| *name != "none")
            .filter_map(|name| self.home.expand(name, tokens))
            .map(not_asked_for);
        let mut identities: Vec<Identity> = given.chain(configured).collect();
        if identities.is_empty() && settings.identity_files.is_empty() {
            let usual = USUAL_KEYS.iter().filter_map(|name| self.home.ssh(name));
            identities.extend(usual.map(not_asked_for));
        }
        identities
    }

    fn agent(&self, settings: &Settings, tokens: &[(char, &str)]) -> Option<PathBuf> {
        let of_environment = |name: &str| (self.options.variable)(name).map(PathBuf::from);
        match settings.identity_agent.as_deref() {
            None | Some("SSH_AUTH_SOCK") => of_environment("SSH_AUTH_SOCK"),
            Some("none") => None,
            Some(text) => match text.strip_prefix('$') {
                Some(name) if !name.starts_with('{') => of_environment(name),
                _ => self.home.expand(text, tokens),
            },
        }
    }
}

/// `[user@]host[:port]`, also behind `ssh://`; an IPv6 address in brackets.
fn parse_named(text: &str) -> Option<NamedMachine> {
    let text = text.strip_prefix("ssh://").unwrap_or(text);
    let text = text.trim_end_matches('/');
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, text),
    };
    let (host, port) = if let Some(bracketed) = rest.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']')?;
        match after {
            "" => (host, None),
            _ => (host, Some(after.strip_prefix(':')?)),
        }
    } else {
        match rest.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (rest, None),
        }
    };
    let port = match port {
        Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
        None => None,
    };
    if host.is_empty() || user.as_deref() == Some("") {
        return None;
    }
    Some(NamedMachine { user, host: host.to_owned(), port })
}

impl Hop {
    /// As a person names it.
    pub(super) fn shown(&self) -> String {
        let (user, host, port) = (&self.user, &self.host, self.port);
        if port == 22 {
            format!("{user}@{host}")
        } else if host.contains(':') {
            format!("{user}@[{host}]:{port}")
        } else {
            format!("{user}@{host}:{port}")
        }
    }
}

/// An error about a machine on the way.
pub(super) fn at_hop(hop: &Hop, error: &Error) -> Error {
    retold(error, |source| format!("{}: {source}", hop.shown()))
}
