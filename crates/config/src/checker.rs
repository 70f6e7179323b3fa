//! What every part of the check works with: a table of the configuration with its places, and the list of findings.
//! Reading goes on after a mistake, so that all of them are found at once. `values` has the typed access to keys,
//! `grammar` the texts that have a grammar of their own.

use std::{collections::BTreeMap, path::Path};

use ironmaster_model::Catalogue;

pub(crate) use crate::sources::Span;
use crate::{
    callbacks::{BuilderFunctions, Function},
    keys::{Key, SectionKeys},
    mask,
    report::{Finding, Related, Report, Severity},
    sources::Sources,
    spelling::Spelling,
    suggest,
    tree::{Node, Table},
};

/// More findings than this are counted but not kept.
const FINDINGS_MAX: usize = 500;

/// More findings than this of one sort at one place are counted but not kept: a loop makes the same mistake again
/// and again.
const ALIKE_MAX: usize = 3;

/// A text of the configuration with its place.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) span: Span,
}

/// A table of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Section<'t> {
    pub(crate) table: &'t Table,
    /// Its header, the whole of an inline table, or the call that made it.
    pub(crate) span: Span,
    /// How messages call it: `worker "linux-1"`.
    pub(crate) what: String,
    /// How messages call what is in it: `key`, or `section` at the top.
    pub(crate) parts: &'static str,
    /// Where its keys are described.
    pub(crate) keys: Vec<&'static SectionKeys>,
}

impl<'t> Section<'t> {
    pub(crate) fn get(&self, key: &str) -> Option<&'t Node> {
        self.table.entry(key).map(|entry| &entry.node)
    }

    /// Where the value of a key is; the section where there is none.
    pub(crate) fn value_span(&self, key: &str) -> Span {
        self.get(key).map_or(self.span, |value| value.span)
    }

    pub(crate) fn key_span(&self, key: &str) -> Option<Span> {
        self.table.entry(key).map(|entry| entry.name_span)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// What is said of a key.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find_map(|section| section.key(name))
    }
}

/// The state of one check.
pub(crate) struct Checker<'c> {
    pub(crate) sources: Sources,
    pub(crate) spelling: Spelling,
    pub(crate) base_dir: &'c Path,
    pub(crate) catalogue: &'c Catalogue,
    findings: Vec<(Span, Finding)>,
    left_out: usize,
    /// Values that must not be shown: where they stand, and what they are.
    secrets: Vec<Span>,
    secret_values: Vec<String>,
    /// SHA-256 of each token, by whose it is.
    pub(crate) tokens: BTreeMap<String, String>,
    /// Functions that filter changes, by the scheduler's name.
    pub(crate) change_filters: BTreeMap<String, Function>,
    /// Functions that say priorities, by the scheduler's name.
    pub(crate) priorities: BTreeMap<String, Function>,
    /// Functions that are asked about builders, by the builder's name.
    pub(crate) builder_functions: BTreeMap<String, BuilderFunctions>,
    /// Names of schedulers that steps trigger.
    pub(crate) triggered: Vec<Text>,
    /// Whether it is the file of a repository, and not the configuration.
    pub(crate) of_repository: bool,
    /// Whether the text is broken, so that what seems to be missing may stand in the broken part.
    pub(crate) broken: bool,
}

impl<'c> Checker<'c> {
    pub(crate) fn new(spelling: Spelling, base_dir: &'c Path, catalogue: &'c Catalogue) -> Self {
        Self {
            sources: Sources::default(),
            spelling,
            base_dir,
            catalogue,
            findings: Vec::new(),
            left_out: 0,
            secrets: Vec::new(),
            secret_values: Vec::new(),
            tokens: BTreeMap::new(),
            change_filters: BTreeMap::new(),
            priorities: BTreeMap::new(),
            builder_functions: BTreeMap::new(),
            triggered: Vec::new(),
            of_repository: false,
            broken: false,
        }
    }

    /// The report, and masked copies of the texts by their identity.
    pub(crate) fn into_report(mut self) -> (Report, Vec<(String, String)>, Sources) {
        let mut spans: Vec<Vec<_>> = vec![Vec::new(); self.sources.files.len()];
        for span in &self.secrets {
            if let Some(at) = self.sources.file(*span).and_then(|file| {
                self.sources
                    .files
                    .iter()
                    .position(|other| other.base == file.base)
            }) {
                spans[at].push(self.sources.range(*span));
            }
        }
        let texts: Vec<(&str, Vec<_>)> = self
            .sources
            .files
            .iter()
            .zip(spans)
            .map(|(file, spans)| (&*file.text, spans))
            .collect();
        let masked = mask::mask(&texts, &self.secret_values);
        self.findings.sort_by_key(|(span, _)| span.start);
        if self.left_out > 0 {
            let message = format!("{} more findings are left out", self.left_out);
            let finding = Finding {
                severity: Severity::Warning,
                code: "too_many",
                message,
                place: None,
                related: Vec::new(),
                help: Some("mend the first ones and check again".to_owned()),
            };
            self.findings.push((Span::default(), finding));
        }
        // A message may quote what stands at its place; where that is masked, so is the message.
        for (span, finding) in &mut self.findings {
            let file = self
                .sources
                .files
                .iter()
                .position(|file| file.name == finding.file());
            let (Some(at), quoted) = (file, self.sources.text(*span)) else {
                continue;
            };
            let shown = masked.texts[at]
                .get(self.sources.range(*span))
                .unwrap_or_default();
            if shown != quoted {
                finding.message = finding.message.replace(quoted, shown);
                finding.help = finding.help.take().map(|help| help.replace(quoted, shown));
            }
        }
        // It may quote a value from elsewhere, too.
        for (_, finding) in &mut self.findings {
            finding.message = masked.values.hide(std::mem::take(&mut finding.message));
            finding.help = finding.help.take().map(|help| masked.values.hide(help));
        }
        let files = &self.sources.files;
        let report = Report {
            findings: self.findings.into_iter().map(|(_, finding)| finding).collect(),
            sources: files
                .iter()
                .zip(&masked.texts)
                .map(|(file, text)| (file.name.clone(), text.clone()))
                .collect(),
        };
        let texts = files
            .iter()
            .zip(masked.texts)
            .map(|(file, text)| (file.identity.clone(), text))
            .collect();
        (report, texts, self.sources)
    }

    // Findings.

    pub(crate) fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.add(Severity::Error, code, span, message.into(), None, Vec::new());
    }

    pub(crate) fn error_help(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.add(Severity::Error, code, span, message.into(), help, Vec::new());
    }

    pub(crate) fn warning(&mut self, code: &'static str, span: Span, message: impl Into<String>, help: &str) {
        let help = Some(help.to_owned());
        self.add(Severity::Warning, code, span, message.into(), help, Vec::new());
    }

    /// Reports that something has the same name as something before it.
    pub(crate) fn duplicate(&mut self, what: &str, name: &Text, first: Span) {
        self.error_related(
            "duplicate",
            name.span,
            format!("{what} `{}` is defined twice", name.value),
            (first, "first defined here"),
            None,
        );
    }

    /// Reports an error that has to do with a second place.
    pub(crate) fn error_related(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        related: (Span, &str),
        help: Option<String>,
    ) {
        self.error_with(
            code,
            span,
            message.into(),
            help,
            vec![(related.0, related.1.to_owned())],
        );
    }

    /// Reports an error that has to do with other places.
    pub(crate) fn error_with(
        &mut self,
        code: &'static str,
        span: Span,
        message: String,
        help: Option<String>,
        related: Vec<(Span, String)>,
    ) {
        let related = related
            .into_iter()
            .filter_map(|(span, message)| {
                let place = self.sources.place(span)?;
                Some(Related { place, message })
            })
            .collect();
        self.add(Severity::Error, code, span, message, help, related);
    }

    /// Reports that a key is missing, unless the file is broken and it may be there, or an unknown key was
    /// taken for it.
    pub(crate) fn missing(&mut self, section: &Section<'_>, key: &str, help: impl Into<String>) {
        if self.broken || self.is_full() {
            return;
        }
        let key = self.shown(section, key);
        let meant = Some(suggest::did_you_mean(&key));
        let misspelt = self.findings.iter().any(|(span, finding)| {
            finding.code == "unknown_key"
                && finding.help == meant
                && (section.span.holds(*span)
                    || section.table.entries.iter().any(|entry| entry.name_span == *span))
        });
        if !misspelt {
            self.error_help(
                "missing_key",
                section.span,
                format!("{} has no `{key}`", section.what),
                Some(help.into()),
            );
        }
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: Span,
        message: String,
        help: Option<String>,
        mut related: Vec<Related>,
    ) {
        let same = |(other, finding): &&(Span, Finding)| {
            finding.code == code && (other.start, other.end) == (span.start, span.end)
        };
        let in_a_loop =
            self.spelling == Spelling::Starlark && self.findings.iter().filter(same).count() >= ALIKE_MAX;
        if self.findings.len() >= FINDINGS_MAX || in_a_loop {
            self.left_out += 1;
            return;
        }
        for call in self.sources.calls(span) {
            if let Some(place) = self.sources.place(*call) {
                let message = "called from here".to_owned();
                related.push(Related { place, message });
            }
        }
        let finding = Finding {
            severity,
            code,
            message,
            place: self.sources.place(span),
            related,
            help,
        };
        self.findings.push((span, finding));
    }

    /// Whether there are so many findings that no more are kept; one that would have been is counted.
    pub(crate) fn is_full(&mut self) -> bool {
        let full = self.findings.len() >= FINDINGS_MAX;
        self.left_out += usize::from(full);
        full
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.findings
            .iter()
            .any(|(_, finding)| finding.severity == Severity::Error)
    }

    /// Marks a value that must not be shown.
    pub(crate) fn secret(&mut self, node: &Node) {
        self.secrets.push(node.span);
        if let Some(text) = node.as_str() {
            self.secret_values.push(text.to_owned());
        }
    }
}
