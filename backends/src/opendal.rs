//! To be written.

use std::ops::Range;

use crate::destination::Remote;
use crate::open::Absent;
use crate::{Backend, Entry, Error, ErrorKind, Key, Options, Result};

/// A destination behind opendal.
#[derive(Debug)]
pub struct OpendalBackend;

impl OpendalBackend {
    pub(crate) fn open(_remote: &Remote, _options: &Options, _absent: Absent) -> Result<Self> {
        Err(crate::destination::invalid("not written yet".to_owned()))
    }
}

impl Backend for OpendalBackend {
    fn put_new(&self, _key: &Key, _body: &[u8]) -> Result<()> {
        Err(Error::new(ErrorKind::Other))
    }
    fn get(&self, _key: &Key, _range: Option<Range<u64>>) -> Result<Vec<u8>> {
        Err(Error::new(ErrorKind::Other))
    }
    fn stat(&self, _key: &Key) -> Result<Entry> {
        Err(Error::new(ErrorKind::Other))
    }
    fn list<'a>(&'a self, _prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        Box::new(std::iter::empty())
    }
    fn delete(&self, _key: &Key) -> Result<()> {
        Err(Error::new(ErrorKind::Other))
    }
}
