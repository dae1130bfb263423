use super::*;
use proptest::prelude::*;

fn parse(text: &str, reader: DotenvReader) -> Dotenv {
    Dotenv::parse(text, reader, &|name| (name == "OUTSIDE").then(|| "outer".to_owned()))
}

fn compose(text: &str) -> Dotenv {
    parse(text, DotenvReader::Compose)
}

fn text<'a>(dotenv: &'a Dotenv, name: &str) -> Option<&'a str> {
    dotenv.get(name).map(|value| value.text.as_str())
}

#[test]
fn quotes_comments_and_export_are_read() {
    let dotenv = compose(
        "\u{feff}# comment\r\nA=plain # why\r\nexport B='single $X # \"' # c\nC = \"a\\\"b\\n\\$\"\n\
         D=a#b\nE=\nF=\"two\nlines\"\nG=${A}\nnonsense\nexport=1\n=2\nH='open\nA.B-1=x\n\
         J= # only a comment\nK=#sharp\nL: colon\nM: \"quoted\" # c\nN=a:b=c\nI=\"open\n",
    );
    for (name, expected) in [
        ("A", "plain"),
        ("B", "single $X # \""),
        ("C", "a\"b\n$"),
        ("D", "a#b"),
        ("E", ""),
        ("F", "two\nlines"),
        ("G", "plain"),
        ("export", "1"),
        ("H", "'open"),
        ("I", "\"open"),
        ("A.B-1", "x"),
        ("J", ""),
        ("K", "#sharp"),
        ("L", "colon"),
        ("M", "quoted"),
        ("N", "a:b=c"),
    ] {
        assert_eq!(text(&dotenv, name), Some(expected), "{name}");
    }
    assert_eq!(dotenv.get("G").unwrap().line, 9);
    assert_eq!(dotenv.ignored_lines(), [10, 12]);
    assert_eq!(dotenv.iter().count(), 16);
}

#[test]
fn the_value_of_one_line_depends_on_who_reads_it() {
    // The value that compose, a shell and systemd read.
    for (line, expected) in [
        ("A=\"p@ss$$word\"", ["p@ss$word", "p@ss$$word", "p@ss$$word"]),
        ("A='p@ss$$word'", ["p@ss$$word"; 3]),
        ("A=p@ss$$word", ["p@ss$word", "p@ss$$word", "p@ss$$word"]),
        ("A=$OUTSIDE-x", ["outer-x", "outer-x", "$OUTSIDE-x"]),
        ("A=${NO:-db}", ["db", "db", "${NO:-db}"]),
        ("A=a\\b", ["a\\b", "ab", "ab"]),
        ("A=\"a\\$b\"", ["a$b", "a$b", "a$b"]),
        ("A='it\\'s'", ["it's", "'it\\'s'", "'it\\'s'"]),
        ("A=\"x\"'y'z", ["x", "xyz", "xyz"]),
        ("A=x # why", ["x", "x", "x # why"]),
        ("A=<your bucket name>", ["<your bucket name>"; 3]),
        ("A=two words", ["two words"; 3]),
        ("A = spaced ", ["spaced", "spaced", "spaced"]),
        ("A=trailing \r", ["trailing", "trailing", "trailing"]),
        ("A=é\"ü\"", ["é\"ü\"", "éü", "éü"]),
    ] {
        for (reader, expected) in DotenvReader::ALL.into_iter().zip(expected) {
            let dotenv = parse(line, reader);
            assert_eq!(text(&dotenv, "A"), Some(expected), "{line} for {reader:?}");
        }
    }
    assert!(parse("A: x", DotenvReader::Shell).is_empty());
    assert_eq!(parse("; x", DotenvReader::Systemd).ignored_lines(), [0; 0]);
}

#[test]
fn what_nothing_sets_is_marked() {
    let dotenv = compose("A=1\nB=$A$OUTSIDE\nC=x$NO\nD='$NO'\nE=${NO:-y}\nF=${NO:?must}\nG=5$");
    let unset = |name: &str| dotenv.get(name).unwrap().unset.as_deref();
    assert_eq!(text(&dotenv, "B"), Some("1outer"));
    assert_eq!((text(&dotenv, "C"), unset("C")), (Some("x"), Some("NO")));
    assert_eq!((unset("B"), unset("D"), unset("E")), (None, None, None));
    assert_eq!((unset("F"), unset("G")), (Some("NO"), Some("$")));
    for command in ["A=$(cat x)", "A=\"$(cat x)\"", "A=`cat x`", "A=$$"] {
        let dotenv = parse(command, DotenvReader::Shell);
        assert!(dotenv.get("A").unwrap().unset.is_some(), "{command}");
    }
}

#[test]
fn values_are_not_shown() {
    let dotenv = compose("PASSWORD=hunter2");
    assert!(!format!("{dotenv:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn any_text_is_read(text in any::<String>()) {
        for reader in DotenvReader::ALL {
            parse(&text, reader);
        }
    }

    #[test]
    fn text_with_signs_of_the_format_is_read(text in "[A=:'\"\\\\$#{}()`é \n\r\t-]{0,60}") {
        for reader in DotenvReader::ALL {
            parse(&text, reader);
        }
    }

    #[test]
    fn single_quotes_keep_everything(value in "[^'\\\\]{0,30}", after in "[a-z]{1,5}") {
        for reader in DotenvReader::ALL {
            let dotenv = parse(&format!("A='{value}'\nB={after}"), reader);
            prop_assert_eq!(text(&dotenv, "A"), Some(value.as_str()));
            prop_assert_eq!(text(&dotenv, "B"), Some(after.as_str()));
        }
    }
}
