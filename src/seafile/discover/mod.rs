//! Finds out what an installation consists of, from its folders and its own configuration: version,
//! data folder, databases, where objects lie. It reads only, follows links only at the places that
//! administrators put on other disks, connects to nothing and runs nothing. `backup`, `verify` and
//! `heal` begin here.

use std::fmt;
use std::path::{Path, PathBuf};

mod configuration;
mod database;
mod django;
mod error;
mod finding;
mod mysql;
mod origin;
mod overrides;
mod places;
mod program;
mod sqlite;
mod storage;
mod warning;

#[cfg(test)]
mod tests;

pub use database::{DatabaseKind, Role};
pub use error::DiscoverError;
pub use finding::Finding;
pub use mysql::{MysqlDatabase, MysqlSettings};
pub use origin::{Environment, Origin, Setting};
pub use overrides::DatabaseOverrides;
pub use places::FollowedLink;
pub use sqlite::SqliteFile;
pub use storage::{ObjectRoots, ObjectStorage, StorageClass};
pub use warning::Warning;

use configuration::Configuration;
use program::Program;

/// How an installation is laid out, by what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Seafile 1 and 2: configuration beside the data, one folder of objects for all libraries.
    SharedStore,
    /// Seafile 3 and 4: configuration beside the data, objects in `seafile-data/storage`.
    ConfigBeside,
    /// Seafile 5 and later: configuration in `conf`.
    ConfigFolder,
    /// As [`Self::ConfigFolder`], without the program: docker's volume, or a copy of the data.
    DockerVolume,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SharedStore => "Seafile 1 or 2, objects of all libraries in one folder",
            Self::ConfigBeside => "Seafile 3 or 4, configuration beside the data",
            Self::ConfigFolder => "Seafile 5 or later, configuration in conf",
            Self::DockerVolume => "docker's volume or a copy without the program",
        })
    }
}

/// What an installation consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The top folder, absolute and without links.
    pub top: PathBuf,
    /// How it is laid out.
    pub layout: Layout,
    /// The version in use, such as `11.0.13`.
    pub program_version: Option<String>,
    /// Whether it is the Professional edition, as far as can be seen.
    pub pro: bool,
    /// The folder of the program in use, inside the installation.
    pub program_folder: Option<PathBuf>,
    /// The real place of `seafile-data`, absolute.
    pub data_dir: PathBuf,
    /// The links that are followed, outer ones first. `seafile-data` is among them whenever it is
    /// somewhere else, by a link or by `ccnet/seafile.ini`.
    pub links: Vec<FollowedLink>,
    /// Where the databases are.
    pub database: DatabaseKind,
    /// Where the objects lie.
    pub object_storage: ObjectStorage,
    /// Whether ids of blocks may be random (`[fileserver] skip_block_hash`).
    pub skip_block_hash: bool,
    /// `[history] keep_days`: for libraries without a limit of their own; negative means for ever.
    pub history_keep_days: Option<Setting<i64>>,
    /// Whether this looks like docker's volume and has no `.env`.
    pub docker_env_missing: bool,
    /// Everything above for people, with its origin; no secrets.
    pub findings: Vec<Finding>,
    /// What the administrator should know.
    pub warnings: Vec<Warning>,
}

/// What the parts of discovery judge by.
struct Seen<'a> {
    top: &'a Path,
    data_dir: &'a Path,
    program: &'a Program,
    configuration: &'a Configuration,
}

impl Seen<'_> {
    /// A variable of the environment, which overrides files from 12 on.
    fn variable(&self, name: &str) -> Option<Setting<String>> {
        if self.program.is_at_least(12, 0) == Some(false) {
            return None;
        }
        self.configuration.environment.get(name).cloned()
    }

    /// Where a path of the configuration is: docker's paths are those of the container.
    fn on_this_machine(&self, named: &Path) -> PathBuf {
        if self.program.folder.is_none() {
            for volume in ["/shared/seafile", "/opt/seafile", "/shared"] {
                if let Ok(rest) = named.strip_prefix(volume) {
                    let place = self.top.join(rest);
                    if place.exists() {
                        return place;
                    }
                }
            }
        }
        named.to_owned()
    }

    fn layout(&self) -> Layout {
        let has_storage = self.data_dir.join("storage").exists();
        match (self.configuration.has_conf, has_storage) {
            (true, _) if self.program.folder.is_none() && self.is_without_program() => {
                Layout::DockerVolume
            }
            (true, _) => Layout::ConfigFolder,
            (false, true) => Layout::ConfigBeside,
            (false, false) => Layout::SharedStore,
        }
    }

    /// No folder of a program told the version: docker's stamp at most.
    fn is_without_program(&self) -> bool {
        let version = self.program.version.as_ref();
        version.is_none_or(|version| version.from == Program::stamp_origin())
    }

    /// The Professional edition by its folder's name; without one by what only it has.
    fn is_pro(&self, layout: Layout) -> bool {
        let variable = self.configuration.environment.get("IS_PRO_VERSION");
        let has_sign = variable.is_some_and(|variable| variable.value == "true")
            || self.top.join("pro-data").exists();
        self.program.is_pro || (layout == Layout::DockerVolume && has_sign)
    }
}

/// Looks at the installation in `top`, which may be a link. `environment` is what Seafile would
/// see: values of `.env` files in the installation are added to it.
pub fn discover(top: &Path, environment: &Environment) -> Result<Installation, DiscoverError> {
    look(top, environment, Databases::Needed)
}

/// The same for an installation whose databases are lost, or were not restored: if nothing tells
/// where they are, there are none.
pub fn discover_without_databases(
    top: &Path,
    environment: &Environment,
) -> Result<Installation, DiscoverError> {
    look(top, environment, Databases::MayBeLost)
}

/// Whether there is no installation without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Databases {
    Needed,
    MayBeLost,
}

fn look(
    top: &Path,
    environment: &Environment,
    need: Databases,
) -> Result<Installation, DiscoverError> {
    let mut warnings = Vec::new();
    let top = places::top(top)?;
    let mut program = Program::find(&top)?;
    let data_dir = places::data_dir(&top, &program, &mut warnings)?;
    places::expect_traces(&top, &data_dir)?;
    program.look_for_stamp(&data_dir)?;
    let links = places::followed_links(&top, &data_dir, &mut warnings)?;
    let configuration = Configuration::load(&top, &data_dir, environment.clone(), &mut warnings)?;
    let seen = Seen {
        top: &top,
        data_dir: &data_dir,
        program: &program,
        configuration: &configuration,
    };
    describe(&seen, links, warnings, need)
}

/// Puts together what the parts of discovery say.
fn describe(
    seen: &Seen,
    links: Vec<FollowedLink>,
    mut warnings: Vec<Warning>,
    need: Databases,
) -> Result<Installation, DiscoverError> {
    let object_storage = storage::object_storage(seen)?;
    let (database, databases_from) = match database::databases(seen, &mut warnings) {
        Err(_) if need == Databases::MayBeLost => {
            (DatabaseKind::Sqlite(Vec::new()), Origin::Default)
        }
        found => found?,
    };
    let layout = seen.layout();
    let docker_env_missing = layout == Layout::DockerVolume && !seen.configuration.has_dotenv;
    if docker_env_missing {
        warnings.push(Warning::DockerEnvMissing);
    }
    let seafile = &seen.configuration.seafile;
    let skip_block_hash = seafile.is_true("fileserver", "skip_block_hash");
    let keep_days = seafile.get("history", "keep_days");
    let version = seen.program.version.as_ref();
    let mut installation = Installation {
        top: seen.top.to_owned(),
        layout,
        program_version: version.map(|version| version.value.clone()),
        pro: seen.is_pro(layout),
        program_folder: seen.program.folder.clone(),
        data_dir: seen.data_dir.to_owned(),
        links,
        database,
        object_storage,
        skip_block_hash: skip_block_hash.is_some_and(|yes| yes.value),
        history_keep_days: keep_days
            .and_then(|days| Some(Setting::new(days.value.parse().ok()?, days.from))),
        docker_env_missing,
        findings: Vec::new(),
        warnings,
    };
    installation.findings = finding::findings(seen, &installation, &databases_from);
    Ok(installation)
}
