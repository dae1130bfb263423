//! Who can open what a snapshot names. Recipients change, but a stored file stays sealed to the
//! recipients of its time. So a recipient that was added later opens only a part of a snapshot, and
//! so does one that was removed.

use serde::{Deserialize, Serialize};

/// Who can open what a snapshot names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// The recipients that new files are sealed to.
    pub recipients: Vec<String>,
    /// Present and earlier recipients that open only a part of it.
    pub partly: Vec<String>,
}

impl Audience {
    /// The readers after a run that seals to `now` and builds on everything in `before`. A
    /// recipient opens everything only if it is in `now` and opens everything in each of `before`.
    pub fn after<'a>(before: impl IntoIterator<Item = &'a Self>, now: &[String]) -> Self {
        let before: Vec<&Self> = before.into_iter().collect();
        let opens_all = |one: &str| before.iter().all(|before| before.opens_all(one));
        let mut partly: Vec<String> = Vec::new();
        let earlier = before.iter().flat_map(|before| before.everybody());
        for one in now.iter().map(String::as_str).chain(earlier) {
            let is_new = !partly.iter().any(|known| is_same(known, one));
            let opens_now = now.iter().any(|known| is_same(known, one)) && opens_all(one);
            if is_new && !opens_now {
                partly.push(one.to_owned());
            }
        }
        Self { recipients: now.to_vec(), partly }
    }

    /// The recipients that open everything.
    pub fn of_all(&self) -> impl Iterator<Item = &str> {
        let all = self.recipients.iter().map(String::as_str);
        all.filter(|one| !self.is_partly(one))
    }

    /// Earlier recipients: they open only what was stored in their time.
    pub fn of_before(&self) -> impl Iterator<Item = &str> {
        let partly = self.partly.iter().map(String::as_str);
        partly.filter(|one| !self.recipients.iter().any(|known| is_same(known, one)))
    }

    /// Whether this recipient opens only a part.
    pub fn is_partly(&self, one: &str) -> bool {
        self.partly.iter().any(|known| is_same(known, one))
    }

    fn opens_all(&self, one: &str) -> bool {
        self.of_all().any(|known| is_same(known, one))
    }

    fn everybody(&self) -> impl Iterator<Item = &str> {
        let all = self.recipients.iter().chain(&self.partly);
        all.map(String::as_str)
    }
}

/// Whether two texts are the same recipient. Text after an SSH key is only a comment.
fn is_same(one: &str, other: &str) -> bool {
    let words = |text| str::split_whitespace(text).take(2);
    words(one).eq(words(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &str) -> Vec<String> {
        words.split(',').filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
    }

    fn readers(recipients: &str, partly: &str) -> Audience {
        Audience { recipients: texts(recipients), partly: texts(partly) }
    }

    #[test]
    fn who_comes_and_goes_opens_a_part() {
        let first = Audience::after([], &texts("a,b"));
        assert_eq!(first, readers("a,b", ""));
        let same = Audience::after([&first], &texts("a,b"));
        assert_eq!(same, first);
        let more = Audience::after([&same], &texts("a,b,c"));
        assert_eq!(more, readers("a,b,c", "c"));
        assert_eq!(more.of_all().collect::<Vec<_>>(), ["a", "b"]);
        let turned = Audience::after([&more], &texts("c"));
        assert_eq!(turned, readers("c", "c,a,b"));
        assert_eq!(turned.of_all().count(), 0);
        assert_eq!(turned.of_before().collect::<Vec<_>>(), ["a", "b"]);
        let back = Audience::after([&turned], &texts("a,c"));
        assert_eq!(back, readers("a,c", "a,c,b"));
        // A run that did not end has stored for others.
        let both = Audience::after([&first, &readers("b,d", "d,a")], &texts("b,d"));
        assert_eq!(both, readers("b,d", "d,a"));
        assert_eq!(Audience::after([], &[]), Audience::default());
        let commented =
            Audience::after([&readers("ssh-rsa AAA me", "")], &texts("ssh-rsa AAA you"));
        assert_eq!(commented.partly, Vec::<String>::new());
    }
}
