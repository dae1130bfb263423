//! Damage to every kind of stored thing, of every sort: what `check` says, what still restores, and
//! what the next backup heals. Also what becomes of a repository that is not what it was: rolled
//! back, made anew, or without its `seawall.json`.

mod cells;
mod configuration;
mod kinds;
mod prepared;
mod rollback;
