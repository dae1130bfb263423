//! Commits come last, and only those that a pointer of the snapshot leads to.
//!
//! A sync client whose newest commit is on the server, and is not behind the server's head, is set back to the head: its
//! user's newer files go, without a word (docs/design.md, "Commits that no pointer leads to"). So a restore first
//! writes commits into a folder beside (`staging`), moves away what nothing leads to (`settle`, `aside`), puts
//! the databases in place, and only then gives each library all of its commits by one rename.

mod aside;
mod heads;
mod settle;
mod staging;

pub use aside::{ASIDE, set_aside_file};
pub use settle::settle;
pub use staging::{object_folders, place, staged_path, take_out};
