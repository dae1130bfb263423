//! Loads dumps without a stock client. Nothing that was there is lost.

use super::content::{THINGS, TYPES, checksums, same};
use seawall_test_servers::proxy::Proxy;
use seawall_test_servers::wait;

use super::*;

fn fresh(what: &str) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    format!("{what}-`new {}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

pub(super) fn loaded(name: &str, dump: &[u8]) -> Result<LoadTotals, LoadError> {
    load(&root(server()), name, &mut &*dump, &mut |_| ())
}

fn replaced(name: &str, dump: &[u8]) -> Result<ReplacedDatabase, LoadError> {
    replace(&root(server()), name, &mut &*dump, &mut |_| ())
}

/// The names of all databases that begin with this one.
fn relatives(name: &str) -> Vec<String> {
    let connection = MySqlConnection::open(&root(server())).unwrap();
    let mut rows =
        connection.rows("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY 1").unwrap();
    let names = rows.iter_mut().map(|row| connection::cell_text(row, 0).unwrap());
    names.filter(|other| other.starts_with(name)).collect()
}

fn without_last_line(dump: &str) -> &str {
    let last = dump.trim_end().rfind('\n').unwrap();
    &dump[..=last]
}

#[test]
fn a_dump_comes_back_as_by_the_stock_client() {
    for schema in [TYPES, THINGS] {
        let name = database("source");
        sql(&name, schema);
        let (dump, totals) = dumped(&name);
        let copy = fresh("copy");
        let mut last = LoadProgress::default();
        let result = load(&root(server()), &copy, &mut &*dump, &mut |at| {
            last = at.clone();
        });
        let result = result.unwrap();
        assert_eq!((result.tables, result.rows), (totals.tables, totals.rows));
        assert_eq!((last.tables, last.rows), (totals.tables, totals.rows));
        assert_eq!(result.notes, [] as [&str; 0]);
        same(&name, &copy);
        assert_eq!(dumped(&copy).0, dump);
    }
}

#[test]
fn programs_are_cut_as_their_own_modes_say() {
    let name = database("modes");
    sql(
        &name,
        r#"SET sql_mode = 'NO_BACKSLASH_ESCAPES';
           CREATE FUNCTION a_slash() RETURNS CHAR(1) DETERMINISTIC RETURN '\';
           SET sql_mode = 'ANSI_QUOTES';
           CREATE PROCEDURE b_names() SELECT 1 AS "it's; " -- it's
           ;
           SET sql_mode = '';
           CREATE FUNCTION c_slash() RETURNS CHAR(1) DETERMINISTIC RETURN '\\';"#,
    );
    let (dump, _) = dumped(&name);
    let copy = fresh("modes");
    loaded(&copy, &dump).unwrap();
    assert_eq!(dumped(&copy).0, dump);
    assert_eq!(sql(&copy, "SELECT HEX(a_slash()), HEX(c_slash()); CALL b_names()"), "5C\t5C\n1\n");
}

#[test]
fn a_database_is_made_as_the_dump_says() {
    let name = database("latin");
    sql(
        &name,
        "ALTER DATABASE CHARACTER SET latin1 COLLATE latin1_german1_ci; CREATE TABLE t (a TEXT)",
    );
    let (dump, _) = dumped(&name);
    let there = database("there");
    let absent = fresh("absent");
    for copy in [there, absent] {
        loaded(&copy, &dump).unwrap();
        assert_eq!(sql(&copy, "SELECT @@collation_database"), "latin1_german1_ci\n");
        assert_eq!(dumped(&copy).0, dump);
    }
}

#[test]
fn what_is_there_is_seen_and_not_touched() {
    let name = database("full");
    sql(
        &name,
        "CREATE TABLE t (a INT); INSERT INTO t VALUES (1),(2); CREATE PROCEDURE p() SELECT 1;",
    );
    let used = database("used");
    let absent = fresh("absent");
    let visitor = MySqlConnection::open(&root(server())).unwrap();
    visitor.run(&format!("USE {}", literal::name(&used))).unwrap();

    let target = LoadTarget::examine(&root(server()), &[&name, &used, &absent]).unwrap();
    assert!(target.version.contains("MariaDB") && target.sees_others, "{target:?}");
    assert_eq!(target.identity, visitor.identity().unwrap());
    let [full, in_use, none] = &target.databases[..] else { panic!("{target:?}") };
    assert_eq!(full.tables, [("t".to_owned(), 2)]);
    assert_eq!((full.programs, full.used_by.len(), full.exists), (1, 0, true));
    assert!(in_use.exists && in_use.is_empty());
    assert!(in_use.used_by[0].starts_with("root from localhost"), "{in_use:?}");
    assert!(!none.exists && none.is_empty());

    server().sql("CREATE USER blind@localhost");
    let blind = MySqlServer { user: "blind".to_owned(), ..root(server()) };
    let seen = LoadTarget::examine(&blind, &[&used]).unwrap();
    assert!(!seen.sees_others && seen.databases[0].used_by.is_empty());

    let (dump, _) = dumped(&name);
    let error = loaded(&name, &dump).unwrap_err();
    assert!(
        matches!(&error, LoadError::NotEmpty { database, tables: 1, programs: 1, .. } if *database == name),
        "{error:?}"
    );
    for error in [loaded(&used, &dump).unwrap_err(), replaced(&used, &dump).unwrap_err()] {
        assert!(
            matches!(&error, LoadError::InUse { database, .. } if *database == used),
            "{error:?}"
        );
        assert!(error.to_string().contains("root from localhost"), "{error}");
    }
    assert_eq!(sql(&used, "SHOW TABLES"), "");
    drop(visitor);
    // A database with only a procedure is not empty.
    sql(&name, "DROP TABLE t");
    assert!(matches!(loaded(&name, &dump), Err(LoadError::NotEmpty { tables: 0, .. })));
}

#[test]
fn a_dump_that_is_not_whole_is_not_taken_for_one() {
    let name = database("whole");
    sql(
        &name,
        "CREATE TABLE t (a INT); INSERT INTO t VALUES (1),(2); CREATE TABLE `last one` (a INT)",
    );
    let (dump, _) = dumped(&name);
    let text = String::from_utf8(dump).unwrap();
    let without_trailer = without_last_line(&text);
    let error = loaded(&fresh("cut"), without_trailer.as_bytes()).unwrap_err();
    assert!(matches!(error, LoadError::Incomplete { .. }), "{error:?}");
    assert!(error.to_string().contains("2 tables and 2 rows (the last table is t)"), "{error}");

    let within = &text[..text.find("(1)").unwrap()];
    let error = loaded(&fresh("cut"), within.as_bytes()).unwrap_err();
    assert!(matches!(error, LoadError::Dump(SplitError::Unfinished { .. })), "{error:?}");

    let lacking = text.replace("(1),\n", "");
    assert_ne!(lacking, text);
    let error = loaded(&fresh("cut"), lacking.as_bytes()).unwrap_err();
    assert!(matches!(error, LoadError::Counts { rows: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("came 2 tables and 1 row ("), "{error}");
}

#[test]
fn a_statement_that_fails_says_where() {
    let dump = "\nCREATE TABLE `t` (a INT);\nINSERT INTO `t` VALUES (1);\nINSERT INTO `t` VALUES ('secret', 2);\n";
    let name = fresh("bad");
    let error = loaded(&name, dump.as_bytes()).unwrap_err();
    let LoadError::Statement { database, line: 4, at, source } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((database, at.tables, at.rows), (&name, 1, 1));
    assert!(source.to_string().contains("INSERT INTO `t`"), "{source}");
    assert!(!format!("{error} {source}").contains("secret"));
    // The loaded part stays, so that somebody can look at it.
    assert_eq!(sql(&name, "SELECT a FROM t"), "1\n");
}

#[test]
fn a_row_that_the_server_does_not_take_is_told_before() {
    let name = fresh("packet");
    let mut dump = b"CREATE TABLE `big` (b LONGBLOB);\nINSERT INTO `big` VALUES ('".to_vec();
    dump.resize(dump.len() + (65 << 20), b'x');
    dump.extend_from_slice(b"');\n");
    let error = loaded(&name, &dump).unwrap_err();
    assert!(matches!(&error, LoadError::Packet { table, .. } if table == "big"), "{error}");
    assert!(error.hint().unwrap().contains("max_allowed_packet = 66 * 1024"), "{:?}", error.hint());
}

#[test]
fn collations_that_the_server_lacks_are_replaced_and_said() {
    let dump = "-- A dump\n-- CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci; the last line\n\
        CREATE TABLE `t` (a VARCHAR(99) COLLATE utf8mb4_0900_as_cs DEFAULT 'utf8mb4_0900_ai_ci') \
        DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;\n\
        INSERT INTO `t` VALUES ('COLLATE utf8mb4_0900_ai_ci');\n\
        SET collation_connection = 'utf8mb4_0900_ai_ci';\nCREATE VIEW v AS SELECT a FROM t;\n\
        -- seawall dump complete: 1 tables, 1 rows\n";
    let name = fresh("collations");
    let result = loaded(&name, dump.as_bytes()).unwrap();
    assert_eq!(result.notes.len(), 2, "{:?}", result.notes);
    assert!(result.notes[0].contains("utf8mb4_0900_ai_ci"), "{:?}", result.notes);
    assert_eq!(
        sql(&name, "SELECT a, @@collation_database FROM t"),
        "COLLATE utf8mb4_0900_ai_ci\tutf8mb4_uca1400_ai_ci\n"
    );
}

/// Two tables, one of which refers to the other, and what depends on them.
fn family(name: &str, text: &str) {
    sql(
        name,
        &format!(
            "CREATE TABLE parent (id INT PRIMARY KEY, text VARCHAR(20)) ENGINE=InnoDB;
             CREATE TABLE child (id INT PRIMARY KEY, CONSTRAINT fk FOREIGN KEY (id) REFERENCES parent (id)) ENGINE=InnoDB;
             INSERT INTO parent VALUES (1, '{text}'); INSERT INTO child VALUES (1);
             CREATE FUNCTION said() RETURNS VARCHAR(20) DETERMINISTIC RETURN '{text}';
             CREATE VIEW seen AS SELECT id, text, said() AS word FROM parent;
             CREATE TRIGGER `follow` AFTER INSERT ON `parent` FOR EACH ROW INSERT INTO child VALUES (NEW.id);
             CREATE EVENT later ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM child;"
        ),
    );
}

/// Asserts that all things of a [`family`] are there, and work.
fn lives(name: &str, text: &str) {
    assert_eq!(sql(name, "SELECT * FROM seen WHERE id = 1"), format!("1\t{text}\t{text}\n"));
    assert_eq!(
        sql(name, "INSERT INTO parent VALUES (2, 'x'); SELECT id FROM child ORDER BY id"),
        "1\n2\n"
    );
    let orphan = format!("USE {}; INSERT INTO child VALUES (9)", literal::name(name));
    let output = server().load("", orphan.as_bytes());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("foreign key constraint fails"), "{said}");
    sql(name, "DELETE FROM child WHERE id = 2; DELETE FROM parent WHERE id = 2");
}

#[test]
fn what_is_replaced_is_kept() {
    let (source, name) = (database("source"), database("place"));
    family(&source, "new");
    family(&name, "old");
    sql(&name, "CREATE TABLE surplus (a INT); CREATE SEQUENCE numbers");
    // Where the dump has a table, the database has a view, and the other way round.
    sql(&source, "CREATE TABLE turned (a INT); CREATE VIEW back AS SELECT 1 AS a");
    sql(&name, "CREATE VIEW turned AS SELECT 1 AS a; CREATE TABLE back (a INT)");
    let (old, new) = (checksums(&name), dumped(&source).0);
    let result = replaced(&name, &new).unwrap();
    let before = result.before.unwrap();
    assert_eq!(relatives(&name), [name.clone(), before.clone()]);
    same(&source, &name);
    assert_eq!(dumped(&name).0, new);
    lives(&name, "new");
    assert_eq!(checksums(&before), old);
    lives(&before, "old");
    assert_eq!(sql(&before, "SELECT NEXTVAL(numbers); SELECT a FROM turned"), "1\n1\n");
    assert_eq!(result.loaded.notes.len(), 1, "{:?}", result.loaded.notes);
    assert!(result.loaded.notes[0].ends_with(": later"), "{:?}", result.loaded.notes);
    // And again, over what is there now.
    let result = replaced(&name, &new).unwrap();
    assert_eq!(dumped(&result.before.unwrap()).1.rows, 2);
}

#[test]
fn what_breaks_off_leaves_what_was_there() {
    let (source, name) = (database("source"), database("kept"));
    family(&source, "new");
    family(&name, "old");
    let was = dumped(&name).0;
    let text = String::from_utf8(dumped(&source).0).unwrap();
    let cut = without_last_line(&text);
    let bad_view = text.replace("from `parent`", "from `nothing`");
    assert_ne!(bad_view, text);
    for broken in [cut, &text[..200], &bad_view] {
        let error = replaced(&name, broken.as_bytes()).unwrap_err();
        assert!(
            !matches!(error, LoadError::Half { .. } | LoadError::NotPutBack { .. }),
            "{error:?}"
        );
        assert_eq!(relatives(&name), [name.as_str()]);
        assert_eq!(dumped(&name).0, was);
    }
    lives(&name, "old");
}

/// A dump that ends the loader's connection once only so many bytes are left.
struct Killing<'a>(&'a [u8], usize);

impl std::io::Read for Killing<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let before = self.0.len();
        let most = into.len().min(1000);
        let len = self.0.read(&mut into[..most])?;
        if before > self.1 && self.0.len() <= self.1 {
            let killer = MySqlConnection::open(&root(server())).unwrap();
            let mut rows = killer
                .rows("SELECT ID FROM information_schema.PROCESSLIST WHERE DB LIKE 'broken%'")
                .unwrap();
            assert_eq!(rows.len(), 1);
            let id = connection::cell_text(&mut rows[0], 0).unwrap();
            killer.run(&format!("KILL {id}")).unwrap();
        }
        Ok(len)
    }
}

#[test]
fn a_killed_connection_leaves_what_was_there() {
    let (source, name) = (database("source"), database("broken"));
    sql(
        &source,
        "CREATE TABLE t (a TEXT); INSERT INTO t SELECT REPEAT('x', 1000) FROM seq_1_to_5000",
    );
    family(&name, "old");
    let was = dumped(&name).0;
    let new = dumped(&source).0;
    let half = new.len() / 2;
    let error = replace(&root(server()), &name, &mut Killing(&new, half), &mut |_| ()).unwrap_err();
    let LoadError::Statement { source, at, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.kind(), &MySqlErrorKind::Lost);
    assert!(at.rows > 0 && at.rows < 5000, "{at:?}");
    assert_eq!(relatives(&name), [name.as_str()]);
    assert_eq!(dumped(&name).0, was);
}

#[test]
fn a_swap_that_fails_is_undone() {
    let (source, name) = (database("source"), database("stuck"));
    family(&source, "new");
    family(&name, "old");
    let was = dumped(&name).0;
    let new = dumped(&source).0;
    // Without DROP, triggers are gone when a view cannot be dropped. Without ALTER, everything is
    // gone when tables cannot be renamed.
    for lacking in ["DROP", "ALTER"] {
        let user = format!("no_{lacking}");
        super::server().sql(&format!(
            "CREATE USER {user}@localhost; GRANT ALL ON *.* TO {user}@localhost;
             REVOKE {lacking} ON *.* FROM {user}@localhost;
             GRANT DROP ON `stuck%\\_\\_%`.* TO {user}@localhost"
        ));
        let server = MySqlServer { user, ..root(server()) };
        let error = replace(&server, &name, &mut &*new, &mut |_| ()).unwrap_err();
        let LoadError::Server(said) = &error else { panic!("{error:?}") };
        assert!(matches!(said.kind(), MySqlErrorKind::Denied(_)), "{error:?}");
        assert_eq!(relatives(&name), [name.as_str()]);
        assert_eq!(dumped(&name).0, was);
        lives(&name, "old");
    }
}

/// The line breaks, and the server goes on with a swap that it cannot report to anybody. Nothing is
/// dropped, and the old content stays.
#[test]
fn a_line_that_breaks_during_the_swap_loses_nothing() {
    let (source, name) = (database("source"), database("waiting"));
    family(&source, "new");
    family(&name, "old");
    let (was, new) = (dumped(&name).0, dumped(&source).0);
    let proxy = Proxy::start(super::server().port, std::time::Duration::ZERO);
    let far = MySqlServer {
        address: MySqlAddress::Tcp { host: "127.0.0.1".to_owned(), port: proxy.port },
        ..root(super::server())
    };
    let table = format!("{}.`child`", literal::name(&name));
    let waits = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
        WHERE INFO LIKE 'RENAME TABLE%waiting%' AND STATE LIKE 'Waiting%'";
    let error = std::thread::scope(|scope| {
        // A connection that has read a table but does not use the database. It ends with this
        // closure, also after a panic, because the other thread waits for it.
        let blocker = MySqlConnection::open(&root(super::server())).unwrap();
        blocker.run("START TRANSACTION").unwrap();
        blocker.rows(&format!("SELECT * FROM {table}")).unwrap();
        let replacing = scope.spawn(|| replace(&far, &name, &mut &*new, &mut |_| ()));
        let watcher = MySqlConnection::open(&root(super::server())).unwrap();
        wait::until("the rename waits for the reader", || {
            assert!(!replacing.is_finished());
            watcher.text(waits).unwrap().as_deref() != Some("0")
        });
        proxy.cut();
        let replaced = replacing.join().unwrap();
        blocker.run("COMMIT").unwrap();
        replaced.unwrap_err()
    });
    assert!(
        matches!(&error, LoadError::Server(error) if *error.kind() == MySqlErrorKind::Lost),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("as it was"));
    assert_eq!(dumped(&name).0, was);
    lives(&name, "old");
}
