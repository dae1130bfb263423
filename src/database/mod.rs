//! Copies of an installation's databases, and the pointers that they hold.
