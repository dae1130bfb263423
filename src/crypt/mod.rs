//! How stored files are sealed before they leave the host: the one place through which every
//! stored byte passes on its way out and in.
//!
//! Version 0.1 seals nothing: files are stored as they are. Encryption with age takes its place
//! here, as a second [`Seal`]; names of sealed files then end in `.age`.

/// How the files of a repository are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Seal {
    /// Stored as they are.
    #[default]
    None,
}

impl Seal {
    /// What the names of sealed files end in.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
        }
    }

    /// Seals a whole file.
    pub fn seal(self, bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Self::None => bytes,
        }
    }

    /// Opens a whole file.
    pub fn open(self, bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Self::None => bytes,
        }
    }
}
