//! What Seafile keeps on disk: where it is, how it is formed, and whether it is whole.

pub mod files;
