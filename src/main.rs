//! The command `seawall`.

fn main() {}
