//! Finds what docker gives Seafile's container: the variables of a compose file and of the `.env`
//! file beside it. From version 12 on a container obeys them, and they lie outside of its volume.
//! `--env-file` names the files. Without it, files near the installation are read, if a compose
//! file there mounts the installation.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::dotenvs::EnvFile;
use super::error::DiscoverError;
use super::folders::{self, InstallationFolders};
use super::origin::{Environment, Setting, SettingOrigin};
use super::program::SeafileProgram;
use super::warning::DiscoverWarning;
use crate::seafile::config;
use crate::seafile::config::compose::{self, ComposeMount, ComposeService, ComposeText};
use crate::seafile::config::dotenv::DotenvReader;
use crate::seafile::config::template::{self, ExpandedText};

/// The path of the volume inside the container.
const SHARED: &str = "/shared";
/// The names of the images of Seafile's server, without registry and tag.
const IMAGES: [&str; 2] = ["seafile-mc", "seafile-pro-mc"];
/// The most compose files that are read from one folder. A folder with more is no compose project.
const MOST_FILES: usize = 50;
/// How many folders above the top folder are searched, with the folders in them.
const LEVELS: usize = 2;

/// The results about a container.
#[derive(Debug, Default)]
pub(super) struct DockerContainer {
    /// Files outside of the installation that belong to it.
    pub files: Vec<PathBuf>,
    /// Files near it that may belong to it, but are not used.
    pub seen: Vec<PathBuf>,
    /// Files near it that are used for variables that nothing else sets.
    pub likely: Vec<EnvFile>,
    /// The image.
    pub image: Option<Setting<String>>,
    /// Whether a `.env` or a compose file is used.
    pub is_known: bool,
}

/// Finds the container's files and adds its variables to the environment.
pub(super) fn look(
    folders: &InstallationFolders,
    program: &SeafileProgram,
    environment: &mut Environment,
    warnings: &mut Vec<DiscoverWarning>,
) -> Result<DockerContainer, DiscoverError> {
    let given = environment.options().env_files.clone();
    let mut looker = ContainerSearch { folders, container: DockerContainer::default() };
    if given.is_empty() {
        if !program.is_named && !folders.conf_is_apart() {
            looker.near(environment, warnings)?;
        }
    } else {
        looker.given(&given, program, environment, warnings)?;
    }
    let mut container = looker.container;
    container.files.sort();
    container.files.dedup();
    Ok(container)
}

/// Who says that a folder's compose files belong to the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProjectSource {
    /// The administrator, by `--env-file`.
    Given,
    /// Nobody: they only lie near it.
    Near,
}

struct ContainerSearch<'a> {
    folders: &'a InstallationFolders,
    container: DockerContainer,
}

/// The containers of Seafile in one folder's compose files.
struct ComposeProject {
    files: Vec<PathBuf>,
    /// Each service, with the file that describes it.
    services: Vec<(PathBuf, ComposeService)>,
    /// Whether one of the services mounts the installation.
    mounts: bool,
}

impl ContainerSearch<'_> {
    /// Reads the files that the administrator names, and the compose files beside them.
    fn given(
        &mut self,
        given: &[PathBuf],
        program: &SeafileProgram,
        environment: &mut Environment,
        warnings: &mut Vec<DiscoverWarning>,
    ) -> Result<(), DiscoverError> {
        // As for docker, a later file wins over an earlier one.
        let mut files = Vec::new();
        for path in given.iter().rev() {
            let reader = reader_of(path, program, self.folders);
            let variable = |name: &str| environment.value(name);
            let file = EnvFile::read(path, path, reader, &variable)?;
            let file = file.ok_or_else(|| missing(path))?;
            if file.is_empty() {
                let why = "has no line NAME=value: this is no file of variables";
                return Err(DiscoverError::invalid(path, why));
            }
            files.push(file);
        }
        let mut projects: Vec<&Path> = given.iter().filter_map(|path| path.parent()).collect();
        projects.dedup();
        for folder in projects {
            if let Some(project) =
                self.project(folder, &files, environment, ProjectSource::Given)?
            {
                self.take(folder, &project, &files, None, environment, warnings)?;
            }
        }
        for file in &files {
            file.apply(environment, warnings);
            self.container.files.push(file.path.clone());
        }
        self.container.is_known = true;
        Ok(())
    }

    /// Searches the folders around the installation.
    fn near(
        &mut self,
        environment: &mut Environment,
        warnings: &mut Vec<DiscoverWarning>,
    ) -> Result<(), DiscoverError> {
        let mut found: Vec<(PathBuf, ComposeProject, Vec<EnvFile>)> = Vec::new();
        let folders = self.folders_near();
        for folder in &folders {
            let variable = |name: &str| environment.value(name);
            let path = folder.join(".env");
            // A file near the installation that cannot be read may belong to somebody else, so it
            // is no error.
            let file = is_trusted(&path, &self.folders.top)
                .then(|| {
                    EnvFile::read(&path, &path, DotenvReader::Compose, &variable).ok().flatten()
                })
                .flatten();
            let files: Vec<EnvFile> = file.into_iter().collect();
            match self.project(folder, &files, environment, ProjectSource::Near)? {
                Some(project) if project.mounts => found.push((folder.clone(), project, files)),
                Some(project) => {
                    let dotenv = files.into_iter().map(|file| file.path);
                    let seen = dotenv.chain(project.files).next();
                    self.container.seen.extend(seen);
                }
                None => self.alone(folder, files),
            }
        }
        let doubt = match &found[..] {
            [_, (second, ..), ..] => {
                Some(format!("and {} mounts this folder too", second.display()))
            }
            _ => None,
        };
        for (number, (folder, project, files)) in found.into_iter().enumerate() {
            if number > 0 {
                self.container.seen.extend(project.files);
                continue;
            }
            let doubted = |file: EnvFile| match &doubt {
                Some(why) => file.doubted(why),
                None => file,
            };
            let files: Vec<EnvFile> = files.into_iter().map(doubted).collect();
            self.take(&folder, &project, &files, doubt.as_deref(), environment, warnings)?;
            for file in &files {
                file.apply(environment, warnings);
                self.container.files.push(file.path.clone());
            }
            self.container.is_known = true;
        }
        if self.container.is_known {
            self.container.likely.clear();
        }
        Ok(())
    }

    /// Decides about a `.env` near the installation without a compose file that says to whom it
    /// belongs.
    fn alone(&mut self, folder: &Path, files: Vec<EnvFile>) {
        for file in files.into_iter().filter(EnvFile::is_seafiles) {
            let names_this =
                file.text("SEAFILE_VOLUME").map(|volume| self.is_mounted(folder, volume, SHARED));
            let is_above = self.folders.top.starts_with(folder);
            match names_this {
                Some(true) => self.container.likely.push(file),
                None if is_above => {
                    let why = "which lies above the installation and does not name it";
                    self.container.likely.push(file.doubted(why));
                }
                _ => self.container.seen.push(file.path),
            }
        }
    }

    /// The folders above the top folder, and the folders in them. Folders that anybody may write to
    /// are left out.
    fn folders_near(&self) -> Vec<PathBuf> {
        let top = &self.folders.top;
        let mut near = Vec::new();
        for above in top.ancestors().skip(1).take(LEVELS) {
            if !is_trusted(above, top) {
                continue;
            }
            near.push(above.to_owned());
            let inside = folders::entries(above).into_iter();
            near.extend(
                inside.filter(|path| {
                    path.is_dir() && !top.starts_with(path) && is_trusted(path, top)
                }),
            );
        }
        near
    }

    /// Finds the containers of Seafile in a folder's compose files.
    fn project(
        &self,
        folder: &Path,
        files: &[EnvFile],
        environment: &Environment,
        asked: ProjectSource,
    ) -> Result<Option<ComposeProject>, DiscoverError> {
        let mut services = Vec::new();
        for path in compose_files(folder) {
            // Files near an installation may belong to other people. They must not name the
            // database server, and must not make a backup fail.
            if asked == ProjectSource::Near && !is_trusted(&path, &self.folders.top) {
                continue;
            }
            let text = match config::read_text(&path) {
                Ok(text) => text.unwrap_or_default(),
                Err(config::ReadError::TooLong) => continue,
                Err(_) if asked == ProjectSource::Near => continue,
                Err(error) => return Err(DiscoverError::config(&path, error)),
            };
            // A file that is no YAML is no compose file: docker cannot read it either.
            let found = compose::services(&text).unwrap_or_default();
            services.extend(found.into_iter().map(|service| (path.clone(), service)));
        }
        let variable = variables(files, environment);
        let expand = |text: &str| template::expand(text, &variable).text;
        let mounts = |service: &ComposeService| {
            let mut mounts = service.mounts.iter();
            mounts.any(|mount| {
                let (source, target) = source_and_target(mount, &expand);
                self.is_mounted(folder, &source, &target)
            })
        };
        let is_seafile = |service: &ComposeService| {
            let image = service.image.as_ref().map(|image| expand(&image.text));
            image.is_some_and(|image| is_seafile_image(&image))
        };
        let has_image = services.iter().any(|(_, service)| is_seafile(service));
        let is_ours = |service: &ComposeService| {
            if has_image { is_seafile(service) } else { mounts(service) }
        };
        let names: Vec<String> = services
            .iter()
            .filter(|(_, service)| is_ours(service))
            .map(|(_, service)| service.name.clone())
            .collect();
        let is_mounted = services.iter().any(|(_, service)| mounts(service));
        // One compose file may add to a container that another one describes.
        services.retain(|(_, service)| names.contains(&service.name));
        let mut files: Vec<PathBuf> = services.iter().map(|(path, _)| path.clone()).collect();
        files.dedup();
        Ok((!services.is_empty()).then_some(ComposeProject { files, services, mounts: is_mounted }))
    }

    /// Uses the variables of a project's containers.
    fn take(
        &mut self,
        folder: &Path,
        project: &ComposeProject,
        files: &[EnvFile],
        doubt: Option<&str>,
        environment: &mut Environment,
        warnings: &mut Vec<DiscoverWarning>,
    ) -> Result<(), DiscoverError> {
        let setting = |path: &Path, text: &ComposeText, expanded: ExpandedText| {
            let line = SettingOrigin::Line(path.to_owned(), text.line);
            let from = match doubt {
                Some(why) => SettingOrigin::Likely(Box::new(line), why.to_owned()),
                None => line,
            };
            Setting::new(expanded.text, from)
        };
        let mut found = Vec::new();
        let mut env_files = Vec::new();
        {
            let variable = variables(files, environment);
            for (path, service) in &project.services {
                for (name, text) in &service.environment {
                    let Some(text) = text else { continue };
                    let expanded = template::expand(&text.text, &variable);
                    if expanded.unset.is_none() {
                        found.push((name.clone(), setting(path, text, expanded)));
                    }
                }
                if let Some(image) = &service.image {
                    let expanded = template::expand(&image.text, &variable);
                    let image = setting(path, image, expanded);
                    self.container.image.get_or_insert(image);
                }
                for file in &service.env_files {
                    let file = template::expand(&file.text, &variable).text;
                    let path = folder.join(file);
                    env_files.extend(EnvFile::read(
                        &path,
                        &path,
                        DotenvReader::Compose,
                        &variable,
                    )?);
                }
            }
        }
        for (name, setting) in found {
            environment.add(&name, setting);
        }
        for file in &env_files {
            file.apply(environment, warnings);
            self.container.files.push(file.path.clone());
        }
        self.container.files.extend(project.files.iter().cloned());
        let listed = files.iter().find_map(|file| file.text("COMPOSE_FILE"));
        let separator = |file: &EnvFile| file.text("COMPOSE_PATH_SEPARATOR").map(str::to_owned);
        let separator = files.iter().find_map(separator).unwrap_or_else(|| ":".into());
        let listed = listed.unwrap_or_default().split(separator.as_str());
        let listed = listed.filter(|name| !name.is_empty());
        let there = listed.map(|name| folder.join(name)).filter(|path| path.is_file());
        self.container.files.extend(there);
        Ok(())
    }

    /// Whether a mounted folder is this installation or one of its parts. An absolute path is also
    /// searched below each folder that contains both the compose file and the installation: a
    /// snapshot mounted elsewhere has its own root.
    fn is_mounted(&self, folder: &Path, source: &str, target: &str) -> bool {
        let InstallationFolders { top, data_dir, conf_dir, .. } = self.folders;
        let is_ours = |path: &Path| {
            let Ok(path) = fs::canonicalize(path) else {
                return false;
            };
            let is_volume = target == SHARED
                && top.file_name().is_some_and(|name| name == "seafile")
                && top.parent() == Some(&path);
            is_volume || path == *top || path == *data_dir || path == *conf_dir
        };
        let source = Path::new(source);
        let Ok(below) = source.strip_prefix("/") else {
            return is_ours(&folder.join(source));
        };
        let mut roots = folder.ancestors().filter(|root| top.starts_with(root));
        roots.any(|root| is_ours(&root.join(below)))
    }
}

/// Looks up a variable: first in the environment, then in the files.
fn variables<'a>(
    files: &'a [EnvFile],
    environment: &'a Environment,
) -> impl Fn(&str) -> Option<String> + 'a {
    move |name| {
        let of_file = || files.iter().find_map(|file| file.text(name));
        let outside = environment.value(name);
        outside.or_else(|| of_file().map(str::to_owned))
    }
}

fn source_and_target(mount: &ComposeMount, expand: &dyn Fn(&str) -> String) -> (String, String) {
    match mount {
        ComposeMount::Long(source, target) => (expand(&source.text), expand(&target.text)),
        ComposeMount::Short(text) => {
            let text = expand(&text.text);
            let mut parts = text.split(':').map(str::to_owned);
            let source = parts.next().unwrap_or_default();
            (source, parts.next().unwrap_or_default())
        }
    }
}

fn is_seafile_image(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or_default();
    let name = last.split([':', '@']).next().unwrap_or_default();
    IMAGES.contains(&name)
}

/// A folder's compose files. Override files come first.
fn compose_files(folder: &Path) -> Vec<PathBuf> {
    let name = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let entries = folders::entries(folder).into_iter();
    let mut files: Vec<PathBuf> = entries
        .filter(|path| {
            let ending = path.extension().unwrap_or_default();
            (ending == "yml" || ending == "yaml") && path.is_file()
        })
        .collect();
    files.truncate(MOST_FILES);
    files.sort_by_key(|path| !name(path).contains("override"));
    files
}

/// Whose rules apply to a file of `--env-file`.
fn reader_of(path: &Path, program: &SeafileProgram, folders: &InstallationFolders) -> DotenvReader {
    let is_in_conf = path.parent().is_some_and(|parent| parent == folders.conf_dir);
    let is_dotenv = path.file_name().is_some_and(|name| name == ".env");
    match (is_dotenv, is_in_conf) {
        (true, true) if program.is_named => DotenvReader::Shell,
        (false, true) if folders.conf_is_apart() => DotenvReader::Systemd,
        _ => DotenvReader::Compose,
    }
}

fn missing(path: &Path) -> DiscoverError {
    DiscoverError::Missing {
        what: "the file of variables".to_owned(),
        path: path.to_owned(),
        from: SettingOrigin::Option("--env-file".to_owned()),
        advice: "give the .env file that lies beside the compose file".to_owned(),
    }
}

/// Whether only trusted users could have written a file: root, this user, and the owner of the
/// installation. They may change the installation as well.
fn is_trusted(path: &Path, top: &Path) -> bool {
    const OTHERS_WRITE: u32 = 0o002;
    let (Ok(metadata), Ok(top)) = (fs::metadata(path), fs::metadata(top)) else {
        return false;
    };
    let owners = [0, rustix::process::geteuid().as_raw(), top.uid()];
    owners.contains(&metadata.uid()) && metadata.mode() & OTHERS_WRITE == 0
}
