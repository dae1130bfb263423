//! Finds out what an installation consists of, from its folders and its own configuration: version,
//! data folder, databases, and where objects lie. This module only reads. It follows links only at
//! the places that administrators put on other disks. It connects to no server and runs no program.
//! `backup`, `verify` and `heal` begin here.

use std::fmt;
use std::path::{Path, PathBuf};

mod aliases;
mod configuration;
mod container;
mod database;
mod django;
mod dotenvs;
mod error;
mod finding;
mod folders;
mod latest;
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

pub use aliases::OtherDatabase;
pub use database::{DatabaseKind, DatabaseRole};
pub use error::DiscoverError;
pub use finding::InstallationFinding;
pub use latest::link_text;
pub use mysql::{MysqlDatabase, MysqlSettings};
pub use origin::{Certainty, Environment, Setting, SettingOrigin};
pub use overrides::{DatabaseOverrides, SourceOptions};
pub use places::FollowedLink;
pub use sqlite::SqliteFile;
pub use storage::{ObjectRoots, ObjectStorage, StorageClass};
pub use warning::DiscoverWarning;

use configuration::SeafileConfiguration;
use folders::InstallationFolders;
use program::{SeafileEdition, SeafileProgram};

/// The layout of an installation, by the files and folders that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallationLayout {
    /// Seafile 1 and 2: configuration beside the data, one folder of objects for all libraries.
    SharedStore,
    /// Seafile 3 and 4: configuration beside the data, objects in `seafile-data/storage`.
    ConfigBeside,
    /// Seafile 5 and later: configuration in `conf`.
    ConfigFolder,
    /// Configuration in `conf`, but no program: docker's volume, or a copy of the data.
    DockerVolume,
    /// Configuration or data elsewhere: in a distribution's package, or as the administrator says.
    Apart,
    /// Data without any configuration.
    Unknown,
}

impl fmt::Display for InstallationLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SharedStore => "Seafile 1 or 2, objects of all libraries in one folder",
            Self::ConfigBeside => "Seafile 3 or 4, configuration beside the data",
            Self::ConfigFolder => "Seafile 5 or later, configuration in conf",
            Self::DockerVolume => "docker's volume or a copy without the program",
            Self::Apart => "configuration or data in a place of its own",
            Self::Unknown => "unknown: there is no configuration",
        })
    }
}

/// A reason to doubt that the right databases were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseDoubt {
    /// They were found by a setting that the program in use does not read.
    DeadConfiguration(SettingOrigin),
    /// Databases of another kind exist too.
    OtherDatabases,
}

/// What an installation consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The top folder, absolute and without links.
    pub top: PathBuf,
    /// How it is laid out.
    pub layout: InstallationLayout,
    /// The version in use, such as `11.0.13`.
    pub program_version: Option<String>,
    /// Whether this is known to be the Professional edition.
    pub pro: bool,
    /// The folder of the program in use, inside the installation.
    pub program_folder: Option<PathBuf>,
    /// The real place of `seafile-data`, absolute.
    pub data_dir: PathBuf,
    /// The configuration folder, if it is not `conf` in the top folder.
    pub conf_dir: Option<PathBuf>,
    /// Files and folders outside that belong to the installation: docker's `.env` and compose
    /// files, or a configuration folder that has no place inside.
    pub outside: Vec<PathBuf>,
    /// The links that are followed, outer ones first. If `seafile-data` lies elsewhere, by a link
    /// or by `ccnet/seafile.ini`, it is among them.
    pub links: Vec<FollowedLink>,
    /// Where the databases are.
    pub database: DatabaseKind,
    /// Where the objects lie.
    pub object_storage: ObjectStorage,
    /// Whether the ids of blocks may be random (`[fileserver] skip_block_hash`).
    pub skip_block_hash: bool,
    /// `[history] keep_days`. It applies to libraries without a limit of their own; a negative
    /// number means for ever.
    pub history_keep_days: Option<Setting<i64>>,
    /// Whether this looks like docker's volume, but no `.env` is in it, near it or given.
    pub docker_env_missing: bool,
    /// Why the databases may not belong to these objects, if there is a reason to doubt it.
    pub doubt: Option<DatabaseDoubt>,
    /// All of the above as text for people, with origins and without secrets.
    pub findings: Vec<InstallationFinding>,
    /// What the administrator should know.
    pub warnings: Vec<DiscoverWarning>,
}

impl Installation {
    /// What a backup of it lacks, as the words of a marker's `incomplete`. A word may come twice.
    pub fn incomplete_words(&self) -> impl Iterator<Item = &'static str> {
        let warnings = self.warnings.iter().filter_map(DiscoverWarning::incomplete_word);
        warnings.chain(self.docker_env_missing.then_some("docker-env"))
    }
}

/// What the steps of discovery need from the steps before.
struct DiscoveredParts<'a> {
    top: &'a Path,
    data_dir: &'a Path,
    folders: &'a InstallationFolders,
    program: &'a SeafileProgram,
    configuration: &'a SeafileConfiguration,
}

impl DiscoveredParts<'_> {
    /// An environment variable. From version 12 on, variables override files. Earlier versions do
    /// not read them.
    fn variable(&self, name: &str) -> Option<Setting<String>> {
        if self.program.is_at_least(12, 0) == Some(false) {
            return None;
        }
        self.configuration.environment.get(name).cloned()
    }

    /// Where a path of the configuration is on this machine. Paths in docker's configuration are
    /// those inside the container.
    fn on_this_machine(&self, named: &Path) -> PathBuf {
        if let Some(root) = &self.folders.root {
            let place = folders::on_disk(root, self.top, named);
            if place.exists() {
                return place;
            }
        }
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

    fn layout(&self) -> InstallationLayout {
        let has_storage = self.data_dir.join("storage").exists();
        let is_beside = !self.configuration.files.is_empty();
        if self.folders.conf_is_apart() || self.folders.data_is_apart() {
            return InstallationLayout::Apart;
        }
        match (self.configuration.has_conf, has_storage) {
            (true, _) if !self.program.is_named => InstallationLayout::DockerVolume,
            (true, _) => InstallationLayout::ConfigFolder,
            (false, true) if is_beside || self.program.is_named => InstallationLayout::ConfigBeside,
            (false, true) => InstallationLayout::Unknown,
            (false, false) => InstallationLayout::SharedStore,
        }
    }

    /// Whether this is docker's volume of a version whose container obeys its environment, whatever
    /// `conf/` says.
    fn goes_by_environment(&self) -> bool {
        self.layout() == InstallationLayout::DockerVolume
            && self.program.is_at_least(12, 0) == Some(true)
    }

    /// The edition, by the name of the program or the image. If neither is known, `IS_PRO_VERSION`
    /// decides, then the folder `pro-data` in docker's volume, which only the Professional edition
    /// has.
    fn edition(&self) -> Option<SeafileEdition> {
        if let Some(known) = &self.program.edition {
            return Some(known.value);
        }
        let variable = self.configuration.environment.get("IS_PRO_VERSION");
        match variable.map(|variable| variable.value.as_str()) {
            Some("true") => Some(SeafileEdition::Professional),
            Some("false") => Some(SeafileEdition::Community),
            _ if self.program.is_named => None,
            _ => self.top.join("pro-data").exists().then_some(SeafileEdition::Professional),
        }
    }
}

/// Discovers the installation in `top`, which may be a link. `environment` holds the variables that
/// Seafile would see. Values of `.env` files in the installation are added to it.
pub fn discover(top: &Path, environment: &Environment) -> Result<Installation, DiscoverError> {
    look(top, environment, DatabaseNeed::Needed)
}

/// Discovers an installation whose databases may be lost or not restored yet. If nothing says where
/// they are, the result has no databases.
pub fn discover_without_databases(
    top: &Path,
    environment: &Environment,
) -> Result<Installation, DiscoverError> {
    look(top, environment, DatabaseNeed::MayBeLost)
}

/// Whether discovery fails if the databases are not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DatabaseNeed {
    Needed,
    MayBeLost,
}

fn look(
    top: &Path,
    environment: &Environment,
    need: DatabaseNeed,
) -> Result<Installation, DiscoverError> {
    let mut warnings = Vec::new();
    let top = places::top(top)?;
    let mut program = SeafileProgram::find(&top, &mut warnings)?;
    let folders = InstallationFolders::find(&top, &program, environment.options(), &mut warnings)?;
    program.look_for_stamp(&top, &folders.data_dir)?;
    let links = places::followed_links(&folders, &mut warnings)?;
    let configuration =
        SeafileConfiguration::load(&folders, &program, environment.clone(), &mut warnings)?;
    if let Some(image) = &configuration.container.image {
        program.look_at_image(image);
    }
    let seen = DiscoveredParts {
        top: &top,
        data_dir: &folders.data_dir,
        folders: &folders,
        program: &program,
        configuration: &configuration,
    };
    describe(&seen, links, warnings, need)
}

/// Puts the results of all steps together.
fn describe(
    seen: &DiscoveredParts,
    links: Vec<FollowedLink>,
    mut warnings: Vec<DiscoverWarning>,
    need: DatabaseNeed,
) -> Result<Installation, DiscoverError> {
    let object_storage = storage::object_storage(seen, &mut warnings)?;
    let (database, databases_from) = match database::databases(seen, &mut warnings) {
        Err(_) if need == DatabaseNeed::MayBeLost => {
            (DatabaseKind::Sqlite(Vec::new()), SettingOrigin::Default)
        }
        found => found?,
    };
    aliases::warn(seen, &database, &mut warnings);
    let layout = seen.layout();
    let also = &seen.configuration.environment.options().also;
    let docker_env_missing = layout == InstallationLayout::DockerVolume
        && !seen.configuration.has_dotenv
        && !also.iter().any(|path| holds_docker_files(path));
    if docker_env_missing {
        let seen = seen.configuration.container.seen.clone();
        warnings.push(DiscoverWarning::DockerEnvMissing { seen });
    }
    let doubt = database::doubt(seen, &database, &mut warnings);
    let seafile = &seen.configuration.seafile;
    let skip_block_hash = seafile.is_true("fileserver", "skip_block_hash");
    let keep_days = seafile.get("history", "keep_days");
    let version = seen.program.version.as_ref();
    let mut installation = Installation {
        top: seen.top.to_owned(),
        layout,
        program_version: version.map(|version| version.value.clone()),
        pro: seen.edition() == Some(SeafileEdition::Professional),
        program_folder: seen.program.folder.clone(),
        data_dir: seen.data_dir.to_owned(),
        conf_dir: (seen.folders.conf_is_apart()).then(|| seen.folders.conf_dir.clone()),
        outside: outside(seen),
        links,
        database,
        object_storage,
        skip_block_hash: skip_block_hash.is_some_and(|yes| yes.value),
        history_keep_days: keep_days
            .and_then(|days| Some(Setting::new(days.value.parse().ok()?, days.from))),
        docker_env_missing,
        doubt,
        findings: Vec::new(),
        warnings,
    };
    installation.findings = finding::findings(seen, &installation, &databases_from);
    Ok(installation)
}

/// The files and folders outside of the installation that belong to it.
fn outside(seen: &DiscoveredParts) -> Vec<PathBuf> {
    let container = &seen.configuration.container;
    let likely = container.likely.iter().map(|file| file.path.clone());
    let mut outside: Vec<PathBuf> = container.files.iter().cloned().chain(likely).collect();
    // A configuration folder elsewhere is stored as `conf`, unless the top folder has a `conf`
    // already.
    if seen.folders.conf_is_apart() && seen.top.join(places::CONF).is_dir() {
        outside.push(seen.folders.conf_dir.clone());
    }
    let is_inside = |path: &PathBuf| {
        let real = std::fs::canonicalize(path);
        real.is_ok_and(|real| {
            real.starts_with(seen.top) || real.starts_with(&seen.folders.conf_dir)
        }) && *path != seen.folders.conf_dir
    };
    outside.retain(|path| !is_inside(path));
    outside.sort();
    outside.dedup();
    outside
}

/// Whether a path of `--also` is docker's `.env`, a compose file, or a folder with one of them.
fn holds_docker_files(path: &Path) -> bool {
    let is_one = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        [".env", ".yml", ".yaml"].iter().any(|end| name.ends_with(end)) && path.is_file()
    };
    is_one(path) || folders::entries(path).iter().any(|path| is_one(path))
}
