//! One binary for all tests across modules.

mod backup;
mod damage;
mod support;
