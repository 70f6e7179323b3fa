//! Topic patterns: `builds/*/*`. A star stands for exactly one element.

/// A pattern that a client subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicPattern {
    /// None = any.
    elements: Vec<Option<Box<str>>>,
}

/// One element of a topic that may not be known whole yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot<'a> {
    Known(&'a str),
    Unknown,
}

impl TopicPattern {
    /// Reads a pattern. Any text is one.
    pub fn new(text: &str) -> Self {
        Self {
            elements: text
                .split('/')
                .map(|element| (element != "*").then(|| element.into()))
                .collect(),
        }
    }

    /// Whether it covers a topic.
    pub fn matches(&self, topic: &[&str]) -> bool {
        self.elements.len() == topic.len()
            && self
                .elements
                .iter()
                .zip(topic)
                .all(|(wanted, is)| wanted.as_deref().is_none_or(|wanted| wanted == *is))
    }

    /// Whether it may cover a topic of which not all is known.
    pub(super) fn may_match(&self, topic: &[Slot<'_>]) -> bool {
        self.elements.len() == topic.len()
            && self
                .elements
                .iter()
                .zip(topic)
                .all(|(wanted, is)| match (wanted, is) {
                    (None, _) | (_, Slot::Unknown) => true,
                    (Some(wanted), Slot::Known(is)) => **wanted == **is,
                })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        TopicPattern::new(pattern).matches(&topic.split('/').collect::<Vec<_>>())
    }

    #[test]
    fn a_star_is_one_element() {
        assert!(matches("builds/*/*", "builds/28/new"));
        assert!(matches("builds/28/*", "builds/28/new"));
        assert!(matches("*/*/*", "builds/28/new"));
        assert!(!matches("builds/*", "builds/28/new"));
        assert!(!matches("builds/*/*", "builds/28/steps/3/new"));
        assert!(!matches("builds/29/*", "builds/28/new"));
        assert!(!matches("builds/2*/*", "builds/28/new"));
        assert!(!matches("", "builds/28/new"));
    }

    proptest! {
        #[test]
        fn what_matches_may_match(pattern in "([ab*]/){0,3}[ab*]", topic in "([ab]/){0,3}[ab]", known in any::<u8>()) {
            let elements: Vec<&str> = topic.split('/').collect();
            let slots: Vec<Slot<'_>> = elements
                .iter()
                .enumerate()
                .map(|(i, element)| if known & (1 << i) == 0 { Slot::Unknown } else { Slot::Known(element) })
                .collect();
            let pattern = TopicPattern::new(&pattern);
            prop_assert!(!pattern.matches(&elements) || pattern.may_match(&slots));
        }
    }
}
