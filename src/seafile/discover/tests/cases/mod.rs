//! Real configurations, in `tests/cases`. Each is a tree with the files that matter. The tests make
//! what git does not keep: empty folders and objects.

use seawall_test_servers::wait;

use super::*;

mod docker;
mod places;
mod programs;
mod readers;

/// A copy of a configuration, with folders of objects.
struct Case {
    folder: TempDir,
    source: PathBuf,
}

impl Case {
    /// `source` and `data` are folders of the tree. Each named program folder is made.
    fn new(name: &str, source: &str, data: &str, programs: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
        let mut copy = std::process::Command::new("cp");
        wait::success(copy.arg("-a").arg(from.join(".")).arg(folder.path()));
        let root = fs::canonicalize(folder.path()).unwrap();
        let source = fs::canonicalize(root.join(source)).unwrap();
        let case = Self { folder, source };
        for kind in ["commits", "fs", "blocks"] {
            case.make(&format!("{data}/storage/{kind}"));
        }
        for program in programs {
            fs::create_dir_all(case.source.join(program)).unwrap();
        }
        case
    }

    fn root(&self) -> PathBuf {
        fs::canonicalize(self.folder.path()).unwrap()
    }

    fn make(&self, path: &str) {
        fs::create_dir_all(self.root().join(path)).unwrap();
    }

    fn find(&self) -> Result<Installation, DiscoverError> {
        self.find_with(SourceOptions::default(), DatabaseOverrides::default())
    }

    fn find_with(
        &self,
        options: SourceOptions,
        overrides: DatabaseOverrides,
    ) -> Result<Installation, DiscoverError> {
        let environment = Environment::default().with_options(options).with_overrides(overrides);
        discover(&self.source, &environment)
    }

    fn with_env_file(&self, path: &str) -> Result<Installation, DiscoverError> {
        let options =
            SourceOptions { env_files: vec![self.root().join(path)], ..SourceOptions::default() };
        self.find_with(options, DatabaseOverrides::default())
    }
}

/// The servers of all three databases on MySQL, each as `host:port user names password`.
fn servers(installation: &Installation) -> Vec<String> {
    let text = |setting: &Option<Setting<String>>| {
        let value = setting.as_ref().map(|setting| setting.value.clone());
        value.unwrap_or_default()
    };
    let databases = mysql_settings(installation).databases.iter();
    let line = |database: &MysqlDatabase| {
        let place = match &database.unix_socket {
            Some(socket) => socket.value.clone(),
            None => format!("{}:{}", text(&database.host), database.port.value),
        };
        let password = database.password.as_ref();
        let password = password.map(|password| password.value.reveal().to_owned());
        format!(
            "{} {place} {} {}",
            database.name.value,
            text(&database.user),
            password.unwrap_or_default()
        )
    };
    databases.map(line).collect()
}

fn texts(installation: &Installation) -> String {
    let texts = installation.warnings.iter().map(ToString::to_string);
    texts.collect::<Vec<_>>().join("\n")
}

fn host(host: &str) -> DatabaseOverrides {
    DatabaseOverrides { host: Some(host.to_owned()), ..DatabaseOverrides::default() }
}
