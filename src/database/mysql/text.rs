//! Reads pointers out of a dump that [`super::dump`] wrote. A check does so, since it has no
//! server.
//!
//! Each row is in a line of its own. Only rows of tables with pointers are kept. Lines of other
//! tables may have any length.

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _};

use super::dump::is_complete;
use crate::database;
use crate::database::pointers::rows::{self, PointerCell, PointerTable, TableSource};
use crate::database::pointers::tables::NAMES;
use crate::database::pointers::{Pointers, assemble};

/// The longest line of a table with pointers: names and paths have at most some KiB.
const MAX_LINE: usize = 1 << 20;
/// The most bytes that all lines of these tables have together: enough for some ten million
/// libraries.
const MAX_BYTES: usize = 4 << 30;

/// What was read of a dump.
#[derive(Debug, Default)]
pub struct DumpText {
    tables: HashMap<&'static str, DumpedTable>,
    is_complete: bool,
}

#[derive(Debug, Default)]
struct DumpedTable {
    /// `None` as long as there was no row.
    columns: Option<Vec<String>>,
    rows: Vec<Vec<PointerCell>>,
}

/// Why a text is not a dump as seawall writes it.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// It cannot be read.
    #[error("the dump cannot be read")]
    Read(#[from] io::Error),
    /// A line is not as seawall writes it.
    #[error("line {0} is not as seawall writes it")]
    Line(u64),
}

impl DumpText {
    /// Reads a dump to its end.
    ///
    /// Fails at a line about a table with pointers that makes no sense. [`Self::is_complete`] tells
    /// whether the end is missing.
    pub fn read(from: &mut dyn BufRead) -> Result<Self, TextError> {
        let mut this = Self::default();
        let mut inside: Option<&'static str> = None;
        let mut is_program = false;
        let (mut number, mut left) = (0, MAX_BYTES);
        let mut line = Vec::new();
        while read_line(from, &mut line)? {
            number += 1;
            let bad = || TextError::Line(number);
            this.is_complete = is_complete(&line);
            if let Some(delimiter) = line.strip_prefix(b"DELIMITER ") {
                is_program = delimiter != b";\n";
            }
            if is_program {
                continue;
            }
            if let Some(rest) = line.strip_prefix(b"CREATE TABLE ") {
                if let Some(name) = known(rest) {
                    this.tables.entry(name).or_default();
                }
            } else if let Some(rest) = line.strip_prefix(b"INSERT INTO ") {
                inside = known(rest);
                if let Some(name) = inside {
                    let columns = Some(columns(rest).ok_or_else(bad)?);
                    let table = this.tables.entry(name).or_default();
                    if table.columns.is_some() && table.columns != columns {
                        return Err(bad());
                    }
                    table.columns = columns;
                }
            } else if line.first() == Some(&b'(')
                && let Some(table) = inside.and_then(|name| this.tables.get_mut(name))
            {
                left = left.checked_sub(line.len()).ok_or_else(bad)?;
                let (row, is_last) = row(&line).ok_or_else(bad)?;
                if table.columns.as_ref().map(Vec::len) != Some(row.len()) {
                    return Err(bad());
                }
                table.rows.push(row);
                if is_last {
                    inside = None;
                }
            }
        }
        Ok(this)
    }

    /// Whether the last line says that it is whole.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// What the dumped database points to.
    ///
    /// Errors: [`database::Error::MissingTable`], if it is another database.
    pub fn pointers(&self) -> Result<Pointers, database::Error> {
        assemble::assemble(self)
    }
}

impl TableSource for DumpText {
    fn rows<const COLUMNS: usize>(
        &self,
        table: &PointerTable<COLUMNS>,
    ) -> Result<rows::PointerRows<COLUMNS>, database::Error> {
        let missing = |column| database::Error::MissingTable {
            file: "the dump".into(),
            table: table.name,
            column,
        };
        let Some(found) = self.tables.get(table.name) else {
            return if table.needed {
                Err(missing(table.columns[0]))
            } else {
                Ok(rows::PointerRows::all(Vec::new()))
            };
        };
        let Some(columns) = &found.columns else {
            return Ok(rows::PointerRows::all(Vec::new()));
        };
        let at = table.columns.map(|name| {
            let mut columns = columns.iter();
            columns.position(|column| column.eq_ignore_ascii_case(name))
        });
        if table.needed
            && let Some(absent) = at.iter().position(Option::is_none)
        {
            return Err(missing(table.columns[absent]));
        }
        let cell = |row: &Vec<PointerCell>, at: Option<usize>| {
            at.and_then(|at| row.get(at)).cloned().unwrap_or(PointerCell::Null)
        };
        let rows = found.rows.iter();
        let rows = rows.map(|row| at.map(|at| cell(row, at)));
        Ok(rows::PointerRows::all(rows.collect()))
    }
}

/// Reads one line with its line end. Only the beginning of a long line is kept. False at the end.
fn read_line(from: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut limited = from.take(MAX_LINE as u64);
    limited.read_until(b'\n', line)?;
    if line.len() == MAX_LINE && line.last() != Some(&b'\n') {
        from.skip_until(b'\n')?;
    }
    Ok(!line.is_empty())
}

/// The table with pointers that `text` begins with the name of.
fn known(text: &[u8]) -> Option<&'static str> {
    let (name, _) = name(text)?;
    NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(&name))
}

/// A name in backticks, and what follows it.
fn name(text: &[u8]) -> Option<(String, &[u8])> {
    let mut rest = text.strip_prefix(b"`")?;
    let mut name = Vec::new();
    loop {
        let end = rest.iter().position(|&byte| byte == b'`')?;
        name.extend_from_slice(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix(b"`") {
            Some(after) => {
                name.push(b'`');
                rest = after;
            }
            None => return Some((String::from_utf8_lossy(&name).into_owned(), rest)),
        }
    }
}

/// The columns of `` `table` (`one`, `two`) VALUES ``.
fn columns(text: &[u8]) -> Option<Vec<String>> {
    let (_, rest) = name(text)?;
    let mut rest = rest.strip_prefix(b" (")?;
    let mut columns = Vec::new();
    if let Some(after) = rest.strip_prefix(b")") {
        return (after == b" VALUES\n").then_some(columns);
    }
    loop {
        let (column, after) = name(rest)?;
        columns.push(column);
        if let Some(after) = after.strip_prefix(b", ") {
            rest = after;
        } else {
            return (after == b") VALUES\n").then_some(columns);
        }
    }
}

/// The values of a line, and whether it is the last line of its statement.
fn row(line: &[u8]) -> Option<(Vec<PointerCell>, bool)> {
    let mut rest = line.strip_prefix(b"(")?;
    let mut row = Vec::new();
    loop {
        let (cell, after) = value(rest)?;
        row.push(cell);
        rest = match after.strip_prefix(b",") {
            Some(after) => after,
            None => match after {
                b"),\n" => return Some((row, false)),
                b");\n" => return Some((row, true)),
                _ => return None,
            },
        };
    }
}

fn value(text: &[u8]) -> Option<(PointerCell, &[u8])> {
    if let Some(rest) = text.strip_prefix(b"'") {
        return quoted(rest);
    }
    let end = text.iter().position(|byte| matches!(byte, b',' | b')'))?;
    let (word, rest) = text.split_at(end);
    let word = std::str::from_utf8(word).ok()?;
    let cell = match word.strip_prefix("0x") {
        Some(digits) => PointerCell::Text(String::from_utf8_lossy(&bytes(digits)?).into_owned()),
        None if word == "NULL" => PointerCell::Null,
        None => match word.parse() {
            Ok(number) => PointerCell::Integer(number),
            Err(_) => PointerCell::Text(word.to_owned()),
        },
    };
    Some((cell, rest))
}

fn quoted(text: &[u8]) -> Option<(PointerCell, &[u8])> {
    let mut bytes = Vec::new();
    let mut rest = text;
    loop {
        let at = rest.iter().position(|byte| matches!(byte, b'\'' | b'\\'))?;
        bytes.extend_from_slice(&rest[..at]);
        if rest[at] == b'\'' {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            return Some((PointerCell::Text(text), &rest[at + 1..]));
        }
        bytes.push(match rest.get(at + 1)? {
            b'n' => b'\n',
            b'r' => b'\r',
            b'0' => 0,
            b'Z' => 0x1a,
            other => *other,
        });
        rest = &rest[at + 2..];
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = digits.as_bytes().chunks(2);
    let pairs = pairs.map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<DumpText, TextError> {
        DumpText::read(&mut text.as_bytes())
    }

    const TEXT: &str = "CREATE TABLE `Repo` (\n  `repo_id` char(37)\n) ENGINE=InnoDB;\n\
        INSERT INTO `Repo` (`id`, `repo_id`) VALUES\n(1,'a\\'),(\\n'),\n(2,0x6162);\n(3,'not one');\n\
        CREATE TABLE `Branch` (\n);\nDELIMITER ;;\nINSERT INTO `Repo` (`id`) VALUES\n(9);\nDELIMITER ;\n\
        -- seawall dump complete: 2 tables, 2 rows\n";

    #[test]
    fn rows_are_read_back() {
        let text = read(TEXT).unwrap();
        assert!(text.is_complete());
        let table =
            PointerTable { name: "Repo", columns: ["repo_id", "id", "other"], needed: false };
        let rows = text.rows(&table).unwrap().rows;
        let cell = |text: &str| PointerCell::Text(text.to_owned());
        assert_eq!(
            rows,
            [
                [cell("a'),(\n"), PointerCell::Integer(1), PointerCell::Null],
                [cell("ab"), PointerCell::Integer(2), PointerCell::Null],
            ]
        );
        text.pointers().unwrap();
        let cut = read(&TEXT[..TEXT.len() - 20]).unwrap();
        assert!(!cut.is_complete());
    }

    #[test]
    fn what_is_no_dump_of_ours_is_told() {
        for text in [
            "INSERT INTO `Repo` (`a` VALUES\n",
            "INSERT INTO `Repo` (`a`) VALUES\n(1,2);\n",
            "INSERT INTO `Repo` (`a`) VALUES\n('x);\n",
            "INSERT INTO `Repo` (`a`) VALUES\n(0x1);\n",
            "INSERT INTO `Repo` (`a`) VALUES\n(1);\nINSERT INTO `Repo` (`b`) VALUES\n(1);\n",
        ] {
            assert!(matches!(read(text), Err(TextError::Line(_))), "{text}");
        }
        let empty = read("").unwrap();
        assert!(!empty.is_complete());
        assert!(matches!(empty.pointers(), Err(database::Error::MissingTable { .. })));
    }

    #[test]
    fn long_lines_of_other_tables_are_passed_over() {
        let long = "x".repeat(3 * MAX_LINE);
        let text = format!("INSERT INTO `t` (`a`) VALUES\n('{long}');\n{TEXT}");
        assert_eq!(read(&text).unwrap().tables["Repo"].rows.len(), 2);
        let text = format!("INSERT INTO `Repo` (`a`) VALUES\n('{long}');\n");
        assert!(matches!(read(&text), Err(TextError::Line(2))));
    }

    proptest! {
        #[test]
        fn values_are_read_as_they_were_written(cells in prop::collection::vec(any::<Vec<u8>>(), 1..5)) {
            use mysql_async::Value;
            use super::super::literal::SqlLiteral;
            let mut line = b"(".to_vec();
            for (at, cell) in cells.iter().enumerate() {
                if at > 0 {
                    line.push(b',');
                }
                let literal = if at % 2 == 0 { SqlLiteral::Quoted } else { SqlLiteral::Hex };
                literal.write(&Value::Bytes(cell.clone()), &mut line);
            }
            line.extend_from_slice(b");\n");
            let (row, is_last) = row(&line).unwrap();
            prop_assert!(is_last);
            let wanted: Vec<PointerCell> = cells
                .iter()
                .map(|cell| PointerCell::Text(String::from_utf8_lossy(cell).into_owned()))
                .collect();
            prop_assert_eq!(row, wanted);
        }
    }
}
