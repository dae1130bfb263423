//! An installation whose databases are on MariaDB, as a user meets it: found, backed up, checked,
//! restored, loaded by hand, verified.

mod import;
mod standby;
mod unreadable;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rusqlite::types::ValueRef;
use seawall::object::{Kind, Object};
use seawall_test_servers::mariadb::MariaDb;
use seawall_test_servers::wait::{self, SetAtEnd};

use crate::cli::User;
use crate::support::Source;

/// The databases' passwords: they must be seen nowhere.
pub const PASSWORD: &str = "pass'w\"ord-of-seafile";

/// The example, moved to a server.
pub struct Moved {
    pub source: Source,
    pub server: &'static MariaDb,
    /// In the names of its databases.
    number: usize,
}

fn server() -> &'static MariaDb {
    static SERVER: OnceLock<MariaDb> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = MariaDb::start();
        server.sql(&format!(
            "CREATE USER seafile@'%' IDENTIFIED BY '{}'",
            PASSWORD.replace('\'', "''")
        ));
        server
    })
}

impl Moved {
    pub fn example() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let moved = Self {
            source: Source::example(),
            server: server(),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        };
        let path = |name: &str| moved.source.path.join(name);
        moved.move_to("seafile", &[&path("seafile-data/seafile.db")]);
        moved.move_to(
            "ccnet",
            &[
                &path("ccnet/PeerMgr/usermgr.db"),
                &path("ccnet/GroupMgr/groupmgr.db"),
                &path("ccnet/OrgMgr/orgmgr.db"),
            ],
        );
        moved.move_to("seahub", &[&path("seahub.db")]);
        moved.configure();
        moved
    }

    /// As old installations call them, with a hyphen.
    pub fn name(&self, role: &str) -> String {
        format!("{role}-db{}", self.number)
    }

    /// Makes a database of the tables of SQLite files, which are gone then.
    fn move_to(&self, role: &str, files: &[&Path]) {
        let name = self.name(role);
        let mut sql = format!("CREATE DATABASE `{name}` CHARACTER SET utf8mb4; USE `{name}`;\n");
        for file in files {
            let database = rusqlite::Connection::open(file).unwrap();
            let mut tables = database
                .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
                .unwrap();
            let tables = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
            for table in tables {
                sql.push_str(&table_as_sql(&database, &table.unwrap()));
            }
            fs::remove_file(file).unwrap();
        }
        self.server.sql(&sql);
        self.server.sql(&format!("GRANT ALL ON `{name}`.* TO seafile@'%'"));
    }

    fn configure(&self) {
        let (port, [seafile, ccnet, seahub]) =
            (self.server.port, ["seafile", "ccnet", "seahub"].map(|role| self.name(role)));
        let conf = |name: &str, text: String| {
            fs::write(self.source.path.join("conf").join(name), text).unwrap();
        };
        conf(
            "seafile.conf",
            format!(
                "[fileserver]\nport = 8082\n\n[database]\ntype = mysql\nhost = 127.0.0.1\nport = {port}\nuser = seafile\npassword = {PASSWORD}\ndb_name = {seafile}\nconnection_charset = utf8mb4\n"
            ),
        );
        conf(
            "ccnet.conf",
            format!(
                "[General]\n\n[Database]\nENGINE = mysql\nHOST = 127.0.0.1\nPORT = {port}\nUSER = seafile\nPASSWD = {PASSWORD}\nDB = {ccnet}\nCONNECTION_CHARSET = utf8mb4\n"
            ),
        );
        let password = PASSWORD.replace('\'', "\\'");
        conf(
            "seahub_settings.py",
            format!(
                "SECRET_KEY = 'fixture'\nDATABASES = {{\n    'default': {{\n        'ENGINE': 'django.db.backends.mysql',\n        'NAME': '{seahub}',\n        'USER': 'seafile',\n        'PASSWORD': '{password}',\n        'HOST': '127.0.0.1',\n        'PORT': '{port}',\n    }}\n}}\n"
            ),
        );
    }

    pub fn path(&self) -> &str {
        self.source.path.to_str().unwrap()
    }

    /// One number out of Seafile's own database.
    pub fn sql(&self, statement: &str) -> String {
        let name = self.name("seafile");
        self.server.sql(&format!("USE `{name}`; {statement}"))
    }
}

fn table_as_sql(database: &rusqlite::Connection, table: &str) -> String {
    let mut columns =
        database.prepare("SELECT name, lower(type) FROM pragma_table_info(?1)").unwrap();
    let column = |row: &rusqlite::Row<'_>| {
        let (name, kind): (String, String) = (row.get(0)?, row.get(1)?);
        let is_number = kind.contains("int") || kind.contains("bool");
        let kind = if is_number { "BIGINT" } else { "LONGTEXT" };
        Ok(format!("`{name}` {kind}"))
    };
    let columns: Vec<String> =
        columns.query_map([table], column).unwrap().map(Result::unwrap).collect();
    let mut rows = database.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
    let mut sql = format!("CREATE TABLE `{table}` ({});\n", columns.join(", "));
    let mut rows = rows.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let values: Vec<String> = (0..columns.len())
            .map(|at| match row.get_ref(at).unwrap() {
                ValueRef::Null => "NULL".to_owned(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => number.to_string(),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) if bytes.is_empty() => "''".into(),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    format!(
                        "'{}'",
                        std::str::from_utf8(bytes)
                            .unwrap()
                            .replace('\\', "\\\\")
                            .replace('\'', "''")
                    )
                }
            })
            .collect();
        writeln!(sql, "INSERT INTO `{table}` VALUES ({});", values.join(",")).unwrap();
    }
    sql
}

#[test]
fn the_main_job_with_databases_on_a_server() {
    let (user, moved) = (User::new(), Moved::example());
    let found = user.run(&["backup", moved.path(), "--dry-run"]);
    for text in ["MySQL", "127.0.0.1", "seafile-db", "ccnet-db", "seahub-db", "conf/seafile.conf:6"]
    {
        assert!(found.succeeds().contains(text), "{text}: {}", found.stdout);
    }
    let doctor = user.run(&["doctor", moved.path()]);
    assert!(doctor.stdout.contains("a snapshot can be taken"), "{}", doctor.stdout);
    moved
        .server
        .sql("CREATE DATABASE IF NOT EXISTS wordpress; GRANT SELECT ON wordpress.* TO seafile@'%'");
    let first = user.run(&["backup", moved.path(), "--init", "--json", "-v"]);
    first.succeeds();
    let manifests = crate::support::files_below(&user.repository());
    let is_manifest = |path: &&std::path::PathBuf| path.to_str().unwrap().contains("/manifests/");
    let manifest = fs::read(manifests.iter().find(is_manifest).unwrap()).unwrap();
    let manifest = String::from_utf8(zstd::decode_all(&manifest[..]).unwrap()).unwrap();
    assert!(manifest.contains("database wordpress"), "{manifest}");
    assert_eq!(first.json()["databases_stored"], 3);
    // Nothing changed: equal databases are equal dumps.
    let second = user.run(&["backup", moved.path(), "--json"]);
    second.succeeds();
    assert_eq!(second.json()["databases_stored"], 0);
    assert_eq!(second.json()["objects_stored"], 0);
    user.run(&["check", "--read-data"]).succeeds();
    user.run(&["check", "--deep"]).succeeds();
    let live = user.run(&["verify", moved.path(), "--json"]);
    live.succeeds();
    assert_eq!(live.json()["good"], true);
    let target = user.path("restored");
    let restored = user.run(&["restore", "latest", "--target", target.to_str().unwrap()]);
    restored.succeeds();
    let against = user.run(&["verify", target.to_str().unwrap(), "--snapshot", "latest"]);
    against.succeeds();
    // By hand, as the notes say, into databases of other names.
    let notes = fs::read_to_string(target.join("RESTORE-NOTES.txt")).unwrap();
    assert!(notes.contains("< seawall-databases/seafile.sql"), "{notes}");
    for role in ["seafile", "ccnet", "seahub"] {
        let text = fs::read(target.join(format!("seawall-databases/{role}.sql"))).unwrap();
        let name = format!("new_{role}_{}", moved.number);
        moved.server.sql(&format!("CREATE DATABASE {name}; GRANT ALL ON {name}.* TO seafile@'%'"));
        let loaded = moved.server.load(&name, &text);
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    }
    let name = |role: &str| format!("{role}=new_{role}_{}", moved.number);
    let names = ["seafile", "ccnet", "seahub"].map(name);
    let mut arguments = vec!["verify", target.to_str().unwrap(), "--json"];
    arguments.extend(names.iter().flat_map(|name| ["--database-name", name]));
    let verified = user.run(&arguments);
    verified.succeeds();
    assert_eq!(verified.json()["good"], true);
    assert_eq!(verified.json()["libraries"], live.json()["libraries"]);
    for ran in [&found, &doctor, &first, &second, &live, &restored, &verified] {
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!said.contains("pass'w"), "{said}");
    }
}

#[test]
fn a_server_elsewhere_than_the_configuration_says() {
    let (user, moved) = (User::new(), Moved::example());
    // As in a container: its name is known in its network alone.
    for file in ["seafile.conf", "ccnet.conf", "seahub_settings.py"] {
        let path = moved.source.path.join("conf").join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("127.0.0.1", "db.invalid")).unwrap();
    }
    let gone = user.run(&["backup", moved.path(), "--init"]);
    gone.fails(1, &["db.invalid", "--database-host"]);
    let socket = moved.server.socket.to_str().unwrap();
    let found = user.run(&["backup", moved.path(), "-n", "--database-socket", socket]);
    assert!(found.succeeds().contains("--database-socket"), "{}", found.stdout);
    user.run(&["backup", moved.path(), "--database-socket", socket]).succeeds();
    let password = user.path("password");
    fs::write(&password, "wrong\n").unwrap();
    let port = moved.server.port.to_string();
    let place = ["--database-host", "127.0.0.1", "--database-port", &port];
    let wrong = ["backup", moved.path(), "--database-password-file", password.to_str().unwrap()];
    let wrong = user.run(&[&wrong[..], &place].concat());
    wrong.fails(1, &["seafile@127.0.0.1", "--database-user"]);
    assert!(!wrong.stderr.contains("wrong\n"), "{}", wrong.stderr);
    user.run(&[&["backup", moved.path()][..], &place].concat()).succeeds();
}

/// One server that two files spell in two ways has one snapshot; and the variables of the backup say
/// nothing about where a restore loads.
#[test]
fn one_server_is_one_however_it_is_called() {
    let (user, moved) = (User::new(), Moved::example());
    let path = moved.source.path.join("conf/ccnet.conf");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("127.0.0.1", "localhost")).unwrap();
    let backup = user.run(&["backup", moved.path(), "--init"]);
    backup.succeeds();
    assert!(!backup.stderr.contains("different moments"), "{}", backup.stderr);
    let target = user.path("a");
    let restore = ["restore", "latest", "--import-databases", "--target", target.to_str().unwrap()];
    let mut command = user.command(&restore);
    command
        .env("SEAWALL_DATABASE_SOCKET", &moved.server.socket)
        .env("SEAWALL_DATABASE_USER", "root");
    let ran = crate::cli::Ran::of(wait::output(&mut command));
    ran.fails(1, &["place is not given", "--database-host"]);
}

/// No marker without all dumps, and the next run works.
#[test]
fn a_database_that_is_gone_or_may_not_be_read_is_no_snapshot() {
    let (user, moved) = (User::new(), Moved::example());
    let seahub = moved.name("seahub");
    moved.server.sql(&format!("REVOKE EVENT ON `{seahub}`.* FROM seafile@'%'"));
    let denied = user.run(&["backup", moved.path(), "--init"]);
    denied.fails(1, &["EVENT", &seahub, "GRANT EVENT"]);
    user.run(&["snapshots"]).succeeds();
    assert!(fs::read_dir(user.repository().join("markers")).is_err());
    moved.server.sql(&format!("GRANT EVENT ON `{seahub}`.* TO seafile@'%'"));
    user.run(&["backup", moved.path()]).succeeds();
    moved.server.sql(&format!("DROP DATABASE `{seahub}`"));
    user.run(&["backup", moved.path()]).fails(1, &[&seahub]);
}

/// Somebody who makes commits of a library, one after the other, until `stop`: the object, then in one transaction
/// its head and, in each database, the number of the commit.
fn make_commits(moved: &Moved, writer: usize, library: &str, stop: &AtomicBool) {
    let before = moved.sql(&format!("SELECT commit_id FROM Branch WHERE repo_id = '{library}'"));
    let mut before =
        Object::new(library.parse().unwrap(), Kind::Commit, before.trim().parse().unwrap());
    for number in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("{writer:08x}{number:032x}");
        before = crate::damage::write_commit(&moved.source, &before, &id, |json| {
            json["parent_id"] = before.id.to_string().into();
            json["ctime"] = (json["ctime"].as_i64().unwrap() + 1).into();
        });
        let mut sql = "START TRANSACTION;".to_owned();
        for role in ["ccnet", "seahub", "seafile"] {
            let name = moved.name(role);
            write!(sql, "UPDATE `{name}`.live SET number = {number} WHERE writer = {writer};")
                .unwrap();
        }
        let name = moved.name("seafile");
        write!(
            sql,
            "UPDATE `{name}`.Branch SET commit_id = '{id}' WHERE repo_id = '{library}'; COMMIT"
        )
        .unwrap();
        moved.server.sql(&sql);
    }
}

/// Rows of a table in a dump, each as its text without the parentheses.
fn dumped_rows(dump: &str, table: &str) -> Vec<String> {
    let begin = format!("INSERT INTO `{table}` (");
    let (_, rest) = dump.split_once(&begin).unwrap();
    let (rows, _) = rest.split_once(";\n").unwrap();
    let rows = rows.split_once("VALUES\n").unwrap().1.lines();
    rows.map(|row| row.trim_start_matches('(').trim_end_matches([',', ')']).to_owned()).collect()
}

/// Four writers, each with a library or its branch of one: the databases, the heads and the objects agree.
#[test]
fn heads_that_move_meanwhile_are_those_of_one_moment() {
    const WRITERS: usize = 4;
    let (user, moved) = (User::new(), Moved::example());
    let libraries = moved.sql("SELECT repo_id FROM Branch ORDER BY repo_id");
    let libraries: Vec<&str> = libraries.lines().collect();
    assert!(libraries.len() >= WRITERS);
    for role in ["ccnet", "seahub", "seafile"] {
        let name = moved.name(role);
        moved.server.sql(&format!(
            "USE `{name}`; CREATE TABLE live (writer INT PRIMARY KEY, number INT) ENGINE=InnoDB; INSERT INTO live VALUES (0,0),(1,0),(2,0),(3,0)"
        ));
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stopped = SetAtEnd(&stop);
        for (writer, library) in libraries.iter().enumerate().take(WRITERS) {
            let (moved, stop) = (&moved, &stop);
            scope.spawn(move || make_commits(moved, writer, library, stop));
        }
        let mut seen = Vec::new();
        for round in 0..3 {
            user.run(&["backup", moved.path(), "--init"]).succeeds();
            let target = user.path(&format!("restored-{round}"));
            let target = target.to_str().unwrap();
            user.run(&["restore", "latest", "--target", target]).succeeds();
            let dump = |role: &str| {
                let file = format!("{target}/seawall-databases/{role}.sql");
                fs::read_to_string(file).unwrap()
            };
            let [ccnet, seahub, seafile] = ["ccnet", "seahub", "seafile"].map(dump);
            let numbers = dumped_rows(&seafile, "live");
            assert_eq!(numbers, dumped_rows(&ccnet, "live"));
            assert_eq!(numbers, dumped_rows(&seahub, "live"));
            let heads = dumped_rows(&seafile, "Branch");
            for (row, library) in numbers.iter().zip(&libraries) {
                let (writer, number) = row.split_once(',').unwrap();
                let (writer, number): (usize, u64) =
                    (writer.parse().unwrap(), number.parse().unwrap());
                let id = format!("{writer:08x}{number:032x}");
                let of_library = |row: &&String| row.contains(library);
                let head = heads.iter().find(of_library).unwrap();
                assert!(number == 0 || head.contains(&id), "{row}: {head}");
            }
            seen.push(numbers);
            user.run(&["check", "--deep"]).succeeds();
        }
        seen.dedup();
        assert_eq!(seen.len(), 3, "nobody wrote meanwhile: {seen:?}");
        drop(stopped);
    });
}

/// Into another server, by the verb; never by mistake into the one that was backed up.
#[test]
fn a_restore_loads_the_databases_where_it_is_told_to() {
    let (user, moved) = (User::new(), Moved::example());
    user.run(&["backup", moved.path(), "--init"]).succeeds();
    let other = MariaDb::start();
    let restore = |folder: &str, more: &[&str]| {
        let target = user.path(folder);
        let target = target.to_str().unwrap();
        let common = ["restore", "latest", "--import-databases", "--target", target];
        user.run(&[&common[..], more].concat())
    };
    restore("a", &[]).fails(1, &["--database-host"]);
    assert!(!user.path("a").exists());
    let socket = ["--database-socket", other.socket.to_str().unwrap()];
    restore("a", &socket).fails(1, &["--database-user"]);
    let account = [&socket[..], &["--database-user", "root"]].concat();
    let restored = restore("a", &account);
    let said = restored.succeeds();
    assert!(said.contains("will be made"), "{said}");
    for role in ["seafile", "ccnet", "seahub"] {
        let name = moved.name(role);
        assert!(said.contains(&format!("{role} into {name}: ")), "{said}");
        let count = |server: &MariaDb| {
            server.sql(&format!(
                "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{name}'"
            ))
        };
        assert_eq!(count(&other), count(moved.server));
    }
    // What was loaded is what was restored.
    let target = user.path("a");
    let verify = ["verify", target.to_str().unwrap()];
    user.run(&[&verify[..], &account].concat()).succeeds();
    // Twice is over something.
    restore("b", &account).fails(1, &["is not empty", "--database-name"]);
    let names = ["seafile", "ccnet", "seahub"].map(|role| format!("{role}=again-{role}"));
    let names: Vec<&str> = names.iter().flat_map(|name| ["--database-name", name]).collect();
    restore("c", &[&account[..], &names].concat()).succeeds();
    // The server that was backed up, by another name.
    let socket = moved.server.socket.to_str().unwrap();
    let names =
        ["seafile", "ccnet", "seahub"].map(|role| format!("{role}=into{}-{role}", moved.number));
    let names: Vec<&str> = names.iter().flat_map(|name| ["--database-name", name]).collect();
    let there = ["--database-socket", socket, "--database-user", "root"];
    let there = [&there[..], &names].concat();
    restore("d", &there)
        .fails(1, &["is the server that was backed up", "--into-configured-server"]);
    assert!(!user.path("d").exists(), "told before anything is restored");
    assert_eq!(moved.server.sql(&format!("SHOW DATABASES LIKE 'into{}%'", moved.number)), "");
    restore("e", &[&there[..], &["--into-configured-server"]].concat()).succeeds();
}

/// What is there is dumped, replaced and kept; what is in use is not touched.
#[test]
fn a_restore_replaces_what_is_there_only_when_told_and_keeps_it() {
    let (user, moved) = (User::new(), Moved::example());
    let also = format!("sdoc-{}", moved.number);
    moved.server.sql(&format!(
        "CREATE DATABASE `{also}`; CREATE TABLE `{also}`.pages (id INT PRIMARY KEY); INSERT INTO `{also}`.pages VALUES (1), (2); \
         GRANT ALL ON `{also}`.* TO seafile@'%'"
    ));
    let backup = ["backup", moved.path(), "--init", "--json"];
    let backup = user.run(&[&backup[..], &["--also-database", &also]].concat());
    backup.succeeds();
    assert_eq!(backup.json()["databases_stored"], 4);
    user.run(&["check", "--deep"]).succeeds();
    let other = MariaDb::start();
    let seafile = moved.name("seafile");
    other.sql(&format!(
        "CREATE DATABASE `{seafile}`; CREATE TABLE `{seafile}`.old (a INT); INSERT INTO `{seafile}`.old VALUES (7)"
    ));
    let restore = |folder: &str, more: &[&str]| {
        let target = user.path(folder);
        let common = [
            "restore",
            "latest",
            "--import-databases",
            "--replace-databases",
            "--target",
            target.to_str().unwrap(),
            "--database-socket",
            other.socket.to_str().unwrap(),
            "--database-user",
            "root",
        ];
        user.run(&[&common[..], more].concat())
    };
    // Nothing is begun that cannot be ended.
    let unknown = format!("also-{also}x=y");
    restore("a", &["--database-name", &unknown]).fails(1, &["has no database also-"]);
    let twice = format!("ccnet={seafile}");
    restore("a", &["--database-name", &twice]).fails(1, &["two databases", &seafile]);
    {
        let _somebody = other.connected_to(&seafile);
        restore("a", &[]).fails(1, &["in use", "stop Seafile"]);
    }
    assert!(!user.path("a").exists());
    let planned = restore("a", &["--dry-run"]);
    assert!(planned.succeeds().contains("1 table"), "{}", planned.stdout);
    assert_eq!(other.sql(&format!("SELECT a FROM `{seafile}`.old")), "7\n");
    let replaced = restore("a", &["--json"]);
    replaced.succeeds();
    let imported = replaced.json()["imported"].clone();
    let imported = imported.as_array().unwrap();
    assert_eq!(imported.len(), 4);
    let of = |role: &str| {
        let found = imported.iter().find(|one| one["role"] == role);
        found.unwrap_or_else(|| panic!("{role}: {imported:?}"))
    };
    assert_eq!(of(&format!("also-{also}"))["rows"], 2);
    assert!(of("ccnet")["before"].is_null());
    let before = of("seafile")["before"].as_str().unwrap();
    assert_eq!(other.sql(&format!("SELECT a FROM `{before}`.old")), "7\n");
    let libraries = format!("SELECT COUNT(*) FROM `{seafile}`.Repo");
    assert_eq!(other.sql(&libraries), moved.server.sql(&libraries));
    let kept = fs::read(user.path("a/seawall-databases/before-seafile.sql.zst")).unwrap();
    let kept = String::from_utf8(zstd::decode_all(&kept[..]).unwrap()).unwrap();
    assert!(kept.contains("INSERT INTO `old`"), "{kept}");
    assert!(!user.path("a/seawall-databases/before-ccnet.sql.zst").exists());
    let target = user.path("a");
    let verify = ["verify", target.to_str().unwrap()];
    let socket = other.socket.to_str().unwrap();
    let there = ["--database-socket", socket, "--database-user", "root"];
    user.run(&[&verify[..], &there].concat()).succeeds();
}
