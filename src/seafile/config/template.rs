//! Replaces references to variables in a text, by the rules of docker compose. `$$` is one `$`. The
//! references are `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:+other}` and `${NAME:?message}`;
//! the colon in the last three may be left out. A default may hold references itself.

/// How deeply defaults may nest.
const MAX_DEPTH: usize = 16;
/// The longest result, in bytes. Without a limit each variable could double the length of the next
/// one.
const MAX_BYTES: usize = 64 << 10;

/// A text whose references were replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpandedText {
    /// The text. A variable that is not set becomes empty, as for docker.
    pub text: String,
    /// The first variable that is not set and has no default, or the first `$…` that is no
    /// reference.
    pub unset: Option<String>,
}

/// Replaces the references. Every text is accepted.
pub fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> ExpandedText {
    let mut expander = TemplateExpander { variable, unset: None };
    let mut out = String::new();
    expander.text(text, 0, &mut out);
    ExpandedText { text: out, unset: expander.unset }
}

struct TemplateExpander<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    unset: Option<String>,
}

impl TemplateExpander<'_> {
    fn text(&mut self, text: &str, depth: usize, out: &mut String) {
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            push(out, &rest[..at]);
            let after = &rest[at + 1..];
            let used = match after.chars().next() {
                Some('$') => {
                    push(out, "$");
                    1
                }
                Some('{') => self.braces(after, depth, out),
                _ => self.plain(after, out),
            };
            rest = &after[used..];
        }
        push(out, rest);
    }

    /// Replaces `NAME` behind a `$`. Returns how many bytes it used.
    fn plain(&mut self, after: &str, out: &mut String) -> usize {
        let len = name_len(after);
        if len == 0 {
            // Docker refuses such a file; a shell keeps the `$`.
            self.note_unset("$");
            push(out, "$");
            return 0;
        }
        self.value(&after[..len], out);
        len
    }

    /// Replaces `{…}` behind a `$`. Returns how many bytes it used.
    fn braces(&mut self, after: &str, depth: usize, out: &mut String) -> usize {
        let Some(len) = closing(after).filter(|_| depth < MAX_DEPTH) else {
            // Docker refuses it. The rest of the text stays as it is: to search it again for each
            // `$` would take quadratic time.
            self.note_unset("${");
            push(out, "$");
            push(out, after);
            return after.len();
        };
        let inside = &after[1..len];
        let (name, rest) = inside.split_at(name_len(inside));
        let value = (self.variable)(name);
        let is_set = value.is_some();
        let (colon, rest) = match rest.strip_prefix(':') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let value = value.filter(|value| !colon || !value.is_empty());
        let mut signs = rest.chars();
        match (signs.next(), value) {
            (None, _) if !colon && is_set => self.value(name, out),
            (Some('-' | '?'), Some(value)) => push(out, &value),
            (Some('-'), None) | (Some('+'), Some(_)) => {
                self.text(signs.as_str(), depth + 1, out);
            }
            (Some('+'), None) => {}
            _ => self.note_unset(name),
        }
        len + 1
    }

    fn value(&mut self, name: &str, out: &mut String) {
        match (self.variable)(name) {
            Some(value) => push(out, &value),
            None => self.note_unset(name),
        }
    }

    fn note_unset(&mut self, what: &str) {
        self.unset.get_or_insert_with(|| what.to_owned());
    }
}

/// Appends as much of the text as [`MAX_BYTES`] allows.
fn push(out: &mut String, text: &str) {
    let room = MAX_BYTES.saturating_sub(out.len());
    let end = text.floor_char_boundary(room.min(text.len()));
    out.push_str(&text[..end]);
}

/// The length in bytes of the variable name at the start of a text.
fn name_len(text: &str) -> usize {
    let is_part = |character: char| character == '_' || character.is_ascii_alphanumeric();
    if text.starts_with(|character: char| character.is_ascii_digit()) {
        return 0;
    }
    text.find(|character| !is_part(character)).unwrap_or(text.len())
}

/// The position of the brace that closes the one at the start of a text.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expanded(text: &str) -> (String, Option<String>) {
        let variable = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let ExpandedText { text, unset } = expand(text, &variable);
        (text, unset)
    }

    #[test]
    fn references_are_those_of_compose() {
        for (text, expected) in [
            ("plain", "plain"),
            ("$A-${A}b", "a-ab"),
            ("p@ss$$word", "p@ss$word"),
            ("$$A", "$A"),
            ("${NO:-default}", "default"),
            ("${NO-default}", "default"),
            ("${EMPTY:-default}", "default"),
            ("${EMPTY-default}", ""),
            ("${NO:-${A}/${NO:-x}}", "a/x"),
            ("${A:+yes}${NO:+no}", "yes"),
            ("${A:?must be set}", "a"),
            ("${NO:-}", ""),
            ("${EMPTY}$EMPTY", ""),
        ] {
            assert_eq!(expanded(text), (expected.to_owned(), None), "{text}");
        }
    }

    #[test]
    fn what_nothing_sets_is_named() {
        for (text, expected, unset) in [
            ("a$NO", "a", "NO"),
            ("a${NO}b", "ab", "NO"),
            ("${NO:?why}", "", "NO"),
            ("${EMPTY:?why}", "", "EMPTY"),
            ("cost: 5$", "cost: 5$", "$"),
            ("a$-b", "a$-b", "$"),
            ("${A", "${A", "${"),
            ("${A!x}", "", "A"),
        ] {
            let (text, said) = expanded(text);
            assert_eq!((text.as_str(), said.as_deref()), (expected, Some(unset)));
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let deep = format!("{}x{}", "${NO:-".repeat(100_000), "}".repeat(100_000));
        expanded(&deep);
        let long = "b".repeat(40 << 10);
        let doubled = expand("$A$A$A", &|_| Some(long.clone()));
        assert_eq!(doubled.text.len(), MAX_BYTES);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "([$A{}:?+é-]|NO){0,60}") {
            expanded(&text);
        }
    }
}
