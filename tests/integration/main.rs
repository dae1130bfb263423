//! One binary for all tests across modules.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::similar_names,
    reason = "a test that meets what it does not expect has failed"
)]

mod accepted;
mod audit;
mod backup;
mod by_hand;
mod check;
mod cli;
mod clocks;
mod compaction;
mod crash;
mod damage;
mod damaged_rows;
mod destinations;
mod docker;
mod docker_mysql;
mod documented;
mod encryption;
mod faults;
mod full;
mod golden;
mod heads;
mod hostile;
mod last_copy;
mod matrix;
mod mysql;
mod notes;
mod presence;
mod remains;
mod restore;
mod reverts;
mod shared_store;
mod standby;
mod stories;
mod stories2;
mod support;
mod synthetic;
mod unmounted;
mod verify;
