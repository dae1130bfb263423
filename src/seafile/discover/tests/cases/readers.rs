//! One line with several readers, and settings that are known only when Seafile runs.

use super::*;

#[test]
fn c12_sections_count_as_they_are_spelled() {
    let case = Case::new("12-merged-ini", "conf/..", "seafile-data", &["seafile-server-11.0.13"]);
    let installation = case.find().unwrap();
    let expected = ["seafile_db", "ccnet_db", "seahub_db"]
        .map(|name| format!("{name} db:3306 seafile fake pw 12"));
    assert_eq!(servers(&installation), expected);
    let text = texts(&installation);
    assert!(text.contains("conf/seafile.conf:11: this is another name"), "{text}");
    assert!(text.contains("seafile.db has 1 library"), "{text}");
}

/// No program reads a section with another spelling, so such a section decides nothing.
#[test]
fn c12_a_section_under_another_name_decides_nothing() {
    for section in ["[ database ]", "[Database]", "[DATABASE]"] {
        let conf = format!("{section}\ntype = mysql\nhost = db\n");
        let fake = Fake::with_program("seafile-server-11.0.13", &conf);
        let text = complaint(fake.discover());
        assert!(text.contains("SQLite database is missing"), "{section}: {text}");
    }
}

#[test]
fn c13_each_program_has_rules_of_its_own() {
    let case =
        Case::new("13-settings-imported", "conf/..", "seafile-data", &["seafile-server-11.0.13"]);
    let installation = case.find().unwrap();
    let expected = ["seafile-db", "ccnet-db", "seahub-db"]
        .map(|name| format!("{name} 127.0.0.1:3306 seafile fake%pw13"));
    assert_eq!(servers(&installation), expected);
    let text = texts(&installation);
    assert_eq!(
        text,
        "conf/seahub_settings.py:1: import * is not followed: what it sets is not known"
    );

    // Without the file of seafevents the name is not known.
    fs::remove_file(case.source.join("conf/seafevents.conf")).unwrap();
    let text = complaint(case.find());
    assert!(
        text.contains("conf/seahub_settings.py:1") && text.contains("--database-name seahub="),
        "{text}"
    );
    fs::write(
        case.source.join("conf/seahub_settings.py"),
        "from seahub_secrets import DATABASES\n",
    )
    .unwrap();
    assert!(complaint(case.find()).contains("--database-name seahub="));
}

#[test]
fn c13_two_readers_of_one_line_are_both_tried() {
    let conf = "[database]\ntype = mysql\nhost = db\npassword = \"a ; b\"\n";
    let events = "[DATABASE]\nhost = db\nusername = seafile\npassword = a%%b ; c\nname = hub\n";
    let fake = Fake::with_program("seafile-server-11.0.13", conf)
        .file("conf/ccnet.conf", "[Database]\nENGINE = mysql\nHOST = db\nPASSWD = x\n")
        .file("conf/seafevents.conf", events);
    let installation = fake.discover().unwrap();
    let [seafile, _, seahub] = &mysql_settings(&installation).databases[..] else { panic!() };
    let readings = |database: &MysqlDatabase| -> Vec<String> {
        let password = database.password.as_ref().unwrap();
        let others = password.others.iter().map(|other| &other.value);
        let all = std::iter::once(&password.value).chain(others);
        all.map(|password| password.reveal().to_owned()).collect()
    };
    assert_eq!(readings(seafile), ["\"a ; b\"", "a ; b"]);
    assert_eq!(readings(seahub), ["a%b ; c", "a%b", "a%%b ; c"]);
}

#[test]
fn c14_a_name_that_is_computed_is_not_guessed() {
    let case =
        Case::new("14-settings-program", "conf/..", "seafile-data", &["seafile-server-10.0.1"]);
    let text = complaint(case.find());
    assert!(
        text.contains("conf/seahub_settings.py:") && text.contains("--database-name seahub="),
        "{text}"
    );
    let named = DatabaseOverrides {
        names: vec![(DatabaseRole::Seahub, "prod-seahub".to_owned())],
        ..DatabaseOverrides::default()
    };
    let installation = case.find_with(SourceOptions::default(), named.clone()).unwrap();
    let expected = ["prod-seafile", "prod-ccnet", "prod-seahub"]
        .map(|name| format!("{name} sql.internal:3310 svc_seafile fakepw14"));
    assert_eq!(servers(&installation), expected);
    for settings in [
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql', 'NAME': os.environ['X']}}",
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql', 'NAME': f'{x}-db', 'HOST': 'h'}}",
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql', 'NAME': name(), 'HOST': 'h'}}",
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql', 'NAME': 'x', 'HOST': host()}}",
        "DATABASES = {'default': {'ENGINE': engine(), 'NAME': 'x', 'HOST': 'h'}}",
        "DATABASES = databases()",
        "exec(open('/etc/seahub').read())",
        "if x:\n    DATABASES = {'default': {'NAME': 'x'}}",
    ] {
        fs::write(case.source.join("conf/seahub_settings.py"), settings).unwrap();
        let text = complaint(case.find());
        assert!(text.contains("--database-name seahub="), "{settings}: {text}");
        assert!(case.find_with(SourceOptions::default(), named.clone()).is_ok(), "{settings}");
    }
}
