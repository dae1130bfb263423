//! Names and values as SQL text.

use mysql_async::Value;

/// How a column's values are written so that they come back bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SqlLiteral {
    /// As the server says it: numbers.
    Bare,
    /// As the server writes it once the column is a double, because a FLOAT's own text has only six
    /// digits.
    Double,
    /// In quotes: text, times, JSON, enumerations.
    Quoted,
    /// As hexadecimal digits: bytes.
    Hex,
    /// Not at all: the server computes them.
    None,
}

impl SqlLiteral {
    /// Chooses by the column's type in `information_schema.COLUMNS.DATA_TYPE`. An unknown type is
    /// text, since servers show types of their own (UUID, INET6) as text.
    pub(super) fn of(data_type: &str) -> Self {
        match data_type.to_ascii_lowercase().as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "double"
            | "year" => Self::Bare,
            "float" => Self::Double,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "bit"
            | "geometry" | "point" | "linestring" | "polygon" | "multipoint"
            | "multilinestring" | "multipolygon" | "geometrycollection" | "geomcollection"
            | "vector" => Self::Hex,
            _ => Self::Quoted,
        }
    }

    /// Appends a value. Returns false if the text protocol has no such value, or the server
    /// computes it.
    pub(super) fn write(self, value: &Value, into: &mut Vec<u8>) -> bool {
        let bytes = match value {
            Value::NULL => {
                into.extend_from_slice(b"NULL");
                return true;
            }
            Value::Bytes(bytes) => bytes,
            _ => return false,
        };
        match self {
            Self::Bare | Self::Double => into.extend_from_slice(bytes),
            Self::Quoted => quote(bytes, into),
            // `0x` without digits is no number.
            Self::Hex if bytes.is_empty() => into.extend_from_slice(b"''"),
            Self::Hex => hex(bytes, into),
            Self::None => return false,
        }
        true
    }
}

fn hex(bytes: &[u8], into: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    into.reserve(2 + 2 * bytes.len());
    into.extend_from_slice(b"0x");
    for byte in bytes {
        into.push(DIGITS[usize::from(byte >> 4)]);
        into.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Appends text in quotes, in one line. A session without `NO_BACKSLASH_ESCAPES` reads it back.
pub(super) fn quote(text: &[u8], into: &mut Vec<u8>) {
    into.push(b'\'');
    let mut rest = text;
    let is_special = |byte: &u8| matches!(byte, b'\'' | b'\\' | b'\n' | b'\r' | 0 | 0x1a);
    while let Some(at) = rest.iter().position(is_special) {
        into.extend_from_slice(&rest[..at]);
        into.push(b'\\');
        into.push(match rest[at] {
            b'\n' => b'n',
            b'\r' => b'r',
            0 => b'0',
            // Clients on Windows take this byte for the end of a file.
            0x1a => b'Z',
            other => other,
        });
        rest = &rest[at + 1..];
    }
    into.extend_from_slice(rest);
    into.push(b'\'');
}

/// A text as a literal.
pub(super) fn text(text: &str) -> String {
    let mut bytes = Vec::new();
    quote(text.as_bytes(), &mut bytes);
    // Escapes are ASCII, so the bytes stay UTF-8.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The name of a table, a column and so on, in backticks.
pub(super) fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(literal: SqlLiteral, bytes: &[u8]) -> String {
        let mut text = Vec::new();
        assert!(literal.write(&Value::Bytes(bytes.to_vec()), &mut text));
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn values() {
        assert_eq!(written(SqlLiteral::Bare, b"-1.50"), "-1.50");
        assert_eq!(written(SqlLiteral::Hex, b"\0\xff"), "0x00FF");
        assert_eq!(written(SqlLiteral::Hex, b""), "''");
        assert_eq!(written(SqlLiteral::Quoted, b"it's \\ \0\n\r\x1a\""), r#"'it\'s \\ \0\n\r\Z"'"#);
        let mut text = Vec::new();
        assert!(SqlLiteral::Hex.write(&Value::NULL, &mut text));
        assert_eq!(text, b"NULL");
        assert!(!SqlLiteral::Bare.write(&Value::Int(1), &mut text));
    }

    #[test]
    fn types() {
        for (data_type, literal) in [
            ("BIGINT", SqlLiteral::Bare),
            ("float", SqlLiteral::Double),
            ("json", SqlLiteral::Quoted),
            ("timestamp", SqlLiteral::Quoted),
            ("bit", SqlLiteral::Hex),
            ("uuid", SqlLiteral::Quoted),
        ] {
            assert_eq!(SqlLiteral::of(data_type), literal, "{data_type}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(name("a`b-c"), "`a``b-c`");
        assert_eq!(text("a'b"), r"'a\'b'");
    }
}
