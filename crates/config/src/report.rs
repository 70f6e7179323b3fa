//! Findings: what is wrong with a configuration, where, and what to do about it.

use std::{collections::BTreeMap, fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};
use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but probably does not do what was meant.
    Warning,
}

/// A place in a file of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, as it was named.
    pub file: String,
    /// Bytes from the start of the file.
    pub span: Range<usize>,
    /// Line of the first byte, from 1.
    pub line: usize,
    /// Column of the first byte in characters, from 1.
    pub column: usize,
}

/// Another place that a finding has to do with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    /// Where.
    pub place: Place,
    /// What is there (`first defined here`).
    pub message: String,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A short stable name (`unknown_key`), for tools.
    pub code: &'static str,
    /// What is wrong, in one sentence.
    pub message: String,
    /// Where; none if it is about no place in a file.
    pub place: Option<Place>,
    /// Other places that have to do with it.
    pub related: Vec<Related>,
    /// What to do.
    pub help: Option<String>,
}

impl Finding {
    /// The file that it is about; empty if it is about none.
    pub(crate) fn file(&self) -> &str {
        self.place.as_ref().map_or("", |place| &place.file)
    }
}

/// All that is wrong with a configuration, in the order of the file. As `Display` it is what a person reads,
/// without colour.
///
/// The texts of the files that it shows excerpts of have their secrets masked.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The findings, by place.
    pub findings: Vec<Finding>,
    /// Masked text of each file by its name.
    #[serde(skip)]
    pub(crate) sources: BTreeMap<String, String>,
}

impl Report {
    /// Whether the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// How many findings of that severity there are.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }

    /// The report for people: each finding with file, line and caret; ends with a summary line. Empty if
    /// there are no findings.
    pub fn render(&self, color: bool) -> String {
        if self.findings.is_empty() {
            return String::new();
        }
        let renderer = if color {
            Renderer::styled().decor_style(DecorStyle::Ascii)
        } else {
            Renderer::plain()
        };
        let mut out = String::new();
        for finding in &self.findings {
            out.push_str(&renderer.render(&self.groups(finding)));
            out.push_str("\n\n");
        }
        out.push_str(&self.summary());
        out.push('\n');
        out
    }

    /// The last line: `2 errors, 1 warning`.
    pub fn summary(&self) -> String {
        let plural = |count: usize, word: &str| match count {
            0 => None,
            1 => Some(format!("1 {word}")),
            more => Some(format!("{more} {word}s")),
        };
        let parts: Vec<_> = [
            plural(self.count(Severity::Error), "error"),
            plural(self.count(Severity::Warning), "warning"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if parts.is_empty() {
            "no findings".to_owned()
        } else {
            parts.join(", ")
        }
    }

    fn groups<'a>(&'a self, finding: &'a Finding) -> Vec<Group<'a>> {
        let level = match finding.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&finding.message).id(finding.code);
        let mut group = match &finding.place {
            None => Group::with_title(title),
            Some(place) => {
                let (here, elsewhere): (Vec<&Related>, Vec<&Related>) = finding
                    .related
                    .iter()
                    .partition(|related| related.place.file == place.file);
                let places = here.iter().map(|related| &related.place).chain([place]);
                let excerpt = self.excerpt(place, places);
                let mut primary = excerpt
                    .snippet(place)
                    .annotation(AnnotationKind::Primary.span(excerpt.span(place)));
                for related in here {
                    let annotation = AnnotationKind::Context.span(excerpt.span(&related.place));
                    primary = primary.annotation(annotation.label(&related.message));
                }
                let others = elsewhere.into_iter().map(|related| {
                    let excerpt = self.excerpt(&related.place, [&related.place].into_iter());
                    let annotation = AnnotationKind::Context.span(excerpt.span(&related.place));
                    excerpt
                        .snippet(&related.place)
                        .annotation(annotation.label(&related.message))
                });
                title.element(primary).elements(others)
            }
        };
        if let Some(help) = &finding.help {
            group = group.element(Level::HELP.message(help));
        }
        vec![group]
    }

    /// The lines from the first of `places`, which are all in the file of `place`, to the last. The renderer reads
    /// all that it is given, for each finding, so a large file is not given to it whole.
    fn excerpt<'a>(&'a self, place: &Place, places: impl Iterator<Item = &'a Place>) -> Excerpt<'a> {
        let text = self.sources.get(&place.file).map_or("", String::as_str);
        let mut first = (text.len(), usize::MAX);
        let mut last = 0;
        for place in places {
            first = first.min((place.span.start, place.line));
            last = last.max(place.span.end).min(text.len());
        }
        let at = first.0.min(text.len());
        let start = text
            .get(..at)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |end| end + 1);
        let end = text
            .get(last..)
            .and_then(|after| after.find('\n'))
            .map_or(text.len(), |end| last + end);
        Excerpt {
            text: text.get(start..end).unwrap_or_default(),
            start,
            line: if first.1 == usize::MAX { 1 } else { first.1 },
        }
    }
}

/// Some lines of a file.
struct Excerpt<'a> {
    text: &'a str,
    /// Where they begin, in bytes.
    start: usize,
    /// Number of the first line.
    line: usize,
}

impl<'a> Excerpt<'a> {
    fn snippet(&self, place: &'a Place) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        Snippet::source(self.text).line_start(self.line).path(&place.file)
    }

    /// A place as a range of these lines, whatever was given.
    fn span(&self, place: &Place) -> Range<usize> {
        let within = |at: usize| at.saturating_sub(self.start).min(self.text.len());
        let start = within(place.span.start);
        start..within(place.span.end).max(start)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Only the findings: the texts would make it unreadable.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.findings).finish()
    }
}

impl std::error::Error for Report {}
