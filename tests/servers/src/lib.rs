//! Real servers for the tests of seawall. Each is private to the process that starts it, listens on
//! a free loopback port, keeps everything in a temporary folder, and ends with the process, also if
//! that is killed. One that is not installed is a failed test with the line that installs it.

// Test code that is compiled as a library: what fails panics.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::similar_names,
    clippy::format_push_string,
    reason = "test code that is compiled as a library"
)]

pub mod b2;
pub mod blobs;
pub mod bucket;
pub mod mariadb;
pub mod moto;
pub mod process;
pub mod proxy;
pub mod rclone;
pub mod seaweedfs;
pub mod sftp;
pub mod sshd;
pub mod wait;
pub mod web;
