//! Puts commits in place: last of all, and only those that a pointer of the snapshot leads to.
//!
//! If a sync client's newest commit is on the server, and the server's head is an older one, the
//! client is set back to the head. Its user's newer files are lost without a word (docs/design.md,
//! "Commits that no pointer leads to"). So a restore first writes commits into a folder beside
//! (`staging`). It moves away commits that nothing leads to (`settle`, `aside`), and puts the
//! databases in place. Only then it gives each library all of its commits by one rename.

mod aside;
mod heads;
mod settle;
mod staging;

pub use aside::{ASIDE, set_aside_file};
pub use settle::settle;
pub use staging::{object_folders, place, staged_path, take_out};
