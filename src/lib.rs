//! Seawall backs up Seafile servers and proves that the backup is good.
//!
//! `docs/design.md` describes the design, `docs/format.md` every stored byte.

pub mod backup;
pub mod causes;
pub mod check;
pub mod cli;
pub mod crypt;
pub mod damage;
pub mod database;
pub mod doctor;
pub mod host;
pub mod object;
pub mod place;
pub mod proof;
pub mod repository;
pub mod restore;
pub mod seafile;
pub mod snapshot;
pub mod source;
pub mod status;
pub mod time;
pub mod units;
pub mod unpack;
pub mod verify;
pub mod walk;
