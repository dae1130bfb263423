//! What is read from a snapshot by more than one verb. Today: its pointers, what the databases said when it was made.

mod pointers;

pub use pointers::{library, pointers};
