//! What is in a dump comes back as it was.

use seawall_test_servers::wait;

use super::*;

/// Every type, with values at its edges.
pub(super) const TYPES: &str = r#"
CREATE TABLE `every type` (
  id INT AUTO_INCREMENT PRIMARY KEY,
  t TINYINT, u BIGINT UNSIGNED, z INT(6) ZEROFILL, b BOOLEAN,
  d DECIMAL(65,30), f FLOAT, g DOUBLE, fs FLOAT(7,3),
  bits BIT(64), bit1 BIT(1),
  c CHAR(10), v VARCHAR(300), latin VARCHAR(50) CHARACTER SET latin1 COLLATE latin1_german1_ci,
  three VARCHAR(50) CHARACTER SET utf8mb3, two VARCHAR(50) CHARACTER SET ucs2,
  tt TINYTEXT, lt LONGTEXT,
  bin BINARY(5), vb VARBINARY(300), lb LONGBLOB,
  e ENUM('one','t`wo','it''s'), s SET('a','b','c'),
  da DATE, ti TIME(6), dt DATETIME(6), ts TIMESTAMP(6) NULL, y YEAR,
  j JSON, uu UUID, i4 INET4, i6 INET6,
  po POINT, ge GEOMETRY,
  hidden INT INVISIBLE DEFAULT 7,
  virt INT AS (t + 1) VIRTUAL, stored INT AS (t * 2) STORED,
  now TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP
);
SET sql_mode = '';
INSERT INTO `every type` (t,u,z,b,d,f,g,fs,bits,bit1,c,v,latin,three,two,tt,lt,bin,vb,lb,e,s,da,ti,dt,ts,y,j,uu,i4,i6,po,ge,hidden,now) VALUES
 (-128, 18446744073709551615, 7, TRUE, 12345678901234567890123456789012345.123456789012345678901234567890, 16777217, 1.7976931348623157e308, 1.234, b'1000000000000000000000000000000000000000000000000000000000000001', b'1',
  'a b', '😀 it''s \\ \n \r \0 \Z \t "" %', 'äöüß€', 'ἐ中', '中文', '', REPEAT('x', 70000), 'a', x'00ff0a0d5c27', x'', 't`wo', 'a,c',
  '0000-00-00', '-838:59:59.999999', '0000-00-00 00:00:00', '1970-01-01 00:00:01.000001', 1901, '{"a": [1, "é", null]}', '123e4567-e89b-12d3-a456-426614174000', '1.2.3.4', '::ffff:1.2.3.4',
  POINT(1.5, -2), ST_GeomFromText('POLYGON((0 0,0 1,1 1,0 0))', 4326), 9, '2001-02-03 04:05:06'),
 (127, 0, 0, FALSE, -0.000000000000000000000000000001, 0.1, -0.1, -1, b'0', b'0', '', '', '', '', '', 'x', '', '', x'00', x'ff', 'it''s', '', '9999-12-31', '838:59:59', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.999999', 2155, '[]', '00000000-0000-0000-0000-000000000000', '0.0.0.0', '::', POINT(0,0), ST_GeomFromText('POINT(1 1)'), 0, '2002-02-03 04:05:06'),
 (1,1,1,1,1,3.4028234e38,5e-324,1.1,b'101',NULL,'a''b','\\','x','x','x','x','x','x','x','x','one','b','2024-02-29','00:00:00.000001','2024-02-29 12:00:00',NULL,2024,'1',NULL,NULL,NULL,NULL,NULL,NULL,'2003-02-03 04:05:06');
INSERT INTO `every type` (id, now) VALUES (1000, '2003-02-03 04:05:06');
"#;

/// One of each kind of thing.
pub(super) const THINGS: &str = r"
SET foreign_key_checks = 0;
CREATE TABLE child (id INT PRIMARY KEY, parent INT, CONSTRAINT fk FOREIGN KEY (parent) REFERENCES `z parent` (id) ON DELETE CASCADE) ENGINE=InnoDB;
CREATE TABLE `z parent` (id INT PRIMARY KEY, text VARCHAR(20), FULLTEXT KEY words (text)) ENGINE=InnoDB COMMENT='it''s';
INSERT INTO `z parent` VALUES (0,'zero'),(1,'one');
INSERT INTO child VALUES (5,1),(6,NULL);
CREATE TABLE zero (id INT AUTO_INCREMENT PRIMARY KEY);
SET sql_mode='NO_AUTO_VALUE_ON_ZERO'; INSERT INTO zero VALUES (0),(17); SET sql_mode='';
CREATE TABLE no_key (a INT, b TEXT); INSERT INTO no_key VALUES (1,'x'),(1,'x'),(NULL,NULL);
CREATE TABLE parts (id INT) PARTITION BY HASH (id) PARTITIONS 3; INSERT INTO parts VALUES (1),(2),(3);
CREATE TABLE old (id INT PRIMARY KEY, text TEXT) ENGINE=MyISAM; INSERT INTO old VALUES (2,'b'),(1,'a');
CREATE TABLE aria (id INT) ENGINE=Aria; INSERT INTO aria VALUES (1);
CREATE TABLE `quote'` (`col``umn` INT, `DEFINER=` INT); INSERT INTO `quote'` VALUES (1,2);
CREATE SEQUENCE numbers START WITH 5 INCREMENT BY 3; SELECT NEXTVAL(numbers);
CREATE TABLE numbered (id INT DEFAULT NEXTVAL(numbers), x INT); INSERT INTO numbered (x) VALUES (1);
CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC RETURN n * 2;
CREATE VIEW z_view AS SELECT id, twice(id) AS doubled FROM `z parent`;
CREATE VIEW a_view AS SELECT id, `DEFINER=` AS `de``finer` FROM z_view, `quote'`;
DELIMITER $$
CREATE DEFINER=`nobody`@`else``where` PROCEDURE `pro'c`(IN n INT)
BEGIN
  DECLARE text VARCHAR(50) DEFAULT 'DEFINER=`a`@`b`; ;; // 😀';
  -- a comment
  INSERT INTO no_key VALUES (n, text);
END$$
CREATE TRIGGER `second` BEFORE INSERT ON `child` FOR EACH ROW BEGIN SET NEW.id = NEW.id + 1; END$$
CREATE TRIGGER `first` BEFORE INSERT ON `child` FOR EACH ROW PRECEDES second SET NEW.id = NEW.id * 10$$
SET time_zone='+05:00'$$
CREATE EVENT later ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DISABLE DO BEGIN DELETE FROM no_key; END$$
DELIMITER ;
";

/// What the stock tool dumps of a database, without accounts and the database's name.
fn stock_dump(name: &str) -> String {
    let mut command = server().command("mariadb-dump");
    command.args(["--routines", "--events", "--triggers", "--hex-blob", "--skip-dump-date"]);
    command.args(["--order-by-primary", "--skip-comments", "--tz-utc", name]);
    let text = String::from_utf8(wait::success(&mut command)).unwrap();
    let lines = text.lines().map(|line| {
        let at = line.find("DEFINER=").filter(|_| !line.contains("DEFAULT 'DEFINER"));
        // The stock tool names the database of a sequence.
        let line = line.replace(&format!("{}.", literal::name(name)), "");
        match at {
            Some(_) if line.starts_with("/*!") || line.starts_with("CREATE DEFINER") => {
                let words = line.split(' ');
                let words = words.filter(|word| {
                    !word.contains("DEFINER=`nobody`") && !word.contains("DEFINER=`root`")
                });
                words
                    .collect::<Vec<_>>()
                    .join(" ")
                    .replace("/*!50017 ", "")
                    .replace("/*!50117 ", "")
            }
            _ => line,
        }
    });
    // The tool shows the character set of the client that made an object. Ours is made by a client
    // of UTF-8.
    let lines = lines.filter(|line| {
        !line.contains("character_set_client") && !line.contains("character_set_results")
    });
    lines.collect::<Vec<_>>().join("\n")
}

pub(super) fn checksums(database: &str) -> Vec<String> {
    let tables = server().sql(&format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_TYPE = 'BASE TABLE' ORDER BY 1",
        literal::text(database)
    ));
    let sum = |table: &str| {
        let table = literal::name(&table.replace("\\\\", "\\"));
        let line = sql(database, &format!("CHECKSUM TABLE {table} EXTENDED;"));
        line.split_once('.').unwrap().1.to_owned()
    };
    tables.lines().map(sum).collect()
}

pub(super) fn same(one: &str, other: &str) {
    for (one, other) in checksums(one).iter().zip(checksums(other)) {
        assert_eq!(*one, other);
    }
    let (one, other) = (stock_dump(one), stock_dump(other));
    for (one, other) in one.lines().zip(other.lines()) {
        assert_eq!(one, other);
    }
    assert_eq!(one.lines().count(), other.lines().count());
}

#[test]
fn every_type_comes_back_bit_for_bit() {
    let name = database("types");
    sql(&name, TYPES);
    let copy = copied(&name);
    same(&name, &copy);
    // A FLOAT's own text has six digits: these two are equal only by their bits.
    let exact = "SELECT f + 0e0, HEX(bits), HEX(v), HEX(latin), LENGTH(lt), hidden FROM `every type` ORDER BY id";
    assert_eq!(sql(&name, exact), sql(&copy, exact));
    assert!(sql(&copy, exact).contains("16777216"), "{}", sql(&copy, exact));
}

#[test]
fn everything_that_a_database_has_comes_back() {
    let name = database("things");
    sql(&name, THINGS);
    let copy = copied(&name);
    same(&name, &copy);
    assert_eq!(checksums(&copy).len(), 9);
    // Programs are there, and do what they did before.
    sql(&copy, "CALL `pro'c`(3); INSERT INTO child VALUES (1, 1);");
    assert!(sql(&copy, "SELECT b FROM no_key WHERE a = 3").contains("DEFINER=`a`@`b`; ;; // 😀"));
    assert_eq!(sql(&copy, "SELECT id FROM child ORDER BY id"), "5\n6\n11\n");
    assert_eq!(sql(&copy, "SELECT doubled FROM z_view ORDER BY id"), "0\n2\n");
    assert_eq!(sql(&copy, "SELECT `de``finer` FROM a_view"), "2\n2\n");
    assert_eq!(sql(&copy, "SELECT NEXTVAL(numbers) >= 11"), "1\n");
    let event = format!(
        "SELECT STARTS, TIME_ZONE FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {}",
        literal::text(&copy)
    );
    assert_eq!(server().sql(&event), "2037-01-01 00:00:00\t+05:00\n");
}

#[test]
fn a_dump_fits_any_server_and_database_and_equal_ones_are_equal() {
    let name = database("things");
    sql(&name, THINGS);
    let (text, totals) = dumped(&name);
    assert_eq!((&text, &totals), (&dumped(&name).0, &dumped(&name).1));
    let text = String::from_utf8(text).unwrap();
    for word in
        ["CREATE DATABASE", "USE ", "DEFINER=`root`", "DEFINER=`nobody`", "sandbox", name.as_str()]
    {
        assert!(!text.contains(word), "{word}");
    }
    assert_eq!(totals.tables, 9);
    assert_eq!(totals.notes, [] as [&str; 0]);
}

#[test]
fn long_tables_become_statements_of_bounded_length() {
    let name = database("long");
    sql(
        &name,
        "CREATE TABLE t (id INT PRIMARY KEY, x VARCHAR(1000));
         INSERT INTO t SELECT seq, REPEAT('x', 900) FROM seq_1_to_5000;
         CREATE TABLE big (b LONGBLOB); INSERT INTO big VALUES (REPEAT(x'ab', 9000000));",
    );
    let (text, totals) = dumped(&name);
    assert_eq!((totals.tables, totals.rows), (2, 5001));
    assert_eq!(totals.notes.len(), 1, "{:?}", totals.notes);
    assert!(totals.notes[0].contains("max_allowed_packet"), "{:?}", totals.notes);
    let text = String::from_utf8(text).unwrap();
    let inserts = text.split(";\n").filter(|text| text.contains("INSERT INTO `t`"));
    let lengths: Vec<usize> = inserts.map(str::len).collect();
    assert!(lengths.len() >= 4, "{lengths:?}");
    assert!(lengths.iter().all(|len| *len < (1 << 20) + 2000), "{lengths:?}");
    same(&name, &copied(&name));
}

/// A trigger's text comes back as the server keeps it, not as it shows it: with its backslashes,
/// quotes and character sets of texts.
#[test]
fn bodies_of_triggers_are_as_they_were_made() {
    let name = database("bodies");
    sql(
        &name,
        r#"CREATE TABLE t (a VARCHAR(40), b VARCHAR(40));
        CREATE TRIGGER paths BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 'C:\\new\\table', NEW.b = _latin1'x';
        CREATE TRIGGER quotes BEFORE UPDATE ON t FOR EACH ROW SET NEW.b = "dq\"x\\";
        SET sql_mode = 'ANSI_QUOTES';
        CREATE PROCEDURE "odd ""p"() SELECT 1 AS "a""b";"#,
    );
    let (text, _) = dumped(&name);
    assert!(!String::from_utf8_lossy(&text).contains("DEFINER"));
    let copy = database("bodies copy");
    assert!(server().load(&copy, &text).status.success());
    assert_eq!(dumped(&copy).0, text);
    for name in [&name, &copy] {
        assert_eq!(
            sql(name, "INSERT INTO t VALUES ('', ''); SELECT a, b FROM t"),
            "C:\\\\new\\\\table\tx\n"
        );
        assert_eq!(sql(name, "UPDATE t SET a = 1; SELECT HEX(b) FROM t"), "647122785C\n");
    }
}

/// Dates that the usual mode refuses, rows against a check, a view that leads nowhere.
#[test]
fn what_a_server_has_taken_is_taken_again() {
    let name = database("taken");
    sql(
        &name,
        "CREATE TABLE dates (a DATE); SET sql_mode = 'ALLOW_INVALID_DATES'; INSERT INTO dates VALUES ('2024-02-31'), ('0000-00-00');
        CREATE TABLE checked (a INT, CHECK (a > 0)); SET check_constraint_checks = 0; INSERT INTO checked VALUES (-1);
        CREATE TABLE gone (a INT); CREATE VIEW nowhere AS SELECT a FROM gone; DROP TABLE gone;",
    );
    let (text, totals) = dumped(&name);
    assert_eq!(totals.notes, Vec::<String>::new());
    let snapshot = MySqlSnapshot::begin(&root(server()), &[&name]).unwrap();
    let [view] = snapshot.unreadable(&name).unwrap() else {
        panic!("{:?}", snapshot.unreadable(&name))
    };
    assert_eq!(view.name, "nowhere");
    let copy = database("taken copy");
    sql(&copy, "SELECT 1");
    let output = server().load(&copy, &text);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for table in ["dates", "checked"] {
        let rows = format!("SELECT * FROM {table}");
        assert_eq!(sql(&copy, &rows), sql(&name, &rows), "{table}");
    }
}

#[test]
fn text_of_any_character_set_keeps_its_bytes() {
    let name = database("charsets");
    sql(
        &name,
        "CREATE TABLE t (id INT PRIMARY KEY, g VARCHAR(9) CHARACTER SET gbk, p TEXT CHARACTER SET cp1250, j CHAR(9) CHARACTER SET cp932,
            e ENUM('a','b') CHARACTER SET cp1250, u VARCHAR(9) CHARACTER SET utf16);
         INSERT INTO t VALUES (1, _gbk 0xA6D9, _cp1250 0x8141, _cp932 0xFA54, 'b', _utf16 0xD83DDE00), (2, '', '', '', NULL, NULL)",
    );
    let copy = copied(&name);
    same(&name, &copy);
    let seen = "SELECT HEX(g), HEX(p), HEX(j), e, HEX(u) FROM t ORDER BY id";
    assert_eq!(sql(&name, seen), "A6D9\t8141\tFA54\tb\tD83DDE00\n\t\t\tNULL\tNULL\n");
    assert_eq!(sql(&copy, seen), sql(&name, seen));
}

#[test]
fn views_come_after_those_that_they_use() {
    let name = database("views");
    sql(
        &name,
        "CREATE TABLE base (id INT PRIMARY KEY); INSERT INTO base VALUES (1);
         CREATE VIEW z AS SELECT id FROM base WHERE id < 10;
         CREATE VIEW a AS SELECT id FROM z WHERE id > 0 WITH CASCADED CHECK OPTION",
    );
    let copy = copied(&name);
    same(&name, &copy);
    let (_, totals) = dumped(&name);
    assert_eq!(totals.notes, Vec::<String>::new());
    // If a view also reads from another database, the server names both.
    let other = database("other");
    sql(&other, "CREATE TABLE x (id INT)");
    sql(&name, &format!("CREATE VIEW b AS SELECT base.id FROM base, {}.x", literal::name(&other)));
    let (_, totals) = dumped(&name);
    assert_eq!(totals.notes.len(), 1, "{:?}", totals.notes);
    assert!(totals.notes[0].contains(&format!("{name}.b: the view names its database")));
}

#[test]
fn programs_keep_the_collation_of_the_database_that_they_were_made_in() {
    let name = database("programs");
    let quoted = literal::name(&name);
    sql(
        &name,
        &format!(
            "ALTER DATABASE {quoted} COLLATE latin1_german1_ci;
             CREATE FUNCTION f(t VARCHAR(9)) RETURNS VARCHAR(9) DETERMINISTIC RETURN t;
             ALTER DATABASE {quoted} COLLATE utf8mb4_general_ci"
        ),
    );
    let copy = copied(&name);
    let seen = "SELECT DATABASE_COLLATION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE();
        SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE()";
    assert_eq!(sql(&copy, seen), "latin1_german1_ci\nutf8mb4_general_ci\n");
}
