//! What is refused, and what the errors say.

use seawall_test_servers::wait;

use super::*;

fn begin(server: &MySqlServer, database: &str) -> Result<(), Error> {
    MySqlSnapshot::begin(server, &[database]).map(drop)
}

fn tcp(port: u16, user: &str, password: &str) -> MySqlServer {
    MySqlServer {
        address: MySqlAddress::Tcp { host: "127.0.0.1".to_owned(), port },
        user: user.to_owned(),
        password: Some(DatabasePassword::new(password)),
        tls: MySqlTls::Off,
    }
}

#[test]
fn servers_and_accounts_that_are_not_there_are_told_apart() {
    let name = database("there");
    let nobody = tcp(seawall_test_servers::process::free_port(), "root", "");
    let error = begin(&nobody, &name).unwrap_err();
    assert_eq!(error.kind(), &MySqlErrorKind::Unreachable, "{error:?}");
    let socket =
        MySqlServer { address: MySqlAddress::Socket("/nowhere/socket".into()), ..root(server()) };
    assert_eq!(begin(&socket, &name).unwrap_err().kind(), &MySqlErrorKind::Unreachable);
    let stranger = tcp(server().port, "root", "hunter2");
    let error = begin(&stranger, &name).unwrap_err();
    assert_eq!(error.kind(), &MySqlErrorKind::Login, "{error:?}");
    assert!(!format!("{error:?} {error} {stranger:?}").contains("hunter2"));
    let error = begin(&root(server()), "not there").unwrap_err();
    assert_eq!(error.kind(), &MySqlErrorKind::NoDatabase);
    assert!(error.to_string().contains("not there"), "{error}");
}

#[test]
fn what_an_account_lacks_is_named_with_the_grant() {
    let name = database("grants");
    sql(&name, "CREATE TABLE t (id INT) ENGINE=MyISAM; CREATE VIEW v AS SELECT id FROM t;");
    let all = ["SELECT", "TRIGGER", "EVENT", "SHOW VIEW", "LOCK TABLES"];
    for lacking in all {
        let user = format!("lacks_{}", lacking.replace(' ', "_"));
        let others: Vec<&str> = all.into_iter().filter(|one| *one != lacking).collect();
        server().sql(&format!(
            "CREATE USER {user}@'%' IDENTIFIED BY 'x'; GRANT {} ON {}.* TO {user}@'%';",
            others.join(", "),
            literal::name(&name.replace('_', "\\_"))
        ));
        let account = tcp(server().port, &user, "x");
        let error = begin(&account, &name).unwrap_err();
        let hint = error.hint().unwrap();
        assert!(hint.contains(&format!("GRANT {lacking} ON ")), "{lacking}: {error} {hint}");
        // The statement in the hint is the one that helps.
        server().sql(hint.split_once(": ").unwrap().1);
        begin(&account, &name).unwrap();
        let snapshot = MySqlSnapshot::begin(&account, &[&name]).unwrap();
        snapshot.dump(&name, &mut Vec::new()).unwrap();
    }
}

/// The grants of a role count, and only where the role is in force.
#[test]
fn roles_give_what_they_give() {
    let name = database("roles");
    sql(&name, "CREATE TABLE t (a INT)");
    let place = format!("{}.*", literal::name(&name));
    server().sql(&format!(
        "CREATE ROLE reader; GRANT SELECT, EVENT ON {place} TO reader;
         CREATE USER cast_member@localhost; GRANT reader TO cast_member@localhost;
         SET DEFAULT ROLE reader FOR cast_member@localhost"
    ));
    let account = MySqlServer { user: "cast_member".to_owned(), ..root(server()) };
    let error = begin(&account, &name).unwrap_err();
    let MySqlErrorKind::Denied(grant) = error.kind() else { panic!("{error:?}") };
    assert!(grant.starts_with("GRANT TRIGGER ON "), "{grant}");
    server().sql(&format!("GRANT TRIGGER ON {place} TO reader"));
    begin(&account, &name).unwrap();
    server().sql("SET DEFAULT ROLE NONE FOR cast_member@localhost");
    begin(&account, &name).unwrap_err();
}

#[test]
fn ways_to_log_in() {
    let name = database("login");
    server().sql(
        "INSTALL SONAME 'auth_ed25519';
         CREATE USER native@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('p w');
         CREATE USER ed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('p w');
         GRANT ALL ON *.* TO native@'%', ed@'%';",
    );
    for user in ["native", "ed"] {
        begin(&tcp(server().port, user, "p w"), &name).unwrap();
        let error = begin(&tcp(server().port, user, "wrong"), &name).unwrap_err();
        assert_eq!(error.kind(), &MySqlErrorKind::Login, "{user}: {error:?}");
    }
    // Log in by the account of the operating system.
    let second = MariaDb::start();
    second.sql("CREATE DATABASE x; ALTER USER root@localhost IDENTIFIED VIA unix_socket;");
    begin(&root(&second), "x").unwrap();
    let as_another = MySqlServer { user: "another".to_owned(), ..root(&second) };
    assert_eq!(begin(&as_another, "x").unwrap_err().kind(), &MySqlErrorKind::Login);
}

#[test]
fn a_connection_that_is_killed_ends_the_dump() {
    let name = database("killed");
    sql(
        &name,
        "CREATE TABLE t (id INT PRIMARY KEY, x VARCHAR(1000)); INSERT INTO t SELECT seq, REPEAT('x', 900) FROM seq_1_to_60000;",
    );
    let snapshot = MySqlSnapshot::begin(&root(server()), &[&name]).unwrap();
    let mut written = 0;
    let mut out = Hook(|bytes: &[u8]| {
        if written == 0 && bytes.len() > 1000 {
            let ids = server().sql("SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT `id`, `x`%' AND ID <> CONNECTION_ID()");
            for id in ids.lines() {
                server().sql(&format!("KILL {id}"));
            }
        }
        written += usize::from(bytes.len() > 1000);
    });
    let error = snapshot.dump(&name, &mut out).unwrap_err();
    let DumpError::Server(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), &MySqlErrorKind::Lost, "{error:?}");
    assert!(written < 50, "{written}");
    // The connection cannot be used any more, and says so.
    assert!(snapshot.dump(&name, &mut Vec::new()).is_err());
}

struct Hook<F>(F);

impl<F: FnMut(&[u8])> std::io::Write for Hook<F> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        (self.0)(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_fails_ends_the_dump() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let name = database("full");
    sql(&name, "CREATE TABLE t (id INT); INSERT INTO t VALUES (1);");
    let snapshot = MySqlSnapshot::begin(&root(server()), &[&name]).unwrap();
    let error = snapshot.dump(&name, &mut Full).unwrap_err();
    assert!(matches!(error, DumpError::Write(_)), "{error}");
}

#[test]
fn a_lock_that_somebody_holds_is_told() {
    let name = database("held");
    sql(&name, "CREATE TABLE t (id INT) ENGINE=MyISAM");
    let holder = MySqlConnection::open(&root(server())).unwrap();
    holder.run(&format!("LOCK TABLES {}.t WRITE", literal::name(&name))).unwrap();
    let short = MySqlServer { ..root(server()) };
    let connection = MySqlConnection::open(&short).unwrap();
    connection.run("SET SESSION lock_wait_timeout = 1").unwrap();
    let error =
        connection.run(&format!("LOCK TABLES {}.t READ", literal::name(&name))).unwrap_err();
    assert_eq!(error.kind(), &MySqlErrorKind::Locked, "{error:?}");
    assert!(error.hint().unwrap().contains("PROCESSLIST"));
}

#[test]
fn servers_are_told_apart_by_more_than_their_name() {
    let by_socket = MySqlConnection::open(&root(server())).unwrap();
    let other = MySqlServer {
        address: MySqlAddress::Tcp { host: "localhost".into(), port: server().port },
        ..root(server())
    };
    server().sql("CREATE USER IF NOT EXISTS root@'%'; GRANT ALL ON *.* TO root@'%';");
    let by_port = MySqlConnection::open(&other).unwrap();
    assert_eq!(by_socket.identity().unwrap(), by_port.identity().unwrap());
    assert_eq!(by_port.vendor(), MySqlVendor::MariaDb);
    let second = MariaDb::start();
    let second = MySqlConnection::open(&root(&second)).unwrap();
    assert_ne!(by_socket.identity().unwrap(), second.identity().unwrap());
}

/// A certificate for this machine, and its key: (certificate, key).
fn certificate(folder: &std::path::Path) -> (String, String) {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("certificate.pem"), path("key.pem"));
    let mut openssl = std::process::Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-out", &certificate, "-keyout", &key]);
    wait::success(&mut openssl);
    (certificate, key)
}

#[test]
fn encryption_is_checked_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    let server =
        MariaDb::with(&[&format!("--ssl-cert={certificate}"), &format!("--ssl-key={key}")]);
    server.sql("CREATE DATABASE x; CREATE USER u@'%' IDENTIFIED BY 'p' REQUIRE SSL; GRANT ALL ON *.* TO u@'%';");
    let with = |tls| MySqlServer { tls, ..tcp(server.port, "u", "p") };
    let required = |ca_file, skip_verify| with(MySqlTls::Required { ca_file, skip_verify });
    begin(&required(Some(certificate.into()), false), "x").unwrap();
    begin(&required(None, true), "x").unwrap();
    let unknown = begin(&required(None, false), "x").unwrap_err();
    assert_eq!(unknown.kind(), &MySqlErrorKind::Unreachable, "{unknown:?}");
    assert!(unknown.to_string().contains("ertificate"), "{unknown}");
    let plain = begin(&with(MySqlTls::Off), "x").unwrap_err();
    assert_eq!(plain.kind(), &MySqlErrorKind::Login, "{plain:?}");
    // seawall does not speak in the clear to a server without TLS.
    let without = MySqlServer {
        tls: MySqlTls::Required { ca_file: None, skip_verify: true },
        ..tcp(self::server().port, "root", "")
    };
    let error = begin(&without, "x").unwrap_err();
    assert_eq!(error.kind(), &MySqlErrorKind::Other, "{error:?}");
    assert!(error.to_string().to_lowercase().contains("ssl"), "{error}");
}
