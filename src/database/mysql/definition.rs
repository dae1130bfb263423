//! Makes the definitions that servers show fit for any server and database.

use super::schema::MySqlTable;

/// Removes the clause that names the account that made it. A server that loads the dump may not
/// have this account. The clause stands at one place (`sql_show.cc`, `sp.cc`, `events.cc` of
/// `MariaDB` and `MySQL`): `CREATE [OR REPLACE] [ALGORITHM=word] DEFINER=account rest`. The account
/// is `` `user`@`host` `` or a role's `` `name` ``. In other places the word is somebody's text.
pub(super) fn without_definer(definition: &str) -> String {
    let mut at = 0;
    for (word, has_value) in [("CREATE ", false), ("OR REPLACE ", false), ("ALGORITHM=", true)] {
        if definition[at..].starts_with(word) {
            at += word.len();
            if has_value {
                at += definition[at..].find(' ').map_or(0, |space| space + 1);
            }
        }
    }
    let rest = &definition[at..];
    let Some(account) = rest.strip_prefix("DEFINER=") else {
        return definition.to_owned();
    };
    let after = quoted_end(account).map(|end| {
        let host = account[end..].strip_prefix('@');
        let host_end = host.and_then(|host| Some(end + 1 + quoted_end(host)?));
        host_end.unwrap_or(end)
    });
    match after {
        Some(end) => format!("{}{}", &definition[..at], account[end..].trim_start()),
        None => definition.to_owned(),
    }
}

/// Where a name in backticks (in some modes: in quotes) at the beginning of the text ends.
fn quoted_end(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|char| matches!(char, '`' | '"'))?;
    let mut rest = &text[1..];
    let mut at = 1;
    loop {
        let tick = rest.find(quote)?;
        at += tick + 1;
        rest = &rest[tick + 1..];
        match rest.strip_prefix(quote) {
            Some(after) => {
                rest = after;
                at += 1;
            }
            None => return Some(at),
        }
    }
}

/// What follows `FOR EACH ROW` in a trigger's definition, without `FOLLOWS` or `PRECEDES` and its
/// name. Triggers run in the order in which they are made.
pub(super) fn trigger_body(definition: &str) -> Option<&str> {
    let mut rest = definition;
    let mut seen = 0;
    while seen < 3 {
        let (word, after) = next_word(rest)?;
        let is_next = word.eq_ignore_ascii_case(["FOR", "EACH", "ROW"][seen]);
        seen = if is_next { seen + 1 } else { 0 };
        rest = after;
    }
    match next_word(rest) {
        Some((word, after))
            if word.eq_ignore_ascii_case("FOLLOWS") || word.eq_ignore_ascii_case("PRECEDES") =>
        {
            next_word(after).map(|(_, after)| after.trim_start())
        }
        _ => Some(rest.trim_start()),
    }
}

/// The next word, name in quotes or other character, and what follows it. Comments are skipped.
fn next_word(text: &str) -> Option<(&str, &str)> {
    let mut rest = text.trim_start();
    loop {
        let after = if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/")?.1
        } else if rest.starts_with("-- ") || rest.starts_with('#') {
            rest.split_once('\n')?.1
        } else {
            break;
        };
        rest = after.trim_start();
    }
    let is_word = |char: char| char.is_alphanumeric() || matches!(char, '_' | '$');
    let end = match rest.chars().next()? {
        '`' | '"' => quoted_end(rest)?,
        first if is_word(first) => rest.find(|char| !is_word(char)).unwrap_or(rest.len()),
        first => first.len_utf8(),
    };
    Some(rest.split_at(end))
}

/// Removes the database before names of sequences. `MariaDB` puts it there only in the defaults of
/// columns (``nextval(`database`.`sequence`)``). Loaded elsewhere, a table would use the sequence
/// of the database that was dumped. Texts in quotes stay.
pub(super) fn without_database(definition: &str, database: &str) -> String {
    let place = format!("{}.", super::literal::name(database));
    let mut text = String::with_capacity(definition.len());
    let mut rest = definition;
    while let Some(at) = rest.find(['\'', '(']) {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let end = if from.starts_with('\'') { text_end(from) } else { 1 };
        text.push_str(&from[..end]);
        rest = &from[end..];
        let called = ["nextval(", "lastval(", "setval("];
        if called.iter().any(|name| text.ends_with(name)) {
            rest = rest.strip_prefix(&place).unwrap_or(rest);
        }
    }
    text.push_str(rest);
    text
}

/// Removes the database before columns that are named with it and their table. `MariaDB` writes
/// them so in a view whose account is gone, although it leaves the database out before the tables
/// that the view reads. Loaded under another name, such a view would be invalid. Texts in quotes
/// stay.
pub(super) fn without_database_of_columns(definition: &str, database: &str) -> String {
    let place = format!("{}.", super::literal::name(database));
    let mut text = String::with_capacity(definition.len());
    let mut rest = definition;
    while let Some(at) = rest.find(['\'', '`']) {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let is_column =
            |after: &str| quoted_end(after).is_some_and(|end| after[end..].starts_with(".`"));
        let from = from.strip_prefix(&place).filter(|after| is_column(after)).unwrap_or(from);
        let end = match from.chars().next() {
            Some('`') => quoted_end(from).unwrap_or(from.len()),
            _ => text_end(from),
        };
        text.push_str(&from[..end]);
        rest = &from[end..];
    }
    text.push_str(rest);
    text
}

/// Where a text in quotes at the beginning ends.
fn text_end(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '\'' if characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                characters.next();
            }
            '\'' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Adds the collations that a server leaves out because they are the default of their character set
/// (`MySQL` before 8.0 and `MariaDB` before 10.6.11 do so). Other servers have other defaults for
/// the same character set.
pub(super) fn with_collations(definition: &str, table: &MySqlTable) -> String {
    let mut text = String::with_capacity(definition.len() + 64);
    for line in definition.split_inclusive('\n') {
        let begin = line.trim_start();
        let (word, equals, collation) = if begin.starts_with('`') {
            let column = table.columns.iter().find(|column| {
                let name = super::literal::name(&column.name);
                begin.strip_prefix(&name).is_some_and(|rest| rest.starts_with(' '))
            });
            let text = column.and_then(|column| column.text.as_ref());
            let collation = text.map(|text| text.collation.as_str());
            (" CHARACTER SET ", " COLLATE ", collation)
        } else if begin.starts_with(") ") {
            (" CHARSET=", " COLLATE=", Some(table.collation.as_str()))
        } else {
            ("", "", None)
        };
        let end = collation.and_then(|_| Some(outside_quotes(line, word)? + word.len()));
        let Some((end, collation)) = end.zip(collation) else {
            text.push_str(line);
            continue;
        };
        let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
        let len = line[end..].find(|char| !is_name(char));
        let (before, after) = line.split_at(len.map_or(line.len(), |len| end + len));
        text.push_str(before);
        if !after.starts_with(equals) && !collation.is_empty() {
            text.push_str(equals);
            text.push_str(collation);
        }
        text.push_str(after);
    }
    text
}

/// Where `text` stands in a line outside of quotes.
fn outside_quotes(line: &str, text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let found = at + line[at..].find(text)?;
        let Some(quote) = line[at..found].find(['\'', '`']).map(|quote| at + quote) else {
            return Some(found);
        };
        at = quote
            + if line[quote..].starts_with('`') {
                quoted_end(&line[quote..])?
            } else {
                text_end(&line[quote..])
            };
    }
}

/// A view's definition that replaces what has its name.
pub(super) fn replacing(definition: &str) -> String {
    match definition.strip_prefix("CREATE ") {
        Some(rest) if !rest.starts_with("OR REPLACE ") => format!("CREATE OR REPLACE {rest}"),
        _ => definition.to_owned(),
    }
}

/// A delimiter for the stock client that does not occur in this statement.
pub(super) fn delimiter(statement: &str) -> String {
    let mut delimiter = ";;".to_owned();
    while statement.contains(&delimiter) {
        delimiter.push(';');
    }
    // If the statement ends in the delimiter's own character, the client would find the delimiter
    // too early.
    if statement.ends_with(';') {
        "//".clone_into(&mut delimiter);
        while statement.contains(&delimiter) || statement.ends_with('/') && delimiter == "//" {
            delimiter.insert(0, '$');
        }
    }
    delimiter
}

#[cfg(test)]
mod tests {
    use super::super::literal::SqlLiteral;
    use super::super::schema::{MySqlColumn, MySqlTextType};
    use super::*;

    #[test]
    fn columns_lose_the_database_that_tables_do_not_have() {
        let without = |text: &str| without_database_of_columns(text, "a`b");
        assert_eq!(
            without("select `a``b`.`t`.`id` AS `id`,'`a``b`.`t`.`c`' AS `x` from `t`"),
            "select `t`.`id` AS `id`,'`a``b`.`t`.`c`' AS `x` from `t`"
        );
        // A table of that name, a table of that database, another database.
        for stays in [
            "select `a``b`.`id` from `t` `a``b`",
            "select `id` from `a``b`.`t`",
            "select `c`.`t`.`id` from `c`.`t`",
            "select `x``a``b`.`t`.`id`",
            "`a``b`.`",
            "'",
            "",
        ] {
            assert_eq!(without(stays), stays);
        }
    }

    #[test]
    fn bodies_of_triggers() {
        for (made, body) in [
            (
                "CREATE DEFINER=`a`@`%` TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET @a = 1",
                "SET @a = 1",
            ),
            (
                "create trigger `for each row`.`a``b` after update on y for\n each /* row */ row BEGIN END",
                "BEGIN END",
            ),
            (
                "CREATE TRIGGER t BEFORE DELETE ON \"for each\" -- for each row x\n FOR EACH ROW FOLLOWS `s t` SET @r='\\\\'",
                "SET @r='\\\\'",
            ),
        ] {
            assert_eq!(trigger_body(made), Some(body), "{made}");
        }
        assert_eq!(trigger_body("CREATE TRIGGER t BEFORE DELETE ON x FOR EACH"), None);
    }

    #[test]
    fn definers_are_taken_out_at_their_place() {
        for (from, to) in [
            (
                "CREATE DEFINER=`root`@`localhost` PROCEDURE `p`() SELECT 'DEFINER=`a`@`b`'",
                "CREATE PROCEDURE `p`() SELECT 'DEFINER=`a`@`b`'",
            ),
            (
                "CREATE ALGORITHM=UNDEFINED DEFINER=`a``@``b`@`%` SQL SECURITY DEFINER VIEW `v` AS x",
                "CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW `v` AS x",
            ),
            ("CREATE DEFINER=`role` EVENT `e`", "CREATE EVENT `e`"),
            ("CREATE PROCEDURE `DEFINER=`() x", "CREATE PROCEDURE `DEFINER=`() x"),
            ("CREATE DEFINER=`a", "CREATE DEFINER=`a"),
            ("", ""),
        ] {
            assert_eq!(without_definer(from), to, "{from}");
        }
    }

    #[test]
    fn delimiters_stand_nowhere_in_the_statement() {
        for statement in ["x", "a;b", "a;;b", "a;;;b", "x;", "// x;", "a;;b//;", "/", "x;/"] {
            let delimiter = delimiter(statement);
            let joined = format!("{statement}{delimiter}");
            assert_eq!(joined.find(&delimiter), Some(statement.len()), "{statement}");
        }
    }

    #[test]
    fn sequences_lose_their_database_and_texts_stay() {
        let from = r"CREATE TABLE `t` (`a` int DEFAULT nextval(`d``b`.`s`) COMMENT 'it''s \' nextval(`d``b`.`s`)', KEY (`a`), b int DEFAULT nextval(`other`.`s`))";
        let to = r"CREATE TABLE `t` (`a` int DEFAULT nextval(`s`) COMMENT 'it''s \' nextval(`d``b`.`s`)', KEY (`a`), b int DEFAULT nextval(`other`.`s`))";
        assert_eq!(without_database(from, "d`b"), to);
        for text in ["", "'", "'\\", "(", "nextval("] {
            assert_eq!(without_database(text, "d"), text);
        }
    }

    #[test]
    fn collations_are_said() {
        let column = |name: &str, collation: Option<&str>| MySqlColumn {
            name: name.to_owned(),
            literal: SqlLiteral::Quoted,
            text: collation.map(|collation| MySqlTextType {
                charset: "utf8mb4".to_owned(),
                collation: collation.to_owned(),
            }),
        };
        let table = MySqlTable {
            name: "t".to_owned(),
            engine: "InnoDB".to_owned(),
            created: String::new(),
            is_transactional: true,
            is_versioned: false,
            collation: "utf8mb4_general_ci".to_owned(),
            columns: vec![
                column("a` CHARACTER SET x", Some("utf8mb4_bin")),
                column("b", Some("latin1_swedish_ci")),
                column("c", None),
                column("d", Some("utf8mb4_general_ci")),
            ],
            primary: Vec::new(),
        };
        // As MySQL 5.6 and 5.7 say it.
        let made = "CREATE TABLE `t` (\n  `a`` CHARACTER SET x` text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,\n  \
            `b` varchar(9) CHARACTER SET latin1 NOT NULL DEFAULT 'it''s CHARACTER SET x',\n  `c` int COMMENT ' CHARACTER SET x',\n  \
            `d` text,\n  KEY `b` (`b`)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT=' CHARSET=y'\n/*!50100 PARTITION BY KEY () */";
        let said = made
            .replace("SET latin1 NOT", "SET latin1 COLLATE latin1_swedish_ci NOT")
            .replace("=utf8mb4 COMMENT", "=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT");
        assert_eq!(with_collations(made, &table), said);
        assert_eq!(with_collations(&said, &table), said);
        let quoted = ") COMMENT=' CHARSET=y' DEFAULT CHARSET=utf8mb4";
        let said = format!("{quoted} COLLATE=utf8mb4_general_ci");
        assert_eq!(with_collations(quoted, &table), said);
    }

    #[test]
    fn views_replace() {
        assert_eq!(replacing("CREATE VIEW x"), "CREATE OR REPLACE VIEW x");
    }
}
