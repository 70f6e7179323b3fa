//! Jobs that a running job adds to its run: a file of its own, checked like the configuration.

use std::path::Path;

use ironmaster_model::{
    Catalogue, JobDef,
    pipeline::graph::{self, GraphError},
};

use super::{named, report};
use crate::{
    Finding, Report, Severity,
    checker::{Checker, Section, Span},
    data::Form,
    data_form, keys,
    spelling::Spelling,
    suggest, toml_form,
    tree::{Data, Node, Table},
};

/// The largest file of jobs, in bytes.
pub const JOBS_FILE_BYTES_MAX: usize = 1 << 20;
/// How much the jobs of a file may come to once their matrices are multiplied out, in bytes: a small file can be a thousand times itself.
const MADE_BYTES_MAX: usize = 16 << 20;

/// So many findings are shown: the lines of a file that a program has written may be long, and all of it goes into a log.
const FINDINGS_MAX: usize = 20;

/// Reads jobs that are to be added to a run. What they are written in is told by the file's name. That what they need and ask for is
/// there is for the run to say.
pub fn read_jobs(name: &str, text: &str) -> Result<Vec<JobDef>, Report> {
    let catalogue = Catalogue::default();
    let mut checker = Checker::new(Spelling::Toml, Path::new("."), &catalogue);
    checker.sources.add(name.to_owned(), name.to_owned(), text.into());
    let jobs = jobs(&mut checker, name, text);
    let failed = checker.has_errors();
    let (mut report, ..) = checker.into_report();
    let more = report.findings.len().saturating_sub(FINDINGS_MAX);
    if more > 0 {
        report.findings.truncate(FINDINGS_MAX);
        report.findings.push(Finding {
            severity: Severity::Warning,
            code: "too_many",
            message: format!("{more} more findings are left out"),
            place: None,
            related: Vec::new(),
            help: Some("mend the first ones and try again".to_owned()),
        });
    }
    if failed { Err(report) } else { Ok(jobs) }
}

/// How the jobs stand in a file of one form: the key, and an example.
struct Shape {
    key: &'static str,
    example: &'static str,
}

fn jobs(checker: &mut Checker<'_>, name: &str, text: &str) -> Vec<JobDef> {
    let forms = [Form::Toml, Form::Json, Form::Yaml];
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let Some(form) = forms.into_iter().find(|form| form.endings().contains(&ending)) else {
        checker.error_help(
            "unreadable",
            Span::new(0, 0),
            format!("the name of `{name}` does not say what it is written in"),
            Some("let it end in `.toml`, `.json`, `.yaml` or `.yml`".to_owned()),
        );
        return Vec::new();
    };
    if text.len() > JOBS_FILE_BYTES_MAX {
        checker.error(
            "too_large",
            Span::new(0, 0),
            format!("`{name}` is larger than {} KiB", JOBS_FILE_BYTES_MAX >> 10),
        );
        return Vec::new();
    }
    let (shape, top) = if form == Form::Toml {
        let top = Node {
            data: Data::Table(toml_form::read(checker, text)),
            span: Span::new(0, 0),
        };
        let example = "write `[[job]]`, `name = \"part 1\"` and `builder = \"NAME\"`";
        (Shape { key: "job", example }, top)
    } else {
        let Some(top) = data_form::read(checker, form, text) else {
            return Vec::new();
        };
        let example = if form == Form::Json {
            "write `{\"jobs\": [{\"name\": \"part 1\", \"builder\": \"NAME\"}]}`"
        } else {
            "write `jobs:`, and below it `- {name: part 1, builder: NAME}`"
        };
        (Shape { key: "jobs", example }, top)
    };
    let Some(table) = top.as_table() else {
        checker.error_help(
            "wrong_type",
            top.span,
            format!(
                "the file must be a table with `{}`, not {}",
                shape.key,
                top.type_name()
            ),
            Some(shape.example.to_owned()),
        );
        return Vec::new();
    };
    in_table(checker, table, &shape)
}

fn in_table(checker: &mut Checker<'_>, table: &Table, shape: &Shape) -> Vec<JobDef> {
    for entry in table.entries.iter().filter(|entry| entry.name != shape.key) {
        checker.error_help(
            "unknown_key",
            entry.name_span,
            format!("there is nothing but `{}` in such a file", shape.key),
            suggest::help(&entry.name, [shape.key]).or_else(|| Some(shape.example.to_owned())),
        );
    }
    let Some(entry) = table.entry(shape.key) else {
        if !checker.broken && !checker.has_errors() {
            let message = format!("the file has no `{}`", shape.key);
            checker.error_help(
                "missing_key",
                Span::new(0, 0),
                message,
                Some(shape.example.to_owned()),
            );
        }
        return Vec::new();
    };
    let Some(items) = entry.node.as_list() else {
        checker.error_help(
            "wrong_type",
            entry.node.span,
            format!(
                "`{}` must be a list of jobs, not {}",
                shape.key,
                entry.node.type_name()
            ),
            Some(shape.example.to_owned()),
        );
        return Vec::new();
    };
    let sections: Vec<Section<'_>> = items
        .iter()
        .filter_map(|item| checker.as_section(item, "a job", &keys::JOB))
        .collect();
    let (jobs, places, complete) = named(checker, sections, "");
    if complete && !checker.has_errors() && !too_much(checker, &jobs, &places) {
        among_themselves(checker, &jobs, &places);
    }
    jobs
}

/// Reports it if the jobs come to more than a run should be given at once.
pub(super) fn too_much(checker: &mut Checker<'_>, jobs: &[JobDef], places: &[Section<'_>]) -> bool {
    let mut bytes = 0_usize;
    for (job, place) in jobs.iter().zip(places) {
        let count = job
            .matrix
            .iter()
            .fold(1_usize, |count, axis| count.saturating_mul(axis.values.len()));
        let one = serde_json::to_vec(job).map_or(usize::MAX, |text| text.len());
        bytes = bytes.saturating_add(one.saturating_mul(count));
        if bytes > MADE_BYTES_MAX {
            checker.error(
                "too_large",
                place.span,
                format!(
                    "the jobs up to this one come to more than {} MiB with their matrices multiplied out",
                    MADE_BYTES_MAX >> 20
                ),
            );
            return true;
        }
    }
    false
}

/// What is wrong with the jobs whatever the run has already.
fn among_themselves(checker: &mut Checker<'_>, jobs: &[JobDef], places: &[Section<'_>]) {
    let errors = graph::plan(jobs, &[]).err().unwrap_or_default();
    for error in errors {
        let of_the_run = matches!(
            error,
            GraphError::UnknownNeed { .. } | GraphError::NotNeeded { .. } | GraphError::TooLate { .. }
        );
        if let (false, Some(place)) = (of_the_run, places.get(error.job())) {
            report(checker, place, &jobs[error.job()], &error);
        }
    }
}
