//! Commands that seawall prints, whole: with the options that this call was given and that the next one needs too.
//! Hints of the library name a verb alone (`seawall snapshots`); what was said on the command line is added here. What
//! the environment says is left out of hints, since it is still there when they are pasted, and stands in what is
//! written down for later.

use std::sync::OnceLock;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::Global;
use crate::place::{absolute, shell};

/// The verbs, as they follow the program's name.
const VERBS: [&str; 11] = [
    "init",
    "backup",
    "snapshots",
    "libraries",
    "restore",
    "check",
    "key",
    "status",
    "doctor",
    "damage",
    "verify",
];

/// An option and its value, as words of a shell, with a space before.
type Words = (&'static str, String);

/// What was said on this command line and that other verbs need too.
static GIVEN: OnceLock<Vec<Words>> = OnceLock::new();

/// Remembers what was said on the command line.
pub(super) fn remember(matches: &ArgMatches, global: &Global) {
    let is_said = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let mut given = words(global);
    given.retain(|(option, _)| match *option {
        "-r" => is_said("repository"),
        "--state-dir" => is_said("state_dir"),
        _ => true,
    });
    // Set once, by `main`.
    let _ = GIVEN.set(given);
}

/// All options that lead to this repository, for commands that are written down; each with a space before it.
pub(super) fn reach(global: &Global) -> String {
    words(global).into_iter().map(|(_, text)| text).collect()
}

fn words(global: &Global) -> Vec<Words> {
    let mut words: Vec<Words> = Vec::new();
    if let Some(url) = &global.repository {
        let path = seawall_backends::local_path(url);
        let url =
            path.map_or_else(|| url.clone(), |path| absolute(&path).to_string_lossy().into_owned());
        words.push(("-r", format!(" -r {}", shell(&url))));
    }
    words.push(("", global.reaching.words()));
    let mut file = |option: &'static str, path: &std::path::Path| {
        let path = absolute(path);
        words.push((option, format!(" {option} {}", shell(&path.to_string_lossy()))));
    };
    if let Some(path) = &global.state_dir {
        file("--state-dir", path);
    }
    global.keys.files().for_each(|(option, path)| file(option, path));
    let trust = global.trust.iter();
    words.extend(trust.map(|key| ("--trust", format!(" --trust {}", shell(key.trim())))));
    words.retain(|(_, text)| !text.is_empty());
    words
}

/// A text in which each command has the options that were given to this one.
pub(super) fn complete(text: &str) -> String {
    let given = GIVEN.get().map_or(&[][..], Vec::as_slice);
    complete_with(text, given)
}

fn complete_with(text: &str, given: &[Words]) -> String {
    const PROGRAM: &str = "seawall ";
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(PROGRAM) {
        let (before, command) = rest.split_at(at + PROGRAM.len());
        done.push_str(before);
        rest = command;
        let is_word = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
        let is_first =
            before.strip_suffix(PROGRAM).is_some_and(|before| !before.ends_with(is_word));
        let end = command.find(|char| !is_word(char)).unwrap_or(command.len());
        let (verb, behind) = command.split_at(end);
        if !is_first || !VERBS.contains(&verb) {
            continue;
        }
        let whole = behind.split(['`', '\n', ';']).next().unwrap_or_default();
        done.push_str(verb);
        rest = behind;
        // Without a snapshot it asks an installation alone.
        if verb == "verify" && !whole.contains(" --snapshot ") {
            continue;
        }
        for (option, text) in given {
            let is_there = !option.is_empty() && whole.contains(&format!(" {option} "));
            if !is_there && !whole.contains(text.as_str()) {
                done.push_str(text);
            }
        }
    }
    done + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_get_the_options_of_this_call() {
        let given =
            [("-r", " -r /b".to_owned()), ("--state-dir", " --state-dir '/a b'".to_owned())];
        for (text, expected) in [
            (
                "`seawall snapshots` shows them",
                "`seawall snapshots -r /b --state-dir '/a b'` shows them",
            ),
            (
                "run `seawall init -r /x --accept-weak-writes`",
                "run `seawall init --state-dir '/a b' -r /x --accept-weak-writes`",
            ),
            (
                "seawall key adopt --trust 'k'",
                "seawall key -r /b --state-dir '/a b' adopt --trust 'k'",
            ),
            ("seawall verify /x", "seawall verify /x"),
            (
                "seawall verify /x --snapshot latest",
                "seawall verify -r /b --state-dir '/a b' /x --snapshot latest",
            ),
            ("seawall checks nothing", "seawall checks nothing"),
            ("run seawall as root", "run seawall as root"),
            ("a-seawall check", "a-seawall check"),
        ] {
            assert_eq!(complete_with(text, &given), expected);
            assert_eq!(complete_with(text, &[]), text);
        }
    }
}
