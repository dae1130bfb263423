use super::*;

const SEAFILE_CONF: &str = "[database]\ntype = mysql\nhost = 127.0.0.1\nport = 3307\nuser = seafile\n\
    password = hunter2\\\\\ndb_name = seafile-db\nconnection_charset = utf8\nuse_ssl = true\n\
    ca_path = /etc/ca.pem\n";
const CCNET_CONF: &str = "[Database]\nENGINE = mysql\nHOST = other\nUSER = ccnet\nPASSWD = hunter3\n\
    DB = ccnet-db\nUNIX_SOCKET = /run/mysqld.sock\n";
const SEAHUB_SETTINGS: &str = "DATABASES = {\n  'default': {\n    'ENGINE': 'django.db.backends.mysql',\n\
    'NAME': 'seahub-db',\n    'USER': 'web',\n    'PASSWORD': 'hunter4',\n    'HOST': 'third',\n\
    'PORT': '3308',\n    'OPTIONS': {'charset': 'utf8mb4'}\n  }\n}\n";

fn seafile_11() -> Fake {
    Fake::with_program("seafile-server-11.0.13", SEAFILE_CONF)
        .file("conf/ccnet.conf", CCNET_CONF)
        .file("conf/seahub_settings.py", SEAHUB_SETTINGS)
}

fn password(database: &MysqlDatabase) -> &str {
    database.password.as_ref().unwrap().value.reveal()
}

fn value(setting: Option<&Setting<String>>) -> &str {
    &setting.unwrap().value
}

#[test]
fn each_program_has_its_own_settings_up_to_11() {
    // Versions before 12 do not read variables.
    let variables = [("SEAFILE_MYSQL_DB_HOST", "ignored")];
    let installation = seafile_11().discover_with(&variables).unwrap();
    let settings = mysql_settings(&installation);
    let [seafile, ccnet, seahub] = &settings.databases[..] else { panic!() };
    assert!(settings.sqlite.is_empty());

    assert_eq!(seafile.role, DatabaseRole::Seafile);
    assert_eq!(seafile.name.value, "seafile-db");
    assert_eq!(seafile.name.from.to_string(), "conf/seafile.conf:7");
    assert_eq!(value(seafile.host.as_ref()), "127.0.0.1");
    assert_eq!(seafile.port.value, 3307);
    assert_eq!(password(seafile), "hunter2\\");
    assert_eq!(value(seafile.charset.as_ref()), "utf8");
    assert!(seafile.use_ssl && !seafile.skip_verify);
    assert_eq!(value(seafile.ca_path.as_ref()), "/etc/ca.pem");

    assert_eq!((&ccnet.role, &*ccnet.name.value), (&DatabaseRole::Ccnet, "ccnet-db"));
    assert_eq!(value(ccnet.unix_socket.as_ref()), "/run/mysqld.sock");
    assert_eq!(value(ccnet.user.as_ref()), "ccnet");
    assert_eq!(password(ccnet), "hunter3");
    assert_eq!(ccnet.port, Setting::new(3306, SettingOrigin::Default));

    assert_eq!((&seahub.role, &*seahub.name.value), (&DatabaseRole::Seahub, "seahub-db"));
    assert_eq!(value(seahub.host.as_ref()), "third");
    assert_eq!(seahub.host.as_ref().unwrap().from.to_string(), "conf/seahub_settings.py:7");
    assert_eq!(seahub.port.value, 3308);
    assert_eq!(password(seahub), "hunter4");
    assert_eq!(value(seahub.charset.as_ref()), "utf8mb4");
    assert_eq!(installation.warnings, []);
}

#[test]
fn secrets_are_nowhere_to_be_seen() {
    let installation = seafile_11().discover().unwrap();
    let shown = format!("{installation:?}{:#?}", lines(&installation));
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(shown.contains("password = (secret) (conf/seafile.conf:6)"), "{shown}");
}

#[test]
fn variables_override_files_from_12_on() {
    let env = "SEAFILE_MYSQL_DB_HOST=db\nSEAFILE_MYSQL_DB_PORT=3310\nSEAFILE_MYSQL_DB_USER=env\n\
               SEAFILE_MYSQL_DB_PASSWORD='pass'\nSEAFILE_MYSQL_DB_SEAHUB_DB_NAME=web\n\
               SEAFILE_MYSQL_DB_CCNET_DB_NAME=\n";
    let fake = Fake::with_program("seafile-pro-server-12.0.14", SEAFILE_CONF)
        .file("conf/ccnet.conf", CCNET_CONF)
        .file("conf/seahub_settings.py", SEAHUB_SETTINGS)
        .file("conf/.env", env);
    let installation = fake.discover_with(&[("SEAFILE_MYSQL_DB_USER", "handed in")]).unwrap();
    assert!(installation.pro);
    let settings = mysql_settings(&installation);
    let names: Vec<_> = settings.databases.iter().map(|database| &*database.name.value).collect();
    assert_eq!(names, ["seafile-db", "ccnet_db", "web"]);
    for database in &settings.databases {
        let host = database.host.as_ref().unwrap();
        assert_eq!((&*host.value, host.from.to_string()), ("db", "conf/.env:1".to_owned()));
        assert_eq!(database.port.value, 3310);
        assert_eq!(value(database.user.as_ref()), "handed in");
        assert_eq!(password(database), "pass");
        assert_eq!(database.unix_socket, None);
    }
}

#[test]
fn a_socket_counts_up_to_11_and_without_a_host_of_the_environment() {
    let conf = "[database]\ntype = mysql\nunix_socket = /run/mysqld.sock\n";
    let unknown = Fake::new().folder("seafile-data/storage").file("conf/seafile.conf", conf);
    let installation = unknown.discover().unwrap();
    let seafile = &mysql_settings(&installation).databases[0];
    assert_eq!(value(seafile.unix_socket.as_ref()), "/run/mysqld.sock");
    let lines = lines(&installation);
    assert!(
        lines.contains(
            &"database seafile: socket = /run/mysqld.sock (conf/seafile.conf:3)".to_owned()
        ),
        "{lines:#?}"
    );

    let variables = [("SEAFILE_MYSQL_DB_HOST", "db")];
    let installation = unknown.discover_with(&variables).unwrap();
    let seafile = &mysql_settings(&installation).databases[0];
    assert_eq!(seafile.unix_socket, None);
    assert_eq!(value(seafile.host.as_ref()), "db");

    let new = Fake::with_program("seafile-server-12.0.14", conf);
    assert!(complaint(new.discover()).contains("host of the MySQL server is missing"));
}

#[test]
fn version_13_is_mysql_and_may_have_only_variables() {
    let fake = Fake::new()
        .folder("seafile-data/storage")
        .file("seafile-data/current_version", "13.0.25")
        .file("conf/seafile.conf", "[fileserver]\nport = 8082\n");
    let text = complaint(fake.discover());
    assert!(text.contains("host of the MySQL server is missing"), "{text}");
    assert!(text.contains(".env"), "{text}");

    let variables = [
        ("SEAFILE_MYSQL_DB_HOST", "db"),
        ("SEAFILE_MYSQL_DB_USER", "seafile"),
        ("SEAFILE_MYSQL_DB_PASSWORD", "pass"),
    ];
    let installation = fake.discover_with(&variables).unwrap();
    let settings = mysql_settings(&installation);
    let names: Vec<_> = settings.databases.iter().map(|database| &*database.name.value).collect();
    assert_eq!(names, ["seafile_db", "ccnet_db", "seahub_db"]);
    let host = settings.databases[2].host.as_ref().unwrap();
    assert_eq!(host.from.to_string(), "environment variable SEAFILE_MYSQL_DB_HOST");
}

#[test]
fn up_to_12_no_type_means_sqlite() {
    let fake = Fake::with_program("seafile-server-12.0.14", "[database]\nhost = db\n")
        .sqlite("seafile-data/seafile.db", 1);
    let installation = fake.discover().unwrap();
    assert_eq!(sqlite_files(&installation)[0].0, DatabaseRole::Seafile);
    let warned = installation.warnings.iter().any(|warning| {
        matches!(warning, DiscoverWarning::MysqlBesideSqlite { mysql, sqlite }
            if mysql.to_string() == "conf/seafile.conf:2" && *sqlite == SettingOrigin::Default)
    });
    assert!(warned, "{:?}", installation.warnings);
}

#[test]
fn without_a_version_what_is_there_decides() {
    let fake = Fake::new().folder("seafile-data/storage").file("conf/seafile.conf", "");
    assert!(complaint(fake.discover()).contains("SQLite database is missing"));
    let fake = fake.sqlite("seafile-data/seafile.db", 3);
    assert!(matches!(fake.discover().unwrap().database, DatabaseKind::Sqlite(_)));
    let installation = fake.discover_with(&[("SEAFILE_MYSQL_DB_HOST", "db")]).unwrap();
    assert!(matches!(installation.database, DatabaseKind::Mysql(_)));
    let warnings = &installation.warnings;
    assert!(matches!(&warnings[0], DiscoverWarning::SqliteBesideMysql { libraries: Some(3), .. }));
}

#[test]
fn a_leftover_sqlite_file_with_libraries_is_told() {
    let installation = seafile_11().sqlite("seafile-data/seafile.db", 0).discover().unwrap();
    assert_eq!(installation.warnings, []);

    let fake = seafile_11().sqlite("seafile-data/seafile.db", 1);
    let warnings = fake.discover().unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    let text = warnings[0].to_string();
    assert!(text.starts_with("seafile-data/seafile.db has 1 library"), "{text}");
    assert!(text.contains("conf/seafile.conf:3 names MySQL"), "{text}");

    let fake = fake.file("seafile-data/seafile.db-journal", "");
    let warnings = fake.discover().unwrap().warnings;
    assert!(matches!(&warnings[..], [DiscoverWarning::SqliteBesideMysql { libraries: None, .. }]));
}

#[test]
fn ccnet_and_seahub_may_be_sqlite_up_to_11() {
    let fake = Fake::with_program("seafile-server-11.0.13", SEAFILE_CONF)
        .sqlite("ccnet/PeerMgr/usermgr.db", 0)
        .sqlite("ccnet/GroupMgr/groupmgr.db", 0)
        .sqlite("seahub.db", 0);
    let installation = fake.discover().unwrap();
    let settings = mysql_settings(&installation);
    assert_eq!(settings.databases.len(), 1);
    let roles: Vec<_> = settings.sqlite.iter().map(|file| file.role.clone()).collect();
    assert_eq!(roles, [DatabaseRole::Usermgr, DatabaseRole::Groupmgr, DatabaseRole::Seahub]);
    assert_eq!(installation.warnings, []);
}

#[test]
fn seafevents_knows_the_database_of_seahub_too() {
    let events =
        "[DATABASE]\ntype = mysql\nhost = events\nusername = e\npassword = a%%b\\n\nname = hub\n";
    let fake = Fake::with_program("seafile-pro-server-9.0.1", SEAFILE_CONF)
        .file("conf/ccnet.conf", CCNET_CONF)
        .file("conf/seahub_settings.py", "from local_settings import *\n")
        .file("conf/seafevents.conf", events);
    let installation = fake.discover().unwrap();
    let seahub = &mysql_settings(&installation).databases[2];
    assert_eq!(seahub.name.value, "hub");
    assert_eq!(value(seahub.host.as_ref()), "events");
    assert_eq!(seahub.port.value, 3306);
    assert_eq!(password(seahub), "a%b\\n");
    let texts: Vec<_> = installation.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["conf/seahub_settings.py:1: import * is not followed: what it sets is not known"]
    );
}

#[test]
fn accounts_that_are_no_literals_are_told_and_replaced() {
    let settings = "import os\nDATABASES = {'default': {'ENGINE': 'django.db.backends.mysql',\n\
        'NAME': 'seahub', 'PASSWORD': secret(), 'HOST': '127.0.0.1',\n\
        'USER': os.environ['HUB_USER']}}\n";
    let fake = Fake::with_program("seafile-server-11.0.13", SEAFILE_CONF)
        .file("conf/ccnet.conf", CCNET_CONF)
        .file("conf/seahub_settings.py", settings);
    let installation = fake.discover_with(&[("HUB_USER", "known")]).unwrap();
    let seahub = &mysql_settings(&installation).databases[2];
    assert_eq!(value(seahub.user.as_ref()), "known");
    assert_eq!(password(seahub), "hunter2\\");
    let texts: Vec<_> = installation.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].starts_with("conf/seahub_settings.py:3: DATABASES['default']['PASSWORD']"));
}

#[test]
fn values_that_nothing_sets_are_told() {
    let fake = Fake::with_program("seafile-server-12.0.14", SEAFILE_CONF)
        .file("conf/.env", "A=$B\nC=x\nSEAFILE_MYSQL_DB_PASSWORD=${SECRET}$C\n");
    let warnings = fake.discover().unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    let text = warnings[0].to_string();
    assert!(
        text.starts_with("conf/.env:3: SEAFILE_MYSQL_DB_PASSWORD holds SECRET, which nothing sets"),
        "{text}"
    );
}

#[test]
fn other_databases_are_refused_by_name() {
    let fake = Fake::with_program("seafile-server-6.3.4", "[database]\ntype = pgsql\n");
    let text = complaint(fake.discover());
    assert!(text.contains("cannot be backed up: \"pgsql\" (conf/seafile.conf:2)"), "{text}");

    let settings = "DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql'}}";
    let fake = seafile_11().file("conf/seahub_settings.py", settings);
    assert!(complaint(fake.discover()).contains("the seahub database cannot be backed up"));

    let fake = seafile_11()
        .file("conf/seafile.conf", "[database]\ntype = sqlite\n")
        .sqlite("seafile-data/seafile.db", 1);
    let text = complaint(fake.discover());
    assert!(text.contains("\"mysql\" (conf/ccnet.conf:2)"), "{text}");
}
