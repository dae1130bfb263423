//! Unusual servers: an old `MySQL`, and one that keeps names in lower case.

use super::load::loaded;
use super::*;

/// One of each kind of thing that a database of `MySQL` 5.6 can have.
const OLD: &str = r"
SET foreign_key_checks = 0;
CREATE TABLE `every type` (
  id INT AUTO_INCREMENT PRIMARY KEY, t TINYINT, u BIGINT UNSIGNED, d DECIMAL(65,30), f FLOAT, g DOUBLE,
  bits BIT(64), c CHAR(10), v VARCHAR(190), latin VARCHAR(50) CHARACTER SET latin1, two VARCHAR(50) CHARACTER SET ucs2,
  chinese VARCHAR(20) CHARACTER SET gbk, bin BINARY(5), vb VARBINARY(300), lb LONGBLOB, e ENUM('one','it''s'), s SET('a','b'),
  da DATE, ti TIME(6), dt DATETIME(6), ts TIMESTAMP(6) NULL, y YEAR, po POINT, KEY v (v)
) DEFAULT CHARSET=utf8mb4;
INSERT INTO `every type` VALUES
 (1, -128, 18446744073709551615, 12345678901234567890123456789012345.123456789012345678901234567890, 16777217, 1.7976931348623157e308,
  b'1000000000000000000000000000000000000000000000000000000000000001', 'a b', '😀 it''s \\ \n \0', 'äöü€', '中', _gbk 0xA6D9D6D0, 'a', 0x00ff0a, '', 'it''s', 'a,b',
  '0000-00-00', '-838:59:59.999999', '0000-00-00 00:00:00', '1970-01-01 00:00:01.000001', 1901, POINT(1.5, -2)),
 (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE child (id INT PRIMARY KEY, parent INT, CONSTRAINT fk FOREIGN KEY (parent) REFERENCES `z parent` (id)) ENGINE=InnoDB;
CREATE TABLE `z parent` (id INT PRIMARY KEY) ENGINE=InnoDB COMMENT='it''s CHARSET=x';
INSERT INTO `z parent` VALUES (0),(1); INSERT INTO child VALUES (5,1);
CREATE TABLE old (id INT PRIMARY KEY, text TEXT) ENGINE=MyISAM; INSERT INTO old VALUES (2,'b'),(1,'a');
CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC RETURN n * 2;
CREATE VIEW z_view AS SELECT id, twice(id) AS doubled FROM `z parent`;
CREATE VIEW a_view AS SELECT * FROM z_view;
DELIMITER $$
CREATE TRIGGER first BEFORE INSERT ON child FOR EACH ROW BEGIN SET NEW.id = NEW.id + LENGTH('a\\b'); END$$
CREATE EVENT later ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DISABLE DO BEGIN DELETE FROM old; END$$
DELIMITER ;
";

const SEEN: &str = "SELECT id, t, u, d, f, g, c, v, latin, two, HEX(lb), lb IS NULL, e, s, da, ti, dt, ts, y FROM `every type` ORDER BY id;
 SELECT f + 0e0, HEX(bits), HEX(v), HEX(latin), HEX(two), HEX(chinese), HEX(vb), HEX(bin), ST_AsText(po) FROM `every type` ORDER BY id;
 SELECT * FROM child; SELECT * FROM old ORDER BY id; SELECT * FROM a_view ORDER BY id;
 SELECT TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE();
 SELECT EVENT_NAME, STARTS, EVENT_DEFINITION FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE();
 SELECT COLUMN_NAME, COLLATION_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'every type' ORDER BY ORDINAL_POSITION;";

#[test]
fn an_old_mysql_is_dumped_and_loaded() {
    let old = MariaDb::mysql(&["--character-set-server=utf8mb4"]);
    old.sql(&format!("CREATE DATABASE old;\nUSE old;\n{OLD}"));
    let snapshot = MySqlSnapshot::begin(&root(&old), &["old"]).unwrap();
    assert!(snapshot.version().starts_with("5.6."));
    let mut text = Vec::new();
    snapshot.dump("old", &mut text).unwrap();
    assert!(is_complete(&text));
    drop(snapshot);
    // No other server has to guess which collation that is.
    let shown = String::from_utf8(text.clone()).unwrap();
    let wanted = "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci";
    assert!(shown.contains(wanted), "{shown}");
    let seen = old.sql(&format!("USE old;\n{SEEN}"));
    assert!(seen.contains("A6D9D6D0"), "{seen}");

    // Back into MySQL, by its own kind of client and by seawall.
    old.sql("CREATE DATABASE copy CHARACTER SET utf8mb4");
    let output = old.load("copy", &text);
    assert!(output.status.success(), "{output:?}\n{shown}");
    assert_eq!(old.sql(&format!("USE copy;\n{SEEN}")), seen);
    super::super::load::load(&root(&old), "again", &mut text.as_slice(), &mut |_| ()).unwrap();
    assert_eq!(old.sql(&format!("USE again;\n{SEEN}")), seen);
    let mut again = Vec::new();
    let snapshot = MySqlSnapshot::begin(&root(&old), &["again"]).unwrap();
    snapshot.dump("again", &mut again).unwrap();
    assert_eq!(String::from_utf8(again).unwrap(), shown);

    // To MariaDB, which writes zeros otherwise.
    let copy = format!("from-mysql-{}", std::process::id());
    loaded(&copy, &text).unwrap();
    let hex = "SELECT HEX(bits), HEX(v), HEX(latin), HEX(two), HEX(chinese), HEX(vb), ts, dt FROM `every type` ORDER BY id;
        SELECT * FROM child; SELECT * FROM a_view ORDER BY id";
    assert_eq!(sql(&copy, hex), old.sql(&format!("USE old;\n{hex}")));

    // And from MariaDB to MySQL, as far as MySQL knows what is in it.
    let name = database("to-mysql");
    let plain = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(50) COLLATE utf8mb4_uca1400_ai_ci) CHARACTER SET utf8mb4";
    let plain = plain.replace("utf8mb4_uca1400_ai_ci", "utf8mb4_unicode_nopad_ci");
    sql(
        &name,
        &format!(
            "{plain}; INSERT INTO t VALUES (0, '😀'); CREATE TRIGGER first BEFORE INSERT ON t FOR EACH ROW SET NEW.id = 7"
        ),
    );
    let (text, _) = dumped(&name);
    let notes = super::super::load::load(&root(&old), "new", &mut text.as_slice(), &mut |_| ());
    let notes = notes.unwrap().notes;
    assert_eq!(notes.len(), 1, "{notes:?}");
    let seen =
        old.sql("USE new; INSERT INTO t VALUES (1, 'x'); SELECT id, HEX(v) FROM t ORDER BY id");
    assert_eq!(seen, "0\tF09F9880\n7\t78\n");
}

#[test]
fn names_in_lower_case_stay_on_such_servers() {
    let lower = MariaDb::with(&["--lower-case-table-names=1"]);
    lower.sql("CREATE DATABASE Seafile_DB; CREATE TABLE Seafile_DB.Branch (name VARCHAR(10), repo_id CHAR(36), commit_id CHAR(40)) ENGINE=InnoDB;
        INSERT INTO Seafile_DB.Branch VALUES ('master', 'r', 'c')");
    // Seafile's configuration may have capitals in it.
    let snapshot = MySqlSnapshot::begin(&root(&lower), &["Seafile_DB"]).unwrap();
    let mut text = Vec::new();
    let totals = snapshot.dump("Seafile_DB", &mut text).unwrap();
    assert_eq!((totals.tables, totals.rows), (1, 1));
    drop(snapshot);
    super::super::load::load(&root(&lower), "copy", &mut text.as_slice(), &mut |_| ()).unwrap();
    assert_eq!(lower.sql("SELECT * FROM copy.Branch"), "master\tr\tc\n");
    // On a server that tells case apart, Seafile would find no table.
    let name = format!("lowered-{}", std::process::id());
    let refused = loaded(&name, &text).unwrap_err();
    assert!(refused.to_string().contains("tells case apart"), "{refused}");
    assert!(refused.hint().unwrap().contains("lower_case_table_names=1"));
    let there = format!("SHOW DATABASES LIKE '{name}'");
    assert_eq!(server().sql(&there), "");
}
