use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> PythonSettings {
    PythonSettings::parse(text, &|name| (name == "SET").then(|| "from outside".to_owned()))
}

fn value(text: &str) -> PythonValue {
    parse(&format!("A = {text}")).get("A").unwrap().value.clone()
}

fn text(value: &str) -> PythonValue {
    PythonValue::Text(value.into())
}

#[test]
fn plain_literals_are_read() {
    assert_eq!(value("None"), PythonValue::None);
    assert_eq!(value("True"), PythonValue::Bool(true));
    assert_eq!(value("False # why"), PythonValue::Bool(false));
    assert_eq!(value("1_000"), PythonValue::Int(1000));
    assert_eq!(value("-0x1F"), PythonValue::Int(-31));
    assert_eq!(value("0o17"), PythonValue::Int(15));
    assert_eq!(value("0b11"), PythonValue::Int(3));
    assert_eq!(value("(7)"), PythonValue::Int(7));
    for other in ["1.5", "99999999999999999999", "1 + 1", "b'x'", "f'x'", "x", "'open", "..."] {
        assert_eq!(value(other), PythonValue::Dynamic, "{other}");
    }
}

#[test]
fn strings_are_read() {
    assert_eq!(value(r#""a'b""#), text("a'b"));
    assert_eq!(value(r"'a\'b\\c\n\x41\101\u00e9\U0001F600\q'"), text("a'b\\c\nAAé😀\\q"));
    assert_eq!(value(r"r'a\n\'b'"), text(r"a\n\'b"));
    assert_eq!(value("u'é' 'b'  \"c\""), text("ébc"));
    assert_eq!(value("('a'\n  'b')"), text("ab"));
    assert_eq!(value("'a' \\\n 'b'"), text("ab"));
    assert_eq!(value("'''a\r\n'b' ''c\"'''"), text("a\n'b' ''c\""));
    assert_eq!(value("'a\\\nb'"), text("ab"));
    assert_eq!(value("'a\\\r\nb'"), text("ab"));
    assert_eq!(value("''"), text(""));
    assert_eq!(value(r"'\N{BULLET}'"), PythonValue::Dynamic);
    assert_eq!(value(r"'\xg1'"), PythonValue::Dynamic);
    assert_eq!(value(r"'\ud800'"), PythonValue::Dynamic);
    assert_eq!(value("'%s' % x"), PythonValue::Dynamic);
}

#[test]
fn collections_are_read() {
    let PythonValue::List(values) = value("[1, 'a', (2,), (), [x, 3],\n]") else {
        panic!("no list");
    };
    assert_eq!(values.len(), 5);
    assert!(matches!(&values[2].value, PythonValue::List(values) if values.len() == 1));
    assert!(matches!(&values[3].value, PythonValue::List(values) if values.is_empty()));
    assert!(matches!(&values[4].value, PythonValue::List(values)
        if values[0].value == PythonValue::Dynamic && values[1].value == PythonValue::Int(3)));
    assert!(matches!(value("1, 2"), PythonValue::List(values) if values.len() == 2));
    assert_eq!(value("{1, 2}"), PythonValue::Dynamic);
    assert_eq!(value("{**A, 'b': 1}"), PythonValue::Dynamic);
    assert_eq!(value("{x: 1}"), PythonValue::Dynamic);
    assert!(matches!(value("{1: 'a', 'b': 2}"), PythonValue::Dict(entries) if entries.len() == 1));
}

const DATABASES: &str = "
# -*- coding: utf-8 -*-
import os
DATABASES = {
    'default': {
        'ENGINE': 'django.db.backends.mysql',
        'NAME': 'seahub_db', # the name
        'PASSWORD': os.environ['SET'],
        'HOST': os.environ.get('UNSET', 'db'),
        'PORT': int(os.getenv('UNSET', 3307)),
        'USER': os.environ.get('UNSET') or 'seafile',
        'CLIENT': os.environ['UNSET'],
        'OPTIONS': {'charset': 'utf8mb4', 'ssl': make_ssl(a=1, b={'c': 2})},
    }
}
";

fn at(settings: &PythonSettings, key: &str) -> Option<(PythonValue, usize)> {
    let located = settings.get_in("DATABASES", &["default", key])?;
    Some((located.value.clone(), located.line))
}

#[test]
fn databases_are_read() {
    let settings = parse(DATABASES);
    assert_eq!(at(&settings, "NAME"), Some((text("seahub_db"), 7)));
    assert_eq!(at(&settings, "PASSWORD"), Some((text("from outside"), 8)));
    assert_eq!(at(&settings, "HOST"), Some((text("db"), 9)));
    assert_eq!(at(&settings, "PORT"), Some((PythonValue::Int(3307), 10)));
    assert_eq!(at(&settings, "USER"), Some((text("seafile"), 11)));
    let unset = PythonValue::Environment("UNSET".into());
    assert_eq!(at(&settings, "CLIENT"), Some((unset, 12)));
    assert_eq!(at(&settings, "NOTHING"), None);
    let ssl = settings.get_in("DATABASES", &["default", "OPTIONS", "ssl"]);
    assert_eq!(ssl.unwrap().value, PythonValue::Dynamic);
    assert_eq!(settings.get_in("OTHER", &["default"]), None);
}

#[test]
fn items_can_be_assigned() {
    let settings = parse(&format!(
        "{DATABASES}DATABASES['default']['NAME'] = 'other'\nNOWHERE['a'] = 1\n\
         DATABASES['default']['NAME']['x'] = 1\nDATABASES['more'] = {{'A': 1}}; \
         DATABASES['more']['A'] = 2"
    ));
    assert_eq!(at(&settings, "NAME"), Some((text("other"), 16)));
    let more = settings.get_in("DATABASES", &["more", "A"]).unwrap();
    assert_eq!(more.value, PythonValue::Int(2));
    assert_eq!(settings.get("NOWHERE"), None);
}

#[test]
fn names_stand_for_what_they_were_set_to() {
    let settings = parse("A = B = 'x'\nC: str = A\nD: int\nE = [1]\nF = E\nG = {'g': A}");
    assert_eq!(settings.get("B").unwrap().value, text("x"));
    assert_eq!(settings.get("C").unwrap().value, text("x"));
    assert_eq!(settings.get("D"), None);
    assert_eq!(settings.get("F").unwrap().value, PythonValue::Dynamic);
    assert_eq!(settings.get_in("G", &["g"]).unwrap().value, text("x"));
}

#[test]
fn what_code_may_change_is_not_a_literal() {
    for code in [
        "A['default'].update(x)",
        "A += 1",
        "del A",
        "change(A)",
        "if x:\n    A = 2",
        "try:\n  pass\nexcept E: A['a'] = 2",
        "try:\n  pass\nexcept E:\n  A[x] = 2",
        "from secrets import A",
        "from secrets import (B,\n  A)",
        "from secrets import B as A",
        "import A",
        "try:\n  from secrets import A\nexcept E: pass",
        "if x: y(); A = 3",
        "for i in x:\n    y(); A = 3",
        "A, B = 1, 2",
        "A[x] = 1",
    ] {
        let settings = parse(&format!("A = {{'a': 1}}\n{code}\n"));
        assert_eq!(settings.get("A").unwrap().value, PythonValue::Dynamic, "{code}");
        let inside = settings.get_in("A", &["a", "b"]);
        assert_eq!(inside.unwrap().value, PythonValue::Dynamic, "{code}");
    }
    for code in [
        "def f():\n    A = 2\n\n    # comment\n    A = 3",
        "class C:\n    A = 2; A = 3",
        "@decorated\ndef f(A=3): A = 2; A = 4",
        "B = f(A)",
        "if A == 1:\n    pass",
        "# A = 2",
        "'''\nA = 2\n'''",
    ] {
        let settings = parse(&format!("A = 1\n{code}\n"));
        assert_eq!(settings.get("A").unwrap().value, PythonValue::Int(1), "{code}");
    }
}

#[test]
fn what_a_condition_sets_is_unknown_and_its_neighbours_are_not() {
    let settings = parse(
        "A = {'a': {'b': 1, 'c': 2}, 'd': 3}\nif x:\n    A['a']['b'] = 4\nelse:\n    A['e'] = 5\n",
    );
    let value = |path: &[&str]| settings.get_in("A", path).unwrap().value.clone();
    assert_eq!(value(&["a", "b"]), PythonValue::Dynamic);
    assert_eq!(value(&["a", "c"]), PythonValue::Int(2));
    assert_eq!(value(&["d"]), PythonValue::Int(3));
    assert_eq!(value(&["e"]), PythonValue::Dynamic);
}

#[test]
fn names_that_are_imported_are_not_known() {
    let settings =
        parse("from secrets import DATABASES, KEY as SECRET\nimport os, sys as system\n");
    for name in ["DATABASES", "SECRET", "os", "system"] {
        assert_eq!(settings.get(name).unwrap().value, PythonValue::Dynamic, "{name}");
    }
    assert_eq!(settings.get("other"), None);
}

#[test]
fn imports_of_everything_are_told() {
    assert_eq!(parse("exec(open('x').read())").imports_everything(), Some(1));
    assert_eq!(parse("a = 1\nglobals().update(x)").imports_everything(), Some(2));
    assert_eq!(parse("A = 1\nfrom local import *").imports_everything(), Some(2));
    assert_eq!(parse("try:\n  from local import *\nexcept E: pass").imports_everything(), Some(2));
    assert_eq!(parse("from local import a").imports_everything(), None);
}

#[test]
fn nesting_is_bounded() {
    for open in ["[", "(", "{'a': ", "os.getenv("] {
        assert_eq!(value(&open.repeat(100_000)), PythonValue::Dynamic);
    }
    let nested = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    assert!(matches!(value(&nested), PythonValue::List(_)));
    assert_eq!(parse(&format!("{nested}\nA = 1")).get("A").unwrap().value, PythonValue::Int(1));
    let subscripts = "['a']".repeat(1000);
    assert_eq!(
        parse(&format!("A = {{}}\nA{subscripts} = 1")).get("A").unwrap().value,
        PythonValue::Dynamic
    );
    assert_eq!(value(&"A = ".repeat(1000)), PythonValue::Dynamic);
}

#[test]
fn texts_are_not_shown() {
    let settings = parse("SECRET_KEY = 'hunter2'\nB = {'PASSWORD': 'hunter2'}");
    assert!(!format!("{settings:?}").contains("hunter2"));
}

fn literal() -> impl Strategy<Value = (String, PythonValue)> {
    let leaf = prop_oneof![
        Just(("None".to_owned(), PythonValue::None)),
        any::<bool>().prop_map(|value| {
            let text = if value { "True" } else { "False" };
            (text.to_owned(), PythonValue::Bool(value))
        }),
        any::<i32>().prop_map(|value| (value.to_string(), PythonValue::Int(value.into()))),
        "[^\\\\'\r\n]{0,12}".prop_map(|value| (format!("'{value}'"), text(&value))),
        "[^\\\\\"\r]{0,12}".prop_map(|value| (format!("\"\"\"{value}\"\"\""), text(&value))),
    ];
    let located = |value| LocatedValue { value, line: 1 };
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(move |values| {
                let (texts, values): (Vec<_>, Vec<_>) = values.into_iter().unzip();
                let values = values.into_iter().map(located).collect();
                (format!("[{}]", texts.join(", ")), PythonValue::List(values))
            }),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..4).prop_map(move |entries| {
                let texts: Vec<_> =
                    entries.iter().map(|(key, (text, _))| format!("'{key}': {text}")).collect();
                let entries = entries
                    .into_iter()
                    .map(|(key, (_, value))| (key.into(), located(value)))
                    .collect();
                (format!("{{{}}}", texts.join(",")), PythonValue::Dict(entries))
            }),
        ]
    })
}

/// Removes line numbers: strings of several lines shift them.
fn without_lines(value: &mut PythonValue) {
    match value {
        PythonValue::List(values) => values.iter_mut().for_each(|located| {
            located.line = 1;
            without_lines(&mut located.value);
        }),
        PythonValue::Dict(entries) => entries.values_mut().for_each(|located| {
            located.line = 1;
            without_lines(&mut located.value);
        }),
        _ => {}
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in any::<String>()) {
        parse(&text);
    }

    #[test]
    fn text_with_signs_of_the_language_is_read(
        text in r#"([AB=:;,.(){}'"\\\[\]\n #@]|os\.environ|get|if |def |from |\*|0x|or |é){0,80}"#
    ) {
        parse(&text);
    }

    #[test]
    fn literals_are_read_back((source, expected) in literal()) {
        let mut value = value(&source);
        without_lines(&mut value);
        prop_assert_eq!(value, expected);
    }
}
