//! Plain text for people, at most 78 columns wide.

const COLUMNS: usize = 78;

/// Text of users, on one line and without control characters.
pub fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

/// A page that wraps the text written on it.
#[derive(Debug, Default)]
pub struct NotesPage {
    text: String,
}

impl NotesPage {
    /// The whole text.
    pub fn finish(self) -> String {
        self.text
    }

    /// One line, without control characters.
    pub fn line(&mut self, text: &str) {
        self.text.push_str(plain(text).trim_end());
        self.text.push('\n');
    }

    /// A heading.
    pub fn title(&mut self, text: &str) {
        self.line(&text.to_uppercase());
        self.line("");
    }

    /// A name and its value.
    pub fn field(&mut self, name: &str, value: &str) {
        self.line(&format!("  {name:<12}{value}"));
    }

    /// Text, wrapped, and an empty line.
    pub fn paragraph(&mut self, text: &str) {
        self.wrap("", "", text);
        self.line("");
    }

    /// An entry of a list, wrapped.
    pub fn item(&mut self, text: &str) {
        self.wrap("  - ", "    ", text);
    }

    /// Text, wrapped. Its first line begins with `first`, the others with `indent`.
    pub fn wrap(&mut self, first: &str, indent: &str, text: &str) {
        let mut line = first.to_owned();
        let mut is_new = true;
        for word in text.split_whitespace() {
            if !is_new && line.chars().count() + 1 + word.chars().count() > COLUMNS {
                self.line(&line);
                indent.clone_into(&mut line);
                is_new = true;
            }
            if !is_new {
                line.push(' ');
            }
            line.push_str(word);
            is_new = false;
        }
        if !is_new {
            self.line(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_and_indented() {
        let mut page = NotesPage::default();
        page.item(&"word ".repeat(30));
        page.paragraph("short");
        let text = page.finish();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("  - word") && lines[1].starts_with("    word"));
        assert!(lines.iter().all(|line| line.len() <= COLUMNS));
        assert_eq!(text.matches("word").count(), 30);
        assert!(text.ends_with("short\n\n"));
    }

    #[test]
    fn a_word_that_is_too_long_stands_alone() {
        let mut page = NotesPage::default();
        page.paragraph(&format!("a {} b", "x".repeat(100)));
        assert_eq!(page.finish().lines().count(), 4);
    }

    #[test]
    fn control_characters_of_users_are_shown_as_such() {
        assert_eq!(plain("a\nb\u{1b}[31m"), "a?b?[31m");
    }
}
