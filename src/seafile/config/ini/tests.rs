use super::*;
use proptest::prelude::*;

fn glib(text: &str) -> Ini {
    Ini::parse(text, IniReader::Glib)
}

fn python(text: &str) -> Ini {
    Ini::parse(text, IniReader::ConfigParser)
}

fn text<'a>(ini: &'a Ini, section: &str, key: &str) -> Option<&'a str> {
    ini.get(section, key).map(|value| value.text.as_str())
}

#[test]
fn sections_of_one_name_are_one_and_the_last_key_counts() {
    let ini = glib(
        "\u{feff}; comment\r\n# comment\r\n[Database]\r\nENGINE = sqlite\r\nPASSWD=a=b#c;d\r\n\
         \r\n[General] # here\nNAME= tests\n[Database]\n\tENGINE=mysql\n  HOST =  db \nempty =\nnonsense\n= x\nPORT: 1\n",
    );
    assert_eq!(text(&ini, "Database", "ENGINE"), Some("mysql"));
    assert_eq!(ini.get("Database", "ENGINE").unwrap().line, 10);
    assert_eq!(text(&ini, "Database", "PASSWD"), Some("a=b#c;d"));
    assert_eq!(text(&ini, "Database", "HOST"), Some("db"));
    assert_eq!(text(&ini, "General", "NAME"), Some("tests"));
    assert_eq!(text(&ini, "Database", "empty"), None);
    assert_eq!(text(&ini, "nowhere", "empty"), None);
    assert_eq!(ini.ignored_lines(), [13, 14, 15]);
    assert!(ini.has_section("General") && !ini.has_section("GENERAL"));
}

#[test]
fn names_count_as_they_are_spelled() {
    let ini = glib(
        "[database]\nhost = db\nHost = other\n[ database ]\nhost = not-this-one\n[Database]\nhost = nor-this\n",
    );
    assert_eq!(text(&ini, "database", "host"), Some("db"));
    assert_eq!(ini.misspelled("database", &["host", "port"]), [3, 4, 6]);
    assert_eq!(text(&ini, " database ", "host"), Some("not-this-one"));
    let ini = python("[DATABASE]\nHost = db\n[database]\nhost = other\n");
    assert_eq!(text(&ini, "DATABASE", "host"), Some("db"));
    assert_eq!(ini.misspelled("DATABASE", &["host"]), [3]);
}

#[test]
fn config_parser_has_habits_of_its_own() {
    let ini = python(
        "[DEFAULT]\nuser = all\n[a]b]\nx = 1\n[DATABASE]\nPassWord: a%%b\nhost=%(user)s.%(HOST2)s\nhost2 = x\nlong = a\n  b\n\
         one = 5%\nself = %(self)s\nunknown = %(no)s\n",
    );
    let read = |key: &str| ini.interpolated("DATABASE", key).unwrap();
    assert_eq!(read("password"), "a%b");
    assert_eq!(read("host"), "all.x");
    assert_eq!(read("user"), "all");
    assert_eq!(read("long"), "a\nb");
    // `ConfigParser` refuses these values, so they are returned as they stand.
    assert_eq!(read("one"), "5%");
    assert_eq!(read("self"), "%(self)s");
    assert_eq!(read("unknown"), "%(no)s");
    assert_eq!(text(&ini, "a]b", "x"), Some("1"));
    let doubled = format!("[a]\nk0 = {}\n", "x".repeat(1000));
    let doubled =
        (1..30).fold(doubled, |text, n| format!("{text}k{n} = %(k{0})s%(k{0})s\n", n - 1));
    assert!(python(&doubled).interpolated("a", "k29").unwrap().len() < MAX);
}

/// Every value in these tests must stay shorter than this.
const MAX: usize = 1 << 20;

#[test]
fn go_takes_quotes_off_and_knows_comments_behind_values() {
    let ini = glib("a = \"x # y\"\nb = x ; y\nc = x#y\nd = 'x'\ne = \"x\nf = `x`z\n");
    let read = |key| ini.get("", key).unwrap().as_go_reads();
    let read: Vec<String> = ["a", "b", "c", "d", "e", "f"].map(read).into();
    assert_eq!(read, ["x # y", "x", "x#y", "x", "\"x", "x"]);
}

#[test]
fn escapes_are_those_of_glib() {
    let ini = glib(r"password = \sa\tb\\n\q\");
    let value = ini.get("", "password").unwrap();
    assert_eq!(value.unescaped(), " a\tb\\n\\q\\");
}

#[test]
fn yes_has_several_words() {
    let ini = glib("a = True\nb = 0\nc = ON\nd = false\ne = 1");
    let yes = |key| ini.get("", key).unwrap().is_true();
    assert!(yes("a") && yes("c") && yes("e") && !yes("b") && !yes("d"));
}

#[test]
fn values_are_not_shown() {
    let ini = glib("[database]\npassword = hunter2\n");
    assert!(!format!("{ini:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn any_text_is_read(text in "(\\PC|[\n\\[\\]=:%()s# \t;]){0,80}") {
        for reader in [IniReader::Glib, IniReader::ConfigParser] {
            let ini = Ini::parse(&text, reader);
            prop_assert!(ini.ignored_lines().len() <= text.lines().count());
            ini.interpolated("", "s");
        }
    }

    #[test]
    fn what_is_written_is_found(
        key in "[a-z_][a-z0-9_]{0,9}",
        value in "[!-~]([ -~]{0,20}[!-~])?",
        noise in "[;#][ -~]{0,20}",
    ) {
        for reader in [IniReader::Glib, IniReader::ConfigParser] {
            let ini = Ini::parse(&format!("{noise}\n[s]\n{noise}\n{key} = {value}\n{noise}"), reader);
            prop_assert_eq!(text(&ini, "s", &key), Some(value.as_str()));
        }
    }
}
