//! Names, page by page.

use std::collections::VecDeque;

use super::B2Backend;
use crate::runtime::block_on;
use crate::{Entry, Result};

/// As many as B2 gives for the price of one call.
const MOST: usize = 1000;

/// A listing, lazily.
pub(super) struct B2Pages<'a> {
    backend: &'a B2Backend,
    /// Empty, or with a slash at its end.
    below: String,
    found: VecDeque<Entry>,
    /// Where the next page begins.
    start: Option<String>,
    is_over: bool,
}

impl<'a> B2Pages<'a> {
    pub(super) fn new(backend: &'a B2Backend, prefix: &str) -> Self {
        let slash = if prefix.is_empty() { "" } else { "/" };
        Self {
            backend,
            below: format!("{prefix}{slash}"),
            found: VecDeque::new(),
            start: None,
            is_over: false,
        }
    }

    fn read(&mut self) -> Result<()> {
        let start = self.start.take();
        // What comes after a page that failed is not known.
        self.is_over = true;
        let page = self.backend.page(&self.below, start.as_deref(), MOST);
        let page = block_on(page)??;
        let entries = page.files.iter();
        self.found = entries.filter_map(|file| self.backend.entry(file)).collect();
        // A page that begins where the last one did would be read for ever.
        self.is_over = page.next_file_name.is_none() || page.next_file_name == start;
        self.start = page.next_file_name;
        Ok(())
    }
}

impl Iterator for B2Pages<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.found.pop_front() {
                return Some(Ok(entry));
            }
            if self.is_over {
                return None;
            }
            if let Err(error) = self.read() {
                return Some(Err(error));
            }
        }
    }
}
