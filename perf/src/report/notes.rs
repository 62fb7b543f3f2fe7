//! What people have to say to the figures: kept in a file of its own, so that a new report keeps it.

/// Texts under headings, in Markdown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    sections: Vec<(String, String)>,
}

impl Notes {
    /// The sections of a file: `## HEADING`, then its text. What stands before the first heading is for its writers.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut sections: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                sections.push((heading.trim().to_owned(), String::new()));
            } else if let Some((_, section)) = sections.last_mut() {
                section.push_str(line);
                section.push('\n');
            }
        }
        let trimmed = sections.into_iter().map(|(heading, text)| (heading, text.trim().to_owned()));
        Self { sections: trimmed.filter(|(_, text)| !text.is_empty()).collect() }
    }

    /// The text under this heading.
    #[must_use]
    pub fn about(&self, heading: &str) -> Option<&str> {
        self.sections.iter().find(|(name, _)| name == heading).map(|(_, text)| text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_found_by_its_whole_heading() {
        let notes =
            Notes::read("# Notes\nHow to write.\n\n## connect: a by nginx\n\nTried:\n\n- this\n\n## empty\n\n## b\nx");
        assert_eq!(notes.about("connect: a by nginx"), Some("Tried:\n\n- this"));
        assert_eq!(notes.about("b"), Some("x"));
        assert_eq!((notes.about("empty"), notes.about("connect"), notes.about("Notes")), (None, None, None));
    }
}
