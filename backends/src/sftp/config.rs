//! `~/.ssh/config`, as far as it says how to reach a host (`ssh_config(5)`).
//!
//! Understood: `Host`, `Include`, `HostName`, `User`, `Port`, `IdentityFile`, `IdentitiesOnly`,
//! `IdentityAgent`, `ProxyJump`, `HostKeyAlias`, `UserKnownHostsFile`, `GlobalKnownHostsFile`; of
//! `Match` blocks only `Match all`, other ones are left out. `ProxyCommand` is told apart so that it
//! can be refused, and so is `RevokedHostKeys`. Everything else is passed over: `StrictHostKeyChecking`
//! too, since an unknown host key is refused whatever it says, and nothing is ever added to a file of
//! known hosts; `ForwardAgent` too, since nothing is forwarded. This is an own parser because those there are
//! read the environment and files on their own, and without bounds.

use super::pattern;

/// How deep included files may include others, as in OpenSSH.
const MAX_DEPTH: usize = 16;

/// What the configuration says about one host. Of each the first value counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The name to connect to; `%h` stands for the one that was asked for.
    pub host_name: Option<String>,
    /// Who logs in.
    pub user: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// Key files, all that are named.
    pub identity_files: Vec<String>,
    /// Whether only these keys are offered.
    pub identities_only: Option<bool>,
    /// The agent's socket, `none`, or `SSH_AUTH_SOCK`.
    pub identity_agent: Option<String>,
    /// Machines to go through, or `none`.
    pub proxy: Option<Proxy>,
    /// The name that known host keys are looked up by.
    pub host_key_alias: Option<String>,
    /// Files of known host keys.
    pub user_known_hosts_files: Option<Vec<String>>,
    /// The system's files of known host keys.
    pub global_known_hosts_files: Option<Vec<String>>,
    /// A file of keys that were taken back, or `none`.
    pub revoked_host_keys: Option<String>,
}

/// How a host is reached that is not reached directly. Whichever comes first counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proxy {
    /// `ProxyJump`, as it stands there.
    Jump(String),
    /// `ProxyCommand`, as it stands there.
    Command(String),
}

/// A line that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub number: usize,
    /// The keyword it begins with.
    pub keyword: String,
}

impl Settings {
    /// Adds what `text` says about `host`. The texts of included files come from `include`, which is
    /// given one argument of `Include` at a time.
    ///
    /// Errors: a line whose value cannot be one.
    pub fn read(
        &mut self,
        text: &str,
        host: &str,
        include: &mut dyn FnMut(&str) -> Vec<String>,
    ) -> Result<(), BadLine> {
        self.read_at(text, host, include, 0)
    }

    fn read_at(
        &mut self,
        text: &str,
        host: &str,
        include: &mut dyn FnMut(&str) -> Vec<String>,
        depth: usize,
    ) -> Result<(), BadLine> {
        let mut applies = true;
        for (index, line) in text.lines().enumerate() {
            let Some((keyword, words)) = split(line) else {
                continue;
            };
            match keyword.as_str() {
                "host" => {
                    applies = pattern::any_matches(words.iter().map(String::as_str), host);
                }
                "match" => {
                    applies = matches!(&words[..], [all] if all.eq_ignore_ascii_case("all"));
                }
                _ if !applies => {}
                "include" if depth < MAX_DEPTH => {
                    for word in &words {
                        for text in include(word) {
                            self.read_at(&text, host, include, depth + 1)?;
                        }
                    }
                }
                _ => {
                    let number = index + 1;
                    self.set(&keyword, words).ok_or(BadLine { number, keyword })?;
                }
            }
        }
        Ok(())
    }

    /// None: the value cannot be one.
    fn set(&mut self, keyword: &str, words: Vec<String>) -> Option<()> {
        let first = words.first().filter(|word| !word.is_empty()).cloned();
        match keyword {
            "hostname" => keep_first(&mut self.host_name, first?),
            "user" => keep_first(&mut self.user, first?),
            "port" => keep_first(&mut self.port, parse_port(&first?)?),
            "identityfile" => self.identity_files.push(first?),
            "identitiesonly" => keep_first(&mut self.identities_only, parse_yes(&first?)?),
            "identityagent" => keep_first(&mut self.identity_agent, first?),
            "proxyjump" => keep_first(&mut self.proxy, Proxy::Jump(first?)),
            "proxycommand" => keep_first(&mut self.proxy, Proxy::Command(words.join(" "))),
            "hostkeyalias" => keep_first(&mut self.host_key_alias, first?),
            "revokedhostkeys" => keep_first(&mut self.revoked_host_keys, first?),
            "userknownhostsfile" => keep_first(&mut self.user_known_hosts_files, words),
            "globalknownhostsfile" => keep_first(&mut self.global_known_hosts_files, words),
            _ => {}
        }
        Some(())
    }
}

fn keep_first<T>(place: &mut Option<T>, value: T) {
    place.get_or_insert(value);
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

fn parse_yes(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Some(true),
        "no" | "false" => Some(false),
        _ => None,
    }
}

/// A line's keyword in small letters, and its words: parted by white space, of which one `=` may be
/// part after the keyword; in double quotes one word. None: there is nothing on it.
fn split(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end =
        line.find(|letter: char| letter.is_whitespace() || letter == '=').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Some((keyword.to_ascii_lowercase(), words(rest)))
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let mut word = String::new();
        let mut quoted = false;
        let mut end = rest.len();
        for (at, letter) in rest.char_indices() {
            if letter == '"' {
                quoted = !quoted;
            } else if letter.is_whitespace() && !quoted {
                end = at;
                break;
            } else {
                word.push(letter);
            }
        }
        words.push(word);
        rest = rest[end..].trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str, host: &str) -> Settings {
        let mut settings = Settings::default();
        settings.read(text, host, &mut |_| Vec::new()).unwrap();
        settings
    }

    #[test]
    fn the_first_value_counts() {
        let text = "Host backup\n  HostName 10.0.0.1\n  Port 2222\n\
                    Host *\n HostName other\n Port 22\n User fallback\n IdentityFile ~/.ssh/all\n";
        let found = settings(text, "backup");
        assert_eq!(found.host_name.as_deref(), Some("10.0.0.1"));
        assert_eq!(found.port, Some(2222));
        assert_eq!(found.user.as_deref(), Some("fallback"));
        let other = settings(text, "x");
        assert_eq!(other.host_name.as_deref(), Some("other"));
        assert_eq!(other.port, Some(22));
    }

    #[test]
    fn key_files_are_added_up() {
        let text = "Host a\nIdentityFile one\nHost *\nIdentityFile two\n";
        assert_eq!(settings(text, "a").identity_files, ["one", "two"]);
    }

    #[test]
    fn lines_are_written_in_many_ways() {
        let text = "  # a comment\n\nUSER=a\nHostName = \"b\"\nPort\t= 7 # seven\n\
                    UserKnownHostsFile \"/a b/c\" /d\r\nIdentitiesOnly yes\nUnknownThing at all\n";
        let found = settings(text, "x");
        assert_eq!(found.user.as_deref(), Some("a"));
        assert_eq!(found.host_name.as_deref(), Some("b"));
        assert_eq!(found.port, Some(7));
        assert_eq!(found.identities_only, Some(true));
        let files = found.user_known_hosts_files.unwrap();
        assert_eq!(files, ["/a b/c", "/d"]);
    }

    #[test]
    fn hosts_are_patterns() {
        let text = "Host *.example.org !old.example.org\nUser a\nHost old.* ?\nUser b\n";
        assert_eq!(settings(text, "X.example.org").user.as_deref(), Some("a"));
        assert_eq!(settings(text, "old.example.org").user.as_deref(), Some("b"));
        assert_eq!(settings(text, "h").user.as_deref(), Some("b"));
        assert_eq!(settings(text, "hh").user, None);
    }

    #[test]
    fn of_match_blocks_only_all_is_understood() {
        let text = "Match host x exec \"true\"\nUser no\nMatch all\nPort 5\nHost y\nMatch user z\nPort 6\n";
        let found = settings(text, "x");
        assert_eq!(found.user, None);
        assert_eq!(found.port, Some(5));
    }

    #[test]
    fn the_first_proxy_counts() {
        let jump = settings("ProxyJump a,b\nProxyCommand nc %h %p\n", "x").proxy;
        assert_eq!(jump, Some(Proxy::Jump("a,b".to_owned())));
        let command = settings("ProxyCommand nc %h %p\nProxyJump a\n", "x").proxy;
        assert_eq!(command, Some(Proxy::Command("nc %h %p".to_owned())));
    }

    #[test]
    fn included_files_count_where_they_stand() {
        let text = "Host a\nInclude one\nHost *\nUser last\nInclude two\n";
        let read = |host: &str| {
            let mut asked = Vec::new();
            let mut settings = Settings::default();
            let mut include = |name: &str| {
                asked.push(name.to_owned());
                match name {
                    "one" => vec!["User first\nHost b\nPort 9\n".to_owned()],
                    _ => vec!["Port 1\n".to_owned(), "Port 2\n".to_owned()],
                }
            };
            settings.read(text, host, &mut include).unwrap();
            (settings, asked)
        };
        let (found, asked) = read("a");
        assert_eq!(found.user.as_deref(), Some("first"));
        // The block of b ends with its file.
        assert_eq!(found.port, Some(1));
        assert_eq!(asked, ["one", "two"]);
        let (found, asked) = read("b");
        assert_eq!(found.user.as_deref(), Some("last"));
        assert_eq!(found.port, Some(1));
        assert_eq!(asked, ["two"]);
    }

    #[test]
    fn a_file_that_includes_itself_ends() {
        let mut count = 0;
        let mut include = |_: &str| {
            count += 1;
            vec!["Include self\nUser a\n".to_owned()]
        };
        let mut settings = Settings::default();
        settings.read("Include self\n", "x", &mut include).unwrap();
        assert_eq!(settings.user.as_deref(), Some("a"));
        assert_eq!(count, MAX_DEPTH);
    }

    #[test]
    fn values_that_cannot_be_are_errors() {
        for (line, keyword) in [
            ("Port x", "port"),
            ("Port 0", "port"),
            ("Port 65536", "port"),
            ("User", "user"),
            ("HostName \"\"", "hostname"),
            ("IdentitiesOnly maybe", "identitiesonly"),
        ] {
            let mut settings = Settings::default();
            let text = format!("# first\n{line}\n");
            let bad = settings.read(&text, "x", &mut |_| Vec::new()).unwrap_err();
            assert_eq!((bad.number, bad.keyword.as_str()), (2, keyword), "{line}");
        }
    }
}
