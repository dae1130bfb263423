//! Patterns for paths that are left out: the default list and the user's `--exclude`.
//!
//! A pattern is compared with the whole path inside the installation. `*` and `?` stay within one
//! name, `**` spans folders: `conf/*.bak`, `**/*.tmp`. If a pattern matches a folder, the folder is
//! stored empty, because Seafile does not start without some of these folders. Its content is left
//! out.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::{Error, LeftOutReason};

/// Patterns for files that Seafile makes anew, and for files that belong to one running server
/// only.
///
/// A folder that matches is stored empty. If the pattern begins with `**/`, the folder is not
/// stored at all.
pub const DEFAULT_EXCLUDES: &[&str] = &[
    "logs",
    "pids",
    "installed",
    "seafile-data/httptemp",
    "seafile-data/tmpfiles",
    "seafile-data/block-cache",
    "seahub-data/thumbnail",
    "pro-data/search",
    "seasearch-data",
    "**/*.pyc",
    "**/__pycache__",
    "**/*.pid",
    "{seafile,seafile-pro}-server-*/runtime/*.log",
    "RESTORE-UNFINISHED.txt",
];

/// One pattern and its reason.
#[derive(Debug)]
pub(super) struct ExcludeRule {
    pub(super) pattern: String,
    pub(super) reason: LeftOutReason,
}

impl ExcludeRule {
    /// Whether a folder that matches is stored empty.
    pub(super) fn keeps_folder(&self) -> bool {
        self.reason == LeftOutReason::Excluded || !self.pattern.starts_with("**/")
    }

    /// Whether a link that matches is stored: `logs` may be a link to another disk.
    pub(super) fn keeps_link(&self) -> bool {
        self.reason == LeftOutReason::Default && self.keeps_folder()
    }
}

/// All patterns of a scan.
#[derive(Debug)]
pub(super) struct ExcludeRules {
    set: GlobSet,
    rules: Vec<ExcludeRule>,
}

/// Refuses patterns of `--exclude` that are malformed.
pub fn check_patterns(excludes: &[String]) -> Result<(), Error> {
    ExcludeRules::new(excludes).map(drop)
}

impl ExcludeRules {
    /// Builds the rules from the default list and these patterns.
    pub(super) fn new(excludes: &[String]) -> Result<Self, Error> {
        let defaults = DEFAULT_EXCLUDES.iter().map(|&pattern| (pattern, LeftOutReason::Default));
        let own = excludes.iter().map(|pattern| (pattern.as_str(), LeftOutReason::Excluded));
        let mut set = GlobSetBuilder::new();
        let mut rules = Vec::new();
        for (pattern, reason) in defaults.chain(own) {
            let fail = |source| Error::Pattern { pattern: pattern.to_owned(), source };
            let glob = GlobBuilder::new(trimmed(pattern))
                .literal_separator(true)
                .backslash_escape(true)
                .build();
            set.add(glob.map_err(fail)?);
            rules.push(ExcludeRule { pattern: pattern.to_owned(), reason });
        }
        let set =
            set.build().map_err(|source| Error::Pattern { pattern: excludes.join(" "), source })?;
        Ok(Self { set, rules })
    }

    /// The number of the first pattern that matches this path inside the installation, for
    /// [`Self::rule`].
    pub(super) fn find(&self, path: &Path) -> Option<usize> {
        self.set.matches(path).into_iter().min()
    }

    /// A rule by its number.
    pub(super) fn rule(&self, number: usize) -> &ExcludeRule {
        &self.rules[number]
    }
}

/// Turns `/conf/` and `./conf` into `conf`: people write all of them.
fn trimmed(pattern: &str) -> &str {
    let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
    pattern.trim_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(excludes: &[&str], path: &str) -> Option<String> {
        let excludes: Vec<String> = excludes.iter().map(|&text| text.to_owned()).collect();
        let rules = ExcludeRules::new(&excludes).unwrap();
        let number = rules.find(Path::new(path))?;
        Some(rules.rule(number).pattern.clone())
    }

    #[test]
    fn defaults_are_anchored_at_the_top() {
        assert_eq!(matched(&[], "logs").as_deref(), Some("logs"));
        assert_eq!(matched(&[], "conf/logs"), None);
        assert_eq!(matched(&[], "logs2"), None);
        assert_eq!(matched(&[], "a/b.pyc").as_deref(), Some("**/*.pyc"));
        assert_eq!(matched(&[], "b.pyc").as_deref(), Some("**/*.pyc"));
        assert!(matched(&[], "seafile-pro-server-1/runtime/error.log").is_some());
        assert_eq!(matched(&[], "seafile-server-1/seahub/error.log"), None);
    }

    #[test]
    fn own_patterns_are_relative_to_the_installation() {
        assert!(matched(&["conf/*.bak"], "conf/a.bak").is_some());
        assert!(matched(&["conf/*.bak"], "conf/x/a.bak").is_none());
        assert!(matched(&["*.bak"], "conf/a.bak").is_none());
        assert!(matched(&["**/*.bak"], "conf/x/a.bak").is_some());
        assert!(matched(&["/conf/"], "conf").is_some());
        assert!(matched(&["./conf"], "conf").is_some());
    }

    #[test]
    fn a_malformed_pattern_is_named() {
        let error = ExcludeRules::new(&["conf/[".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("conf/["), "{error}");
    }
}
