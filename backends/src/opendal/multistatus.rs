//! The paths in what a WebDAV server answers to PROPFIND. A server may name its files by whole URLs
//! (RFC 4918, 8.3), which opendal takes for paths; and one behind a proxy that maps paths may name
//! them by paths that nobody asked for, which opendal cuts anywhere.

use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::escape::{partial_escape, resolve_predefined_entity};
use quick_xml::events::Event;

use super::transport::Told;

/// The answer with the `href` of each response as a path, otherwise as it came.
///
/// # Errors
/// [`Told::Malformed`] if it is no XML; [`Told::Foreign`] if an `href` is neither `asked`, the path of the
/// request as it went out, nor below it.
pub(super) fn with_paths(answer: &[u8], asked: &str) -> Result<String, Told> {
    let answer = std::str::from_utf8(answer).map_err(|_| Told::Malformed)?;
    let asked = decoded(asked.trim_end_matches('/')).ok_or(Told::Foreign)?;
    let mut paths = String::with_capacity(answer.len());
    let mut copied = 0;
    for (start, end) in hrefs(answer)? {
        let href = text_of(&answer[start..end])?;
        let path = path_of(href.trim());
        let below = decoded(path).and_then(|path| path.strip_prefix(&asked).map(str::to_owned));
        if !below.is_some_and(|below| below.is_empty() || below.starts_with('/')) {
            return Err(Told::Foreign);
        }
        paths.push_str(&answer[copied..start]);
        paths.push_str(&partial_escape(path));
        copied = end;
    }
    paths.push_str(&answer[copied..]);
    Ok(paths)
}

/// Where the texts of `<response><href>` begin and end. Other elements have paths too: the owner of a lock, for one.
fn hrefs(answer: &str) -> Result<Vec<(usize, usize)>, Told> {
    let mut found = Vec::new();
    let mut reader = Reader::from_str(answer);
    // The local names of the elements that are open.
    let mut open: Vec<Vec<u8>> = Vec::new();
    let position =
        |reader: &Reader<&[u8]>| usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
    loop {
        let event = reader.read_event().map_err(|_| Told::Malformed)?;
        let is_of_response = open.last().is_some_and(|name| name == b"response");
        match event {
            Event::Start(tag) if is_of_response && tag.local_name().as_ref() == b"href" => {
                let start = position(&reader);
                let text = reader.read_text(tag.name()).map_err(|_| Told::Malformed)?;
                found.push((start, start + text.len()));
            }
            Event::Empty(tag) if is_of_response && tag.local_name().as_ref() == b"href" => {
                return Err(Told::Foreign);
            }
            Event::Start(tag) => open.push(tag.local_name().as_ref().to_vec()),
            Event::End(_) => drop(open.pop()),
            Event::Eof if open.is_empty() => return Ok(found),
            Event::Eof => return Err(Told::Malformed),
            _ => {}
        }
    }
}

/// The text that XML stands for.
fn text_of(xml: &str) -> Result<String, Told> {
    let mut text = String::new();
    let mut reader = Reader::from_str(xml);
    loop {
        match reader.read_event().map_err(|_| Told::Malformed)? {
            Event::Text(part) => text.push_str(&part.decode().map_err(|_| Told::Malformed)?),
            Event::CData(part) => text.push_str(&part.decode().map_err(|_| Told::Malformed)?),
            Event::GeneralRef(reference) => {
                let name = reference.decode().map_err(|_| Told::Malformed)?;
                match reference.resolve_char_ref() {
                    Ok(Some(character)) => text.push(character),
                    Ok(None) => {
                        text.push_str(resolve_predefined_entity(&name).ok_or(Told::Malformed)?);
                    }
                    Err(_) => return Err(Told::Malformed),
                }
            }
            Event::Comment(_) => {}
            Event::Eof => return Ok(text),
            _ => return Err(Told::Foreign),
        }
    }
}

/// What follows scheme and host, if they are named.
fn path_of(href: &str) -> &str {
    let Some((_, rest)) = href.split_once("://").filter(|_| !href.starts_with('/')) else {
        return href;
    };
    rest.find('/').map_or("/", |slash| &rest[slash..])
}

fn decoded(path: &str) -> Option<String> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    Some(path.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(href: &str) -> String {
        format!("<D:response xmlns:D='DAV:'><D:href>{href}</D:href><D:x>1</D:x></D:response>")
    }

    fn got(answer: &str, asked: &str) -> Result<String, Told> {
        with_paths(answer.as_bytes(), asked)
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
            ("/a/b://c/d", "/a"),
        ] {
            assert_eq!(got(&answer(href), asked), Ok(answer(href)), "{href}");
        }
        for other in [
            "<x/>",
            "",
            "<D:owner><D:href>http://h/me</D:href></D:owner>",
            "<D:a><D:response/><D:response></D:response><D:href>/x</D:href></D:a>",
            "<response><owner><href>/x</href></owner></response>",
            "<response><!-- <href>/x</href> --><a b='<href>'/></response>",
        ] {
            assert_eq!(got(other, "/a").as_deref(), Ok(other));
        }
    }

    #[test]
    fn whole_urls_become_paths() {
        for href in [
            "https://h:8443/a/b",
            "http://other/a/b",
            " /a/b\n",
            "<![CDATA[http://h/a/b]]>",
            "&#47;a/b",
            "/a<!-- a comment -->/b",
        ] {
            assert_eq!(got(&answer(href), "/a"), Ok(answer("/a/b")), "{href}");
        }
        let two = format!("<m>{}{}</m>", answer("http://h/a/"), answer("http://h/a/b"));
        let paths = format!("<m>{}{}</m>", answer("/a/"), answer("/a/b"));
        assert_eq!(got(&two, "/a"), Ok(paths));
        let spaced = "<response >\n<!-- x --><href\n>http://h/a&amp;b</href ></response>";
        let path = "<response >\n<!-- x --><href\n>/a&amp;b</href ></response>";
        assert_eq!(got(spaced, "/a&b"), Ok(path.to_owned()));
    }

    #[test]
    fn paths_of_something_else_are_refused() {
        for href in ["/b/a", "/ab", "", "a/b", "http://h", "/%ff", "<b>/a</b>"] {
            assert_eq!(got(&answer(href), "/a"), Err(Told::Foreign), "{href}");
        }
        assert_eq!(got("<response><href/></response>", "/a"), Err(Told::Foreign));
    }

    #[test]
    fn what_is_no_xml_is_refused() {
        for bad in [
            "<response><href>/a</href>",
            "<response><href>/a</response>",
            "<response><href>/a&nonsense;</href></response>",
            "<response><href>/a&#xd800;</href></response>",
            "</response>",
        ] {
            assert_eq!(got(bad, "/a"), Err(Told::Malformed), "{bad}");
        }
        assert_eq!(with_paths(b"<a>\xff</a>", "/a"), Err(Told::Malformed));
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_read(bytes: Vec<u8>, text in "(<|>|/|response|href|&amp;|&|;|a| |\"|!|\\[CDATA\\[|\\]\\]){0,30}") {
            // Whatever comes back, it does not panic; and what was made of paths stays as it is.
            let _ = with_paths(&bytes, "/a");
            if let Ok(paths) = got(&text, "/a") {
                proptest::prop_assert_eq!(got(&paths, "/a"), Ok(paths.clone()));
            }
        }
    }
}
