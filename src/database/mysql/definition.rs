//! What servers say when they are asked how something was made, made fit for any server and database.

/// Takes out the clause that names the account that made it, which the server that it is loaded into
/// may not have. It stands at one place (`sql_show.cc`, `sp.cc`, `events.cc` of `MariaDB` and `MySQL`):
/// `CREATE [OR REPLACE] [ALGORITHM=word] DEFINER=account rest`, the account being
/// `` `user`@`host` `` or a role's `` `name` ``. Elsewhere the word is somebody's text.
pub(super) fn without_definer(definition: &str) -> String {
    let mut at = 0;
    for (word, has_value) in [
        ("CREATE ", false),
        ("OR REPLACE ", false),
        ("ALGORITHM=", true),
    ] {
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

/// Where a name in backticks, at the beginning, ends.
fn quoted_end(text: &str) -> Option<usize> {
    let mut rest = text.strip_prefix('`')?;
    let mut at = 1;
    loop {
        let tick = rest.find('`')?;
        at += tick + 1;
        rest = &rest[tick + 1..];
        match rest.strip_prefix('`') {
            Some(after) => {
                rest = after;
                at += 1;
            }
            None => return Some(at),
        }
    }
}

/// Takes out the database before names of sequences, which `MariaDB` puts there in the defaults of
/// columns alone (``nextval(`database`.`sequence`)``): loaded elsewhere, a table would use the sequence
/// of the database that was dumped. Texts in quotes stay.
pub(super) fn without_database(definition: &str, database: &str) -> String {
    let place = format!("{}.", super::literal::name(database));
    let mut text = String::with_capacity(definition.len());
    let mut rest = definition;
    while let Some(at) = rest.find(['\'', '(']) {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let end = if from.starts_with('\'') {
            text_end(from)
        } else {
            1
        };
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

/// Where a text in quotes, at the beginning, ends.
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

/// A view's definition that takes the place of what has its name.
pub(super) fn replacing(definition: &str) -> String {
    match definition.strip_prefix("CREATE ") {
        Some(rest) if !rest.starts_with("OR REPLACE ") => format!("CREATE OR REPLACE {rest}"),
        _ => definition.to_owned(),
    }
}

/// A word that ends statements for the stock client and stands nowhere in this one.
pub(super) fn delimiter(statement: &str) -> String {
    let mut delimiter = ";;".to_owned();
    while statement.contains(&delimiter) {
        delimiter.push(';');
    }
    // A statement that ends in the same sign would lend it some.
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
    use super::*;

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
            (
                "CREATE PROCEDURE `DEFINER=`() x",
                "CREATE PROCEDURE `DEFINER=`() x",
            ),
            ("CREATE DEFINER=`a", "CREATE DEFINER=`a"),
            ("", ""),
        ] {
            assert_eq!(without_definer(from), to, "{from}");
        }
    }

    #[test]
    fn delimiters_stand_nowhere_in_the_statement() {
        for statement in [
            "x", "a;b", "a;;b", "a;;;b", "x;", "// x;", "a;;b//;", "/", "x;/",
        ] {
            let delimiter = delimiter(statement);
            let joined = format!("{statement}{delimiter}");
            assert_eq!(
                joined.find(&delimiter),
                Some(statement.len()),
                "{statement}"
            );
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
    fn views_replace() {
        assert_eq!(replacing("CREATE VIEW x"), "CREATE OR REPLACE VIEW x");
    }
}
