//! An error with everything that led to it, as one line for people.

use std::error::Error;

/// Joins the text of the error and of its causes with colons. A text that repeats the one before it
/// is left out.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut last = text.clone();
    let mut next = error.source();
    while let Some(cause) = next {
        let line = cause.to_string();
        // An error that only passes on its cause shows the same text.
        if line != last {
            text = format!("{text}: {line}");
        }
        last = line;
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read it")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Middle(#[from] std::io::Error);

    #[test]
    fn every_cause_is_said_once() {
        let error = Outer(Middle(std::io::Error::other("the disk is gone")));
        assert_eq!(chain(&error), "cannot read it: the disk is gone");
    }
}
