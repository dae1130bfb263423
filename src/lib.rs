//! Seawall backs up Seafile servers and proves that the backup is good.
//!
//! The design is in `docs/design.md`, every stored byte in `docs/format.md`.

pub mod backup;
pub mod causes;
pub mod check;
pub mod cli;
pub mod crypt;
pub mod database;
pub mod object;
pub mod proof;
pub mod repository;
pub mod restore;
pub mod seafile;
pub mod source;
pub mod time;
pub mod unpack;
pub mod verify;
pub mod walk;
