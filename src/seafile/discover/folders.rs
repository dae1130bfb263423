//! Finds the three folders of an installation: its top folder, its data folder and its
//! configuration folder. In most installations the two others are in the top folder. Packages of
//! distributions keep the configuration in `/etc`. NixOS and old images give the data folder
//! another name. If the evidence for such a folder is clear, it is used. Else an error names the
//! folder and the option that sets it.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::DiscoverError;
use super::latest;
use super::origin::{Setting, SettingOrigin};
use super::overrides::SourceOptions;
use super::places::{self, CONF, DATA, DataFolder, is_folder, real_path};
use super::program::SeafileProgram;
use super::warning::DiscoverWarning;
use crate::object::Kind;
use crate::seafile::config;
use crate::seafile::config::dotenv::{Dotenv, DotenvReader};

/// Files that Seafile keeps in its configuration folder.
const CONFIGURATION: [&str; 4] = ["seafile.conf", "seahub_settings.py", "ccnet.conf", ".env"];
/// Configuration files of Seafile 1 to 4. They lie beside the data.
const BESIDE: [&str; 4] =
    ["seafile-data/seafile.conf", "ccnet/ccnet.conf", "seahub_settings.py", ".env"];
/// The most entries of a folder that are read.
const MOST_ENTRIES: usize = 1000;

/// Where an installation's parts are.
#[derive(Debug, Clone)]
pub(super) struct InstallationFolders {
    /// The top folder, absolute and without links.
    pub top: PathBuf,
    /// The data folder, absolute and without links.
    pub data_dir: PathBuf,
    /// The origin of the data folder.
    pub data_from: SettingOrigin,
    /// The configuration folder. It need not exist if it is `conf` in the top folder.
    pub conf_dir: PathBuf,
    /// The origin of the configuration folder.
    pub conf_from: SettingOrigin,
    /// The folder on this machine that the configuration calls `/`. Set if the configuration folder
    /// was found outside of the top folder. In a snapshot mounted elsewhere it is not this
    /// machine's own `/`.
    pub root: Option<PathBuf>,
}

impl InstallationFolders {
    /// Finds the three folders.
    pub(super) fn find(
        top: &Path,
        program: &SeafileProgram,
        options: &SourceOptions,
        warnings: &mut Vec<DiscoverWarning>,
    ) -> Result<Self, DiscoverError> {
        let own_data = match &options.data_dir {
            Some(given) => Some(given_folder(given, "--data-dir")?),
            None => places::data_dir(top, program, warnings)?,
        };
        let conf = ConfFolder::find(top, own_data.as_ref(), options)?;
        let is_given = options.data_dir.is_some();
        let data = match (own_data, conf.names_data(top)?) {
            (Some(own), Some(named)) if !is_given && named.value != own.value => {
                warnings.push(DiscoverWarning::DataFolderElsewhere {
                    named: named.value.clone(),
                    from: named.from.clone(),
                    used: named.value.clone(),
                });
                named
            }
            (Some(own), _) => own,
            (None, Some(named)) => named,
            (None, None) => other_data_folder(top, &conf)?,
        };
        let folders = Self {
            top: top.to_owned(),
            data_dir: data.value,
            data_from: data.from,
            conf_dir: conf.folder.value,
            conf_from: conf.folder.from,
            root: conf.root,
        };
        places::expect_traces(&folders)?;
        Ok(folders)
    }

    /// Whether the configuration folder is not the `conf` of the top folder.
    pub(super) fn conf_is_apart(&self) -> bool {
        self.conf_dir != self.top.join(CONF)
    }

    /// Whether the data folder has another name, or lies elsewhere and no link leads to it.
    pub(super) fn data_is_apart(&self) -> bool {
        !self.top.join(DATA).exists()
    }

    /// The real place of a path inside the installation.
    pub(super) fn inside(&self, path: &str) -> PathBuf {
        let path = Path::new(path);
        if let Ok(rest) = path.strip_prefix(DATA) {
            self.data_dir.join(rest)
        } else if let Ok(rest) = path.strip_prefix(CONF) {
            self.conf_dir.join(rest)
        } else {
            self.top.join(path)
        }
    }

    /// How messages name a file inside the installation: by a relative path. A file of a
    /// configuration folder elsewhere has its full path.
    pub(super) fn shown(&self, path: &str) -> PathBuf {
        if self.conf_is_apart() && Path::new(path).starts_with(CONF) {
            return self.inside(path);
        }
        PathBuf::from(path)
    }
}

/// A folder that the administrator names.
fn given_folder(given: &Path, option: &str) -> Result<Setting<PathBuf>, DiscoverError> {
    let from = SettingOrigin::Option(option.to_owned());
    if !is_folder(given)? {
        return Err(DiscoverError::Missing {
            what: format!("the folder of {option}"),
            path: given.to_owned(),
            from,
            advice: "is its disk mounted, and the name right?".to_owned(),
        });
    }
    Ok(Setting::new(real_path(given)?, from))
}

/// The configuration folder.
struct ConfFolder {
    folder: Setting<PathBuf>,
    root: Option<PathBuf>,
    /// Whether there is any configuration, in this folder or beside the data.
    is_there: bool,
    /// A folder that may be the configuration folder, for a hint.
    seen: Option<PathBuf>,
}

impl ConfFolder {
    fn find(
        top: &Path,
        data: Option<&DataFolder>,
        options: &SourceOptions,
    ) -> Result<Self, DiscoverError> {
        if let Some(given) = &options.conf_dir {
            let folder = given_folder(given, "--conf-dir")?;
            if !has_configuration(&folder.value) {
                let why = format!("has none of {}", CONFIGURATION.join(", "));
                return Err(DiscoverError::invalid(&folder.value, why));
            }
            let root = etc_candidates(top)
                .into_iter()
                .find(|(_, candidate)| real_path(candidate).is_ok_and(|real| real == folder.value));
            return Ok(Self {
                folder,
                root: root.map(|(root, _)| root),
                is_there: true,
                seen: None,
            });
        }
        // On a share without links, a link becomes a file.
        let own = top.join(CONF);
        let own = latest::stand_in(&own).unwrap_or(own);
        let from = SettingOrigin::Path(CONF.into());
        let mut conf = Self {
            folder: Setting::new(own.clone(), from),
            root: None,
            is_there: true,
            seen: None,
        };
        let beside = BESIDE.into_iter().map(|path| match data {
            Some(data) => path
                .strip_prefix("seafile-data/")
                .map_or_else(|| top.join(path), |rest| data.value.join(rest)),
            None => top.join(path),
        });
        let is_dangling = places::link_target(&own)?.is_some();
        if is_dangling || is_folder(&own)? || beside.into_iter().any(|path| path.exists()) {
            return Ok(conf);
        }
        conf.is_there = false;
        for (root, folder) in etc_candidates(top) {
            if !has_configuration(&folder) {
                continue;
            }
            let Some(from) = evidence(top, &root, &folder)? else {
                conf.seen = conf.seen.or(Some(folder));
                continue;
            };
            conf.folder = Setting::new(real_path(&folder)?, from);
            conf.root = Some(root);
            conf.is_there = true;
            break;
        }
        Ok(conf)
    }

    /// The data folder that the configuration of a distribution's package names
    /// (`SEAFILE_DATA_DIR`), if it exists. A configuration inside the top folder is not used: it
    /// may be a restored copy that names the place of the old installation.
    fn names_data(&self, top: &Path) -> Result<Option<DataFolder>, DiscoverError> {
        let Some(root) = &self.root else {
            return Ok(None);
        };
        for path in env_files(&self.folder.value) {
            let text =
                config::read_text(&path).map_err(|error| DiscoverError::config(&path, error))?;
            let dotenv = Dotenv::parse(&text.unwrap_or_default(), DotenvReader::Systemd, &|_| None);
            let Some(named) = dotenv.get("SEAFILE_DATA_DIR") else {
                continue;
            };
            let folder = on_disk(root, top, Path::new(&named.text));
            if is_data_folder(&folder) {
                let from = SettingOrigin::Line(path, named.line);
                return Ok(Some(Setting::new(real_path(&folder)?, from)));
            }
        }
        Ok(None)
    }
}

/// Where a path of the configuration lies on this machine.
pub(super) fn on_disk(root: &Path, top: &Path, named: &Path) -> PathBuf {
    match named.strip_prefix("/") {
        Ok(rest) => root.join(rest),
        Err(_) => top.join(named),
    }
}

/// The files that set variables: `.env` and `NAME.env`, sorted.
pub(super) fn env_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = entries(folder)
        .into_iter()
        .filter(|path| {
            let is_bare = path.file_name().is_some_and(|name| name == ".env");
            let is_named = path.extension().is_some_and(|ending| ending == "env");
            (is_bare || is_named) && path.is_file()
        })
        .collect();
    files.sort();
    files
}

/// The entries of a folder. A folder that cannot be read has none.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut entries: Vec<PathBuf> = entries.take(MOST_ENTRIES).map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

/// Whether a folder holds configuration of Seafile.
fn has_configuration(folder: &Path) -> bool {
    CONFIGURATION.iter().any(|name| folder.join(name).is_file())
}

/// Folders such as `/etc/NAME` that may hold the configuration, below each folder above the top
/// folder. The first path of each pair is the folder that takes the place of `/`.
fn etc_candidates(top: &Path) -> Vec<(PathBuf, PathBuf)> {
    let own = top.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut names = vec![own, "seafile", "seafile-server", "haiwen"];
    names.dedup();
    let roots = top.ancestors().skip(1).map(Path::to_owned);
    roots
        .flat_map(|root| {
            let names = names.iter().filter(|name| !name.is_empty());
            let folders = names.map(|name| (root.clone(), root.join("etc").join(name)));
            folders.collect::<Vec<_>>()
        })
        .collect()
}

/// The evidence that a folder in `/etc` is this installation's configuration: a file in it names
/// the top folder, or both have the same name in `/etc` and `/var/lib`.
fn evidence(
    top: &Path,
    root: &Path,
    folder: &Path,
) -> Result<Option<SettingOrigin>, DiscoverError> {
    let Ok(inner) = top.strip_prefix(root) else {
        return Ok(None);
    };
    let named = format!("/{}", inner.display());
    for path in entries(folder).into_iter().filter(|path| path.is_file()) {
        let text = match config::read_text(&path) {
            Ok(text) => text.unwrap_or_default(),
            Err(config::ReadError::TooLong) => continue,
            Err(error) => return Err(DiscoverError::config(&path, error)),
        };
        let at = text.match_indices(&named).find(|(at, _)| {
            let before = text[..*at].chars().next_back();
            let after = text[at + named.len()..].chars().next();
            let is_part = |c: char| c.is_alphanumeric() || "._-".contains(c);
            !before.is_some_and(|c| is_part(c) || c == '/') && !after.is_some_and(is_part)
        });
        if let Some((at, _)) = at {
            let line = text[..at].matches('\n').count() + 1;
            return Ok(Some(SettingOrigin::Line(path, line)));
        }
    }
    let is_package =
        inner.parent() == Some(Path::new("var/lib")) && inner.file_name() == folder.file_name();
    let why = "the usual place beside /var/lib".to_owned();
    let from = SettingOrigin::Likely(Box::new(SettingOrigin::Path(folder.to_owned())), why);
    Ok(is_package.then_some(from))
}

/// Whether a folder holds objects or the database of Seafile.
fn is_data_folder(folder: &Path) -> bool {
    let kinds = || Kind::ALL.into_iter().map(Kind::folder);
    folder.join("seafile.db").is_file()
        || kinds().any(|kind| folder.join("storage").join(kind).is_dir())
        || kinds().all(|kind| folder.join(kind).is_dir())
}

/// Finds a data folder under another name. It is used if it is the only one and there is a
/// configuration.
fn other_data_folder(top: &Path, conf: &ConfFolder) -> Result<DataFolder, DiscoverError> {
    let folders: Vec<PathBuf> =
        entries(top).into_iter().filter(|path| path.is_dir() && is_data_folder(path)).collect();
    let is_configured = |data: &Path| conf.is_there || data.join("seafile.conf").is_file();
    let advice = |folder: &Path| {
        let mut advice = format!("if it is the data folder: --data-dir {}", folder.display());
        if !is_configured(folder) {
            let seen = conf.seen.as_deref().unwrap_or(Path::new("/etc/seafile"));
            advice = format!("{advice}, and --conf-dir {} for the configuration", seen.display());
        }
        advice
    };
    match &folders[..] {
        [] => Err(missing_data_folder(top, conf)),
        [only] if is_configured(only) => {
            let name = only.file_name().map(PathBuf::from).unwrap_or_default();
            let why = "it holds objects, and nothing else does".to_owned();
            let from = SettingOrigin::Likely(Box::new(SettingOrigin::Path(name)), why);
            Ok(Setting::new(real_path(only)?, from))
        }
        [first, ..] => {
            let named: Vec<String> =
                folders.iter().map(|path| path.display().to_string()).collect();
            Err(DiscoverError::Unclear {
                what: format!(
                    "{} has no {DATA}, but objects or a database lie in {}",
                    top.display(),
                    named.join(" and ")
                ),
                advice: advice(first),
            })
        }
    }
}

fn missing_data_folder(top: &Path, conf: &ConfFolder) -> DiscoverError {
    // The configuration folder elsewhere belongs to this top folder, so the data folder existed: a
    // disk may be missing.
    let Some(_) = conf.root.as_ref().filter(|_| conf.is_there) else {
        let error = places::not_an_installation(top);
        if error.hint().is_none() && is_data_folder(top) {
            return DiscoverError::Unclear {
                what: format!("{} is a data folder, not an installation", top.display()),
                advice: "name the folder above it; where that is not the installation either, add \
                         --data-dir and --conf-dir"
                    .to_owned(),
            };
        }
        return error;
    };
    DiscoverError::Missing {
        what: "the data folder".to_owned(),
        path: top.join(DATA),
        from: conf.folder.from.clone(),
        advice: "is its disk mounted? If it lies elsewhere: --data-dir".to_owned(),
    }
}
