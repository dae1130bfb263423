//! To be written.

use std::ops::Range;

use crate::destination::Remote;
use crate::{Backend, Entry, Error, ErrorKind, Key, Options, Result};

/// A destination behind s3.
#[derive(Debug)]
pub struct S3Backend;

impl S3Backend {
    pub(crate) fn open(_remote: &Remote, _options: &Options) -> Result<Self> {
        Err(crate::destination::invalid("not written yet".to_owned()))
    }
}

impl Backend for S3Backend {
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
