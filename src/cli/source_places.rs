//! Options about where an installation's files lie, for verbs that read one.

use std::path::PathBuf;

use clap::Args;

use crate::place::absolute;
use crate::seafile::discover::SourceOptions;

#[derive(Debug, Args)]
#[command(next_help_heading = "Where the installation lies")]
pub(super) struct SourcePlaces {
    /// A file with the variables of Seafile's container, such as docker's .env: used, and backed up.
    /// Later ones count before earlier ones
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// The folder of the objects, where it is not `seafile-data` of the installation
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The folder of the configuration, where it is not `conf` of the installation
    #[arg(long, value_name = "DIR")]
    conf_dir: Option<PathBuf>,
    /// Objects lie on this disk, whatever the configuration says of object storage (which the
    /// community edition does not read)
    #[arg(long)]
    objects_on_disk: bool,
}

impl SourcePlaces {
    /// What is said here, and what is backed up besides.
    pub(super) fn options(&self, also: &[PathBuf]) -> SourceOptions {
        let all = |paths: &[PathBuf]| paths.iter().map(|path| absolute(path)).collect();
        SourceOptions {
            env_files: all(&self.env_file),
            data_dir: self.data_dir.as_deref().map(absolute),
            conf_dir: self.conf_dir.as_deref().map(absolute),
            objects_on_disk: self.objects_on_disk,
            also: all(also),
        }
    }
}
