//! One binary for all tests across modules.
