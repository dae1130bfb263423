//! The command `seawall`.

use std::process::ExitCode;

fn main() -> ExitCode {
    seawall::cli::main()
}
