//! What this host warns of while it opens a repository, in words.

use super::CommandError;
use super::output::Output;
use crate::host::Warning;

/// Prints a warning.
pub(super) fn warn(warning: Warning) {
    match warning {
        Warning::ConfigurationOverruled { problem, id } => {
            let CommandError { error, hint, .. } = problem.into();
            Output::warning(format_args!("{error:#}: {}", hint.unwrap_or_default()));
            Output::warning(format_args!("going on as repository {id}"));
        }
        Warning::EncryptionOverruled { said_encrypted } => {
            let said = if said_encrypted { "it is encrypted" } else { "nothing is encrypted" };
            Output::warning(format_args!(
                "seawall.json says that {said}, and signed markers say otherwise: it was altered; going on as the markers say"
            ));
        }
        Warning::ManyWrappedKeys { tried } => Output::warning(format_args!(
            "keys holds more than {tried} keys behind passphrases: the others are not tried"
        )),
        Warning::SecretOpenToOthers { path, mode } => Output::warning(format_args!(
            "{} has mode {mode:04o}: other users can read the secret in it; its owner can close it: chmod 640",
            path.display()
        )),
        Warning::AcceptedFaultsUnreadable { problem } => {
            let problem = anyhow::Error::from(problem);
            Output::warning(format_args!("no bad file counts as accepted: {problem:#}"));
        }
        Warning::PlaceNotRemembered { problem } => {
            let problem = anyhow::Error::from(problem);
            Output::warning(format_args!("where this host stored is not remembered: {problem:#}"));
        }
    }
}
