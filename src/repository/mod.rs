//! What seawall stores: packs, segments, lists, sums, manifests, markers, intents; and the local catalog.

pub mod frames;
pub mod note;
pub mod pack;
pub mod parts;
pub mod sums;
