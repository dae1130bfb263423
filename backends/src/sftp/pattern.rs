//! Patterns of host names, as `ssh_config(5)` has them: `*` and `?`, and `!` before one that must not
//! match.

/// Whether a text matches one pattern; letters are the same in both cases. Takes at most the product
/// of the two lengths.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut position) = (0, 0);
    // Where the last star stands, and what it covers so far.
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(byte) if *byte == b'?' || byte.eq_ignore_ascii_case(&text[position]) => {
                at += 1;
                position += 1;
            }
            _ => {
                let Some((star_at, covered)) = star else {
                    return false;
                };
                star = Some((star_at, covered + 1));
                at = star_at + 1;
                position = covered + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Whether a text matches one of the patterns, and none of those behind a `!`.
pub(super) fn any_matches<'a>(patterns: impl IntoIterator<Item = &'a str>, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(negated) if matches(negated, text) => return false,
            Some(_) => {}
            None => found |= matches(pattern, text),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "host"),
            ("h?st", "host"),
            ("*.example.org", "a.b.example.org"),
            ("a*b*c", "aXXbXbXc"),
            ("HOST", "host"),
            ("[127.0.0.1]:*", "[127.0.0.1]:22"),
            ("***", "x"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "x"),
            ("?", ""),
            ("host", "hos"),
            ("host", "hostx"),
            ("*.example.org", "example.org"),
            ("a*b*c", "aXXbXbX"),
            ("[1]", "1"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(200);
        assert!(!matches(&pattern, &"a".repeat(199)));
        assert!(!matches(&pattern, &"b".repeat(10_000)));
    }

    #[test]
    fn a_negated_pattern_decides() {
        assert!(any_matches(["*.org", "!x.org"], "y.org"));
        assert!(!any_matches(["*.org", "!x.org"], "x.org"));
        assert!(!any_matches(["!x.org", "*.org"], "X.org"));
        // Alone it matches nothing.
        assert!(!any_matches(["!x.org"], "y.org"));
    }
}
