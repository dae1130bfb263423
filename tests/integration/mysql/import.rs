//! Databases that a restore loads into a server: what is refused beforehand, imports that break off, and the commands
//! that are printed for the day after.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use seawall_test_servers::proxy::Proxy;

use super::*;
use crate::cli::Ran;

/// Runs a printed command in a shell that knows nothing of the call before.
pub(super) fn paste(user: &User, line: &str) -> Ran {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_seawall"));
    let path = std::env::var("PATH").unwrap();
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", line])
        .env_clear()
        .env("PATH", format!("{}:{path}", program.parent().unwrap().display()))
        .env("HOME", user.home())
        .current_dir("/");
    Ran::of(wait::output(&mut shell))
}

/// The commands that an output names as the next ones.
pub(super) fn next(output: &str) -> Vec<&str> {
    let lines = output.lines();
    lines.filter_map(|line| line.trim_start().strip_prefix("then: ")).collect()
}

pub(super) fn on(server: &MariaDb) -> [String; 6] {
    let port = server.port.to_string();
    ["--database-host", "127.0.0.1", "--database-port", &port, "--database-user", "root"]
        .map(ToOwned::to_owned)
}

fn restore(user: &User, target: &str, more: &[&str]) -> Ran {
    let target = user.path(target);
    let common = ["restore", "latest", "--target", target.to_str().unwrap()];
    user.run(&[&common[..], more].concat())
}

pub(super) fn with<'a>(first: &[&'a str], more: &'a [String]) -> Vec<&'a str> {
    let more = more.iter().map(String::as_str);
    first.iter().copied().chain(more).collect()
}

#[test]
fn what_is_printed_asks_the_server_that_was_loaded() {
    let (user, moved) = (User::new(), Moved::example());
    user.run(&["backup", moved.path(), "--init"]).succeeds();
    // Before an import only the snapshot can say what should be there, although the old server lives and goes on.
    let restored = restore(&user, "a b'c", &[]);
    let said = next(restored.succeeds());
    assert!(said[0].contains("--snapshot 2") && said[0].contains(" -r "), "{said:?}");
    assert!(said[1].contains("--import-only"), "{said:?}");
    let library = moved.sql("SELECT repo_id FROM Repo LIMIT 1");
    let library = library.trim();
    let head = moved.sql(&format!("SELECT commit_id FROM Branch WHERE repo_id = '{library}'"));
    moved
        .sql(&format!("UPDATE Branch SET commit_id = REPEAT('0', 40) WHERE repo_id = '{library}'"));
    paste(&user, said[0]).succeeds();
    let notes = fs::read_to_string(user.path("a b'c/RESTORE-NOTES.txt")).unwrap();
    assert!(notes.contains(said[0]) && notes.contains(said[1]), "{notes}");
    moved.sql(&format!(
        "UPDATE Branch SET commit_id = '{}' WHERE repo_id = '{library}'",
        head.trim()
    ));
    // After an import it is the new server, under the new name.
    let server = MariaDb::start();
    let place = on(&server);
    let name = format!("seafile=it's new{}", moved.number);
    let arguments = with(&["--import-databases", "--database-name", &name], &place);
    let imported = restore(&user, "b", &arguments);
    let said = next(imported.succeeds());
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(&format!("--database-port {}", server.port)), "{said:?}");
    let verified = paste(&user, said[0]);
    let line = format!("databases it's new{} on 127.0.0.1:{}", moved.number, server.port);
    let shown = verified.succeeds().replace("  ", " ");
    assert!(shown.contains(&line), "{line} is not in {shown}");
    let notes = fs::read_to_string(user.path("b/RESTORE-NOTES.txt")).unwrap();
    assert!(notes.contains(said[0]), "{notes}");
    assert!(notes.contains("THE DATABASES ARE LOADED"), "{notes}");
    assert!(!notes.contains("LOAD THE DATABASES INTO A SERVER"), "{notes}");
    server.sql(&format!("DROP DATABASE `it's new{}`", moved.number));
    paste(&user, said[0]).fails(1, &["it's new", "--snapshot 2", "--database-host"]);
    // Another database that is gone is seen too, although nothing points from there.
    restore(
        &user,
        "c",
        &with(
            &["--import-databases", "--database-name", "ccnet=x", "--database-name", "seahub=y"],
            &place,
        ),
    )
    .succeeds();
    server.sql("DROP DATABASE y");
    let target = user.path("c");
    let names = ["--database-name", "ccnet=x", "--database-name", "seahub=y"];
    let verify = [&["verify", target.to_str().unwrap()][..], &names].concat();
    let verified = user.run(&with(&verify, &place));
    assert_eq!(verified.status, 3, "{}", verified.stdout);
    assert!(verified.stdout.contains("damaged   database y on"), "{}", verified.stdout);
}

#[test]
fn an_account_that_lacks_something_is_refused_before_anything_is_restored() {
    let (user, moved) = (User::new(), Moved::example());
    let seahub = moved.name("seahub");
    moved.server.sql(&format!("CREATE VIEW `{seahub}`.v AS SELECT 1 AS one"));
    user.run(&["backup", moved.path(), "--init"]).succeeds();
    let server = MariaDb::start();
    let [seafile, ccnet] = ["seafile", "ccnet"].map(|role| moved.name(role));
    server.sql(&format!(
        "CREATE USER few@'%'; GRANT ALL ON `{seafile}`.* TO few@'%'; \
         GRANT SELECT, INSERT, CREATE, ALTER, DROP ON `{seahub}`.* TO few@'%'"
    ));
    let mut place = on(&server);
    place[5] = "few".into();
    let arguments = with(&["--import-databases"], &place);
    for arguments in [arguments.clone(), [&arguments[..], &["--dry-run"]].concat()] {
        let refused = restore(&user, "a", &arguments);
        refused.fails(
            1,
            &[
                &format!("GRANT SELECT, INSERT, CREATE, ALTER, DROP ON `{ccnet}`.* TO `few`"),
                &format!("GRANT CREATE VIEW ON `{seahub}`.* TO `few`"),
            ],
        );
        assert!(!refused.stderr.contains(&format!("ON `{seafile}`")), "{}", refused.stderr);
    }
    assert!(!user.path("a").exists());
    assert_eq!(server.sql("SHOW DATABASES LIKE '%-db%'"), "");
    server.sql(&format!(
        "GRANT SELECT, INSERT, CREATE, ALTER, DROP ON `{ccnet}`.* TO few@'%'; \
         GRANT CREATE VIEW ON `{seahub}`.* TO few@'%'"
    ));
    restore(&user, "a", &arguments).succeeds();
}

#[test]
fn a_server_that_cannot_take_a_dump_is_refused_before_anything_is_restored() {
    let (user, moved) = (User::new(), Moved::example());
    let seahub = moved.name("seahub");
    moved.server.sql(&format!(
        "CREATE TABLE `{seahub}`.long_ones (t LONGTEXT); INSERT INTO `{seahub}`.long_ones VALUES (REPEAT('x', 300000))"
    ));
    user.run(&["backup", moved.path(), "--init"]).succeeds();
    let server = MariaDb::with(&["--max-allowed-packet=65536"]);
    let place = on(&server);
    restore(&user, "a", &with(&["--import-databases"], &place))
        .fails(1, &["long_ones", "294.", "64.0 KiB", "SET GLOBAL max_allowed_packet"]);
    assert!(!user.path("a").exists());
    assert_eq!(server.sql("SHOW DATABASES LIKE '%-db%'"), "");
    // A wrong account is named by who named it.
    let mut wrong = on(&server);
    wrong[5] = "nobody-there".into();
    restore(&user, "a", &with(&["--import-databases"], &wrong))
        .fails(1, &["nobody-there of --database-user"]);
}

/// Wherever the line breaks, the same goes on, and in the end all is there once.
#[test]
fn an_import_that_breaks_off_goes_on() {
    let (user, moved) = (User::new(), Moved::example());
    user.run(&["backup", moved.path(), "--init"]).succeeds();
    let server = MariaDb::start();
    let proxy = Proxy::start(server.port, Duration::ZERO);
    let mut place = on(&server);
    place[3] = proxy.port.to_string();
    restore(&user, "a", &[]).succeeds();
    restore(&user, "missing", &with(&["--import-only"], &place)).fails(1, &["--import-databases"]);
    let arguments = with(&["--import-only"], &place);
    let (mut broken, mut half, mut earlier, mut told) = (0, 0, 0, 0);
    let started = Instant::now();
    let mut bytes = 3_000;
    loop {
        assert!(started.elapsed().as_secs() < 110, "broken {broken} times");
        proxy.cut_after(bytes);
        let ran = restore(&user, "a", &arguments);
        proxy.cut_after(1 << 40);
        half += usize::from(ran.stdout.contains("half loaded"));
        earlier += usize::from(ran.stdout.contains(" before: "));
        if ran.status == 0 {
            break;
        }
        broken += 1;
        told += usize::from(
            ran.stderr.contains("then go on: ") && ran.stderr.contains("--import-only"),
        );
        bytes += bytes / 2;
        // The server has to notice that the line broke.
        while server
            .sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB LIKE '%-db%'")
            != "0\n"
        {
            assert!(started.elapsed().as_secs() < 110, "a connection does not end");
        }
    }
    assert!(broken > 2 && half > 0 && earlier > 0 && told > 0, "{broken} {half} {earlier} {told}");
    for role in ["seafile", "ccnet", "seahub"] {
        let name = moved.name(role);
        let count = |server: &MariaDb| {
            server.sql(&format!(
                "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{name}'"
            ))
        };
        assert_eq!(count(&server), count(moved.server), "{role}");
    }
    let again = restore(&user, "a", &arguments);
    assert_eq!(again.succeeds().matches(" before: ").count(), 3, "{}", again.stdout);
    paste(&user, next(&again.stdout)[0]).succeeds();
    let notes = fs::read_to_string(user.path("a/RESTORE-NOTES.txt")).unwrap();
    assert!(!notes.contains("NOT LOADED YET"), "{notes}");
    // The whole command once more: nothing is overwritten, and it says how to load alone.
    restore(&user, "a", &with(&["--import-databases", "--replace-databases"], &place))
        .fails(1, &["not empty", "--import-only"]);
    // What somebody else put there is no half of ours.
    let ccnet = moved.name("ccnet");
    fs::remove_file(user.path("a/seawall-databases/imported.json")).unwrap();
    restore(&user, "a", &arguments).fails(1, &["not empty", "--replace-databases"]);
    server.sql(&format!(
        "CREATE TABLE `{ccnet}`.seawall_unfinished_import (dump VARCHAR(255)); \
         INSERT INTO `{ccnet}`.seawall_unfinished_import VALUES ('another')"
    ));
    let replacing = [&arguments[..], &["--replace-databases"]].concat();
    restore(&user, "a", &replacing).fails(1, &["half loaded, from another dump", "DROP DATABASE"]);
    // Dumps of another snapshot are not taken for this one's.
    let dump = user.path("a/seawall-databases/seahub.sql");
    let text = fs::read_to_string(&dump).unwrap();
    fs::write(&dump, text.replacen("INSERT", "insert", 1)).unwrap();
    restore(&user, "a", &arguments).fails(1, &[]);
}

/// What a binary log forbids is refused beforehand, exactly where the server itself would refuse it.
#[test]
fn programs_that_a_binary_log_forbids_are_refused_beforehand() {
    use seawall::database::mysql::{
        DatabaseToLoad, DumpNeeds, MySqlAddress, MySqlConnection, MySqlServer, MySqlTls, must_take,
    };
    let server = MariaDb::with(&["--log-bin", "--server-id=1"]);
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT); CREATE USER few@'%'; GRANT ALL ON d.* TO few@'%'");
    let account = |user: &str| MySqlServer {
        address: MySqlAddress::Socket(server.socket.clone()),
        user: user.to_owned(),
        password: None,
        tls: MySqlTls::Off,
    };
    let free = "CREATE FUNCTION f() RETURNS INT RETURN 1";
    let bound = "CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1";
    let unbound = "CREATE FUNCTION f() RETURNS INT NOT DETERMINISTIC RETURN 1";
    let reading = "CREATE FUNCTION f() RETURNS INT READS SQL DATA RETURN 1";
    let trigger = "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET @a = 1";
    let dump = |text: &str| format!("{text};\n-- seawall dump complete: 0 tables, 0 rows\n");
    for (is_trusting, user) in [(false, "few"), (false, "root"), (true, "few")] {
        server.sql(&format!(
            "SET GLOBAL log_bin_trust_function_creators = {}",
            u8::from(is_trusting)
        ));
        for text in [free, bound, unbound, reading, trigger] {
            let connection = MySqlConnection::open(&account(user)).unwrap();
            connection.run("USE d").unwrap();
            let itself = connection.run(text);
            server.sql("USE d; DROP FUNCTION IF EXISTS f; DROP TRIGGER IF EXISTS g");
            let needs = DumpNeeds::read(&mut dump(text).as_bytes()).unwrap();
            let wanted = [DatabaseToLoad { name: "d", needs: Some(&needs), is_replaced: false }];
            let beforehand = must_take(&account(user), &wanted);
            assert_eq!(
                itself.is_ok(),
                beforehand.is_ok(),
                "{user} {text}: {itself:?} {beforehand:?}"
            );
        }
    }
}
