//! Makes installations of any size, or changes one: what `benches/peers.rs` measures with, by hand.
//!
//! `cargo bench --bench synthetic -- FOLDER [--libraries N] [--files N] [--folder N] [--mean-len N] [--blocks N] [--commits N]` adds
//! libraries to an installation (a copy of `examples/haiwen`): so many files in each, in folders of so many, one block a file or
//! all blocks in one file, and so many commits after each other. `… FOLDER --change N` replaces one of N files in each folder.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a program that measures, and stops at what it does not expect"
)]

#[allow(dead_code, reason = "other benches use the rest")]
#[path = "support/synthetic.rs"]
mod synthetic;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|word| word == name)?;
        Some(arguments[at + 1].parse::<usize>().unwrap())
    };
    let Some(top) = arguments.first().filter(|word| !word.starts_with('-')) else {
        println!("nothing to do: name a folder");
        return;
    };
    let seed = option("--seed").unwrap_or(7) as u64;
    let mean_len = option("--mean-len").unwrap_or(12 * 1024);
    let objects = if let Some(one_of) = option("--change") {
        synthetic::change(Path::new(top), one_of, mean_len, seed)
    } else {
        let size = synthetic::Size {
            libraries: option("--libraries").unwrap_or(1),
            files: option("--files").unwrap_or(0),
            folder: option("--folder").unwrap_or(100),
            mean_len,
            blocks: option("--blocks").unwrap_or(0),
            commits: option("--commits").unwrap_or(0),
        };
        synthetic::grow(Path::new(top), size, seed)
    };
    println!("{objects} objects written");
}
