//! Schedulers that time sets off.

use ironmaster_model::{ChangeFilter, Cron, Duration, FixedSource, NightlyDef, SchedulerKind, Zone};

use super::{filter, source};
use crate::{
    checker::{Checker, Section, Span},
    suggest,
    tree::{Data, Node},
};

pub(super) fn periodic(checker: &mut Checker<'_>, section: &Section<'_>) -> SchedulerKind {
    if !section.has("interval") {
        checker.missing(section, "interval", "write `interval = \"24h\"`");
    }
    let interval = checker
        .duration(section, "interval")
        .unwrap_or(Duration::from_secs(86_400));
    let source = source(checker, section);
    SchedulerKind::Periodic {
        interval,
        changes: changes(checker, section, &source),
        source,
    }
}

/// The keys of `nightly` and `nightly_triggerable`.
pub(super) fn nightly(checker: &mut Checker<'_>, section: &Section<'_>) -> NightlyDef {
    let zone = zone(checker, section);
    let source = source(checker, section);
    let daily = || Cron::parse("0 0 * * *").unwrap_or_else(|error| unreachable!("{error}"));
    NightlyDef {
        cron: times(checker, section).unwrap_or_else(daily),
        zone: zone.unwrap_or_else(|| "UTC".to_owned()),
        jitter: checker.duration(section, "jitter").unwrap_or(Duration::ZERO),
        force_at: checker
            .text(section, "force_at")
            .and_then(|text| cron(checker, &text.value, text.span)),
        changes: changes(checker, section, &source),
        source,
    }
}

/// The name of a time zone, as `time_zone` says it.
pub(crate) fn zone(checker: &mut Checker<'_>, section: &Section<'_>) -> Option<String> {
    let zone = checker.text(section, "time_zone");
    if let Some(zone) = &zone
        && Zone::named(&zone.value).is_none()
    {
        let names = Zone::names();
        let help = suggest::similar(&zone.value, names.iter().map(String::as_str)).map_or_else(
            || "it can be `UTC`, `Europe/Berlin`, or another name of the IANA database".to_owned(),
            suggest::did_you_mean,
        );
        checker.error_help(
            "unknown_value",
            zone.span,
            format!("there is no time zone `{}`", zone.value),
            Some(help),
        );
    }
    zone.map(|zone| zone.value)
}

/// Fields of a calendar that can be keys, too, with what they are where one of the others is given.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0"),
    ("hour", "*"),
    ("day_of_month", "*"),
    ("month", "*"),
    ("day_of_week", "*"),
];

/// When it is due: one expression, or fields as Buildbot has them.
fn times(checker: &mut Checker<'_>, section: &Section<'_>) -> Option<Cron> {
    let expression = checker.text(section, "cron");
    let first = FIELDS.iter().find_map(|(key, _)| section.key_span(key));
    match (&expression, first, section.key_span("cron")) {
        (_, Some(field), Some(whole)) => {
            checker.error_related(
                "conflict",
                field,
                format!("{} has both `cron` and fields of it", section.what),
                (whole, "first given here"),
                Some("keep `cron`".to_owned()),
            );
            return None;
        }
        (Some(text), None, _) => return cron(checker, &text.value, text.span),
        (None, None, Some(_)) => return None,
        (None, None, None) => {
            checker.missing(
                section,
                "cron",
                "write `cron = \"0 3 * * *\"` for three in the morning",
            );
            return None;
        }
        (_, Some(_), None) => {}
    }
    let mut fields = Vec::new();
    for (key, default) in FIELDS {
        fields.push(match section.get(key) {
            Some(value) => field(checker, key, value)?,
            None => default.to_owned(),
        });
    }
    cron(checker, &fields.join(" "), first.unwrap_or(section.span))
}

/// A field: a number, a list of numbers, or text in cron's notation. As in Buildbot, a *number* of a day of the week
/// counts from Monday, which is 0, and text is cron's, where Sunday is 0.
fn field(checker: &mut Checker<'_>, key: &str, value: &Node) -> Option<String> {
    let mut one = |item: &Node| match &item.data {
        Data::Integer(Some(number), _) if key == "day_of_week" && (0..7).contains(number) => {
            Some(((number + 1) % 7).to_string())
        }
        Data::Integer(Some(number), _) if key != "day_of_week" => Some(number.to_string()),
        Data::Integer(_, shown) => {
            checker.error(
                "out_of_range",
                item.span,
                format!("`{key}` is {shown}, but must be from 0 (Monday) to 6 (Sunday)"),
            );
            None
        }
        Data::Text(text) if !text.trim().is_empty() && !text.contains(char::is_whitespace) => {
            Some(text.clone())
        }
        _ => {
            checker.wrong_type(
                key,
                item,
                "a whole number, a list of them, or text such as \"1-5\"",
            );
            None
        }
    };
    match &value.data {
        Data::List(items) => {
            let items: Vec<String> = items.iter().map(&mut one).collect::<Option<_>>()?;
            if items.is_empty() {
                checker.error("empty", value.span, format!("`{key}` is an empty list"));
                return None;
            }
            Some(items.join(","))
        }
        _ => one(value),
    }
}

fn cron(checker: &mut Checker<'_>, text: &str, span: Span) -> Option<Cron> {
    match Cron::parse(text) {
        Ok(cron) => Some(cron),
        Err(error) => {
            checker.error("bad_cron", span, format!("`{text}` is not a time: {error}"));
            None
        }
    }
}

/// Which changes make it build, if it only builds what has changed: those of its source, filtered further.
fn changes(checker: &mut Checker<'_>, section: &Section<'_>, source: &FixedSource) -> Option<ChangeFilter> {
    let mut filter = filter::common(checker, section);
    if checker.boolean(section, "only_if_changed") != Some(true) {
        if let Some(key) = filter::first_key(section) {
            let span = section.key_span(key).unwrap_or(section.span);
            checker.error_help(
                "conflict",
                span,
                format!("`{key}` means nothing to a scheduler that builds in any case"),
                Some(format!(
                    "write `only_if_changed = {}` beside it",
                    checker.spelling.pick("true", "True")
                )),
            );
        }
        return None;
    }
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    filter.branches = source.branch.iter().map(|branch| literal(branch)).collect();
    filter.repositories = given(&source.repository).into_iter().collect();
    filter.projects = given(&source.project).into_iter().collect();
    filter.codebases = given(&source.codebase).into_iter().collect();
    Some(filter)
}

/// A branch's name as the glob that matches it alone.
fn literal(branch: &str) -> String {
    let mut glob = String::new();
    for c in branch.chars() {
        if "*?[]{}\\".contains(c) {
            glob.push('\\');
        }
        glob.push(c);
    }
    glob
}
