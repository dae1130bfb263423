//! The paths in what a WebDAV server answers to PROPFIND. A server may name its files by whole URLs
//! (RFC 4918, 8.3), which opendal takes for paths; and one behind a proxy that maps paths may name
//! them by paths that nobody asked for, which opendal cuts anywhere.

use percent_encoding::percent_decode_str;

/// The answer with every `href` as a path; None if one of them is not `asked`, the path of the
/// request as it went out, or below it.
pub(super) fn with_paths(answer: &[u8], asked: &str) -> Option<String> {
    let answer = std::str::from_utf8(answer).ok()?;
    let asked = decoded(asked.trim_end_matches('/'))?;
    let mut paths = String::with_capacity(answer.len());
    let mut rest = answer;
    while let Some(start) = rest.find("href>") {
        let (before, after) = rest.split_at(start + "href>".len());
        paths.push_str(before);
        rest = after;
        if !names_a_response(before) {
            continue;
        }
        let (href, after) = after.split_at(after.find('<')?);
        let path = path_of(href.trim());
        let below = decoded(path)?.strip_prefix(&asked).map(str::to_owned)?;
        if !(below.is_empty() || below.starts_with('/')) {
            return None;
        }
        paths.push_str(path);
        rest = after;
    }
    paths.push_str(rest);
    Some(paths)
}

/// Whether a text ends with `<…response><…href>`; the owner of a lock, for one, has a path too.
fn names_a_response(text: &str) -> bool {
    let last_tag = |text: &str| {
        text.rfind('<')
            .map(|start| (start, text[start + 1..].to_owned()))
    };
    let Some((start, href)) = last_tag(text) else {
        return false;
    };
    let above = last_tag(text[..start].trim_end());
    let above = above.map(|(_, tag)| tag).unwrap_or_default();
    let name = above
        .split([' ', '>', '\n', '\t'])
        .next()
        .unwrap_or_default();
    let is_start = |tag: &str| !tag.starts_with('/');
    is_start(&href) && is_start(name) && name.rsplit(':').next() == Some("response")
}

/// What follows scheme and host.
fn path_of(href: &str) -> &str {
    let Some((_, rest)) = href.split_once("://") else {
        return href;
    };
    rest.find('/').map_or("/", |slash| &rest[slash..])
}

fn decoded(path: &str) -> Option<String> {
    let path = path.replace("&amp;", "&");
    let path = percent_decode_str(&path).decode_utf8().ok()?;
    Some(path.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(href: &str) -> String {
        format!("<D:response xmlns:D='DAV:'><D:href>{href}</D:href><D:x>1</D:x></D:response>")
    }

    #[test]
    fn paths_stay() {
        for (href, asked) in [
            ("/a/b/", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/a%20b/c", "/a%20b/"),
            ("/%61/c", "/a"),
            ("/a&amp;b/c", "/a&b"),
            ("/x", "/"),
        ] {
            assert_eq!(
                with_paths(answer(href).as_bytes(), asked),
                Some(answer(href)),
                "{href}"
            );
        }
        for other in [
            "<x/>",
            "<D:owner><D:href>http://h/me</D:href></D:owner>",
            "<D:response/></D:response><D:href>/x</D:href>",
        ] {
            assert_eq!(with_paths(other.as_bytes(), "/a").as_deref(), Some(other));
        }
    }

    #[test]
    fn whole_urls_become_paths() {
        for href in ["https://h:8443/a/b", "http://other/a/b", " /a/b\n"] {
            let got = with_paths(answer(href).as_bytes(), "/a");
            assert_eq!(got, Some(answer("/a/b")), "{href}");
        }
        let two = format!("{}{}", answer("http://h/a/"), answer("http://h/a/b"));
        let paths = format!("{}{}", answer("/a/"), answer("/a/b"));
        assert_eq!(with_paths(two.as_bytes(), "/a"), Some(paths));
    }

    #[test]
    fn paths_of_something_else_are_refused() {
        for href in ["/b/a", "/ab", "", "a/b", "http://h", "/%ff"] {
            assert_eq!(with_paths(answer(href).as_bytes(), "/a"), None, "{href}");
        }
    }
}
