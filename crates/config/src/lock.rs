//! The sections `[[lock]]`, and the uses of locks by builders and steps.

use std::collections::{BTreeMap, BTreeSet};

use ironmaster_model::{LockAccess, LockDef, LockScope, LockUse};

use crate::{
    checker::{Checker, Section, Span, Text},
    keys, suggest,
    worker::Workers,
};

/// The locks, with the places of their names.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    pub(crate) defs: BTreeMap<String, LockDef>,
    pub(crate) places: BTreeMap<String, Span>,
}

/// Reads all locks.
pub(crate) fn read(checker: &mut Checker<'_>, top: &Section<'_>, workers: &Workers) -> Locks {
    let mut locks = Locks::default();
    for mut section in checker.sections(top.get("lock"), "a lock", &keys::LOCK) {
        let name = checker.text(&section, "name");
        if let Some(name) = &name {
            section.what = format!("lock `{}`", name.value);
            checker.identifier("a lock", name);
        } else if !section.has("name") {
            checker.missing(&section, "name", "write `name = \"database\"`");
        }
        checker.unknown_keys(&section, &[]);
        let scopes = [("master", LockScope::Master), ("worker", LockScope::Worker)];
        let scope = checker.choice(&section, "scope", &scopes);
        if !section.has("scope") {
            checker.missing(&section, "scope", "write `scope = \"master\"`");
        }
        let max_count = checker
            .integer(&section, "max_count")
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(1);
        let worker_counts = worker_counts(checker, &section, workers);
        if let (Some(LockScope::Master), Some(span)) = (scope, section.key_span("worker_counts")) {
            checker.error_help(
                "conflict",
                span,
                "`worker_counts` is only for locks of workers",
                Some("write `scope = \"worker\"`".to_owned()),
            );
        }
        let (Some(name), Some(scope)) = (name, scope) else {
            continue;
        };
        if let Some(first) = locks.places.get(&name.value) {
            let first = *first;
            checker.duplicate("lock", &name, first);
            continue;
        }
        locks.places.insert(name.value.clone(), name.span);
        let def = LockDef {
            name: name.value.clone(),
            scope,
            max_count,
            worker_counts,
        };
        locks.defs.insert(name.value, def);
    }
    locks
}

fn worker_counts(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    workers: &Workers,
) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    let Some(table) = section.get("worker_counts").and_then(|value| value.as_table()) else {
        // Says what is wrong with it, if it is there.
        checker.json_table(section, "worker_counts");
        return counts;
    };
    for entry in &table.entries {
        if !workers.defs.contains_key(&entry.name) && !checker.broken {
            let help = suggest::help(&entry.name, workers.defs.keys().map(String::as_str));
            let message = format!("there is no worker `{}`", entry.name);
            checker.error_help("unknown_worker", entry.name_span, message, help);
        }
        let count = checker.integer_value("worker_counts", &entry.node, 1..=100_000);
        if let Some(count) = count.and_then(|count| u32::try_from(count).ok()) {
            counts.insert(entry.name.clone(), count);
        }
    }
    counts
}

/// A use of a lock with its place.
#[derive(Clone, Debug)]
pub(crate) struct PlacedUse {
    pub(crate) used: LockUse,
    pub(crate) span: Span,
}

/// Reads what locks a builder uses, or a step of it. `machines` are the workers that may run it, `own` the locks of the builder
/// that a step is of.
pub(crate) fn uses(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    locks: &Locks,
    machines: &BTreeSet<String>,
    own: Option<&[PlacedUse]>,
) -> Vec<PlacedUse> {
    let mut uses: Vec<PlacedUse> = Vec::new();
    for text in checker.texts(section, "locks").unwrap_or_default() {
        let Some(used) = one(checker, &text) else {
            continue;
        };
        let Some(def) = locks.defs.get(&used.name) else {
            if !checker.broken {
                let help = suggest::help(&used.name, locks.defs.keys().map(String::as_str))
                    .or_else(|| Some("define it in a section `[[lock]]`".to_owned()));
                let message = format!("there is no lock `{}`", used.name);
                checker.error_help("unknown_lock", text.span, message, help);
            }
            continue;
        };
        let span = text.span;
        if let Some(other) = uses.iter().find(|other| other.used.name == used.name) {
            let message = format!("{} uses lock `{}` twice", section.what, used.name);
            let help = format!("write `{}:2` for two of its count", used.name);
            checker.error_related(
                "duplicate",
                span,
                message,
                (other.span, "first used here"),
                Some(help),
            );
            continue;
        }
        if let Some(other) = own
            .into_iter()
            .flatten()
            .find(|other| other.used.name == used.name)
        {
            let message = format!(
                "{} would wait for lock `{}` that its own build holds",
                section.what, used.name
            );
            let help =
                "take it out of the step, which runs under it anyway, or out of the builder".to_owned();
            checker.error_related(
                "deadlock",
                span,
                message,
                (other.span, "held from here on"),
                Some(help),
            );
            continue;
        }
        impossible(checker, &used, span, def, machines);
        uses.push(PlacedUse { used, span });
    }
    uses
}

/// `NAME`, `NAME:2`, `NAME:exclusive`; any of them with `:keep` behind it.
fn one(checker: &mut Checker<'_>, text: &Text) -> Option<LockUse> {
    let mut parts = text.value.split(':');
    let mut used = LockUse::counting(parts.next().unwrap_or_default(), 1);
    let mut wrong = None;
    for (at, part) in parts.enumerate() {
        match part {
            "exclusive" if at == 0 => used.access = LockAccess::Exclusive,
            "keep" if !used.keep => used.keep = true,
            number if at == 0 => match number.parse() {
                Ok(count) if count > 0 => used.access = LockAccess::Counting(count),
                _ => wrong = Some("behind the name stands a count from 1, or `exclusive`"),
            },
            _ => wrong = Some("it has too many parts"),
        }
    }
    if let Some(wrong) = wrong {
        let message = format!("`{}` says no use of a lock: {wrong}", text.value);
        let help = "write `NAME`, `NAME:2` or `NAME:exclusive`".to_owned();
        checker.error_help("bad_lock_use", text.span, message, Some(help));
        return None;
    }
    Some(used)
}

/// Reports a use of more than there is.
fn impossible(
    checker: &mut Checker<'_>,
    used: &LockUse,
    span: Span,
    def: &LockDef,
    machines: &BTreeSet<String>,
) {
    let LockAccess::Counting(count) = used.access else {
        return;
    };
    let too_few = match def.scope {
        LockScope::Master => (count > def.max_count).then(String::new),
        LockScope::Worker => machines
            .iter()
            .find(|worker| count > def.count_on(worker))
            .map(|worker| format!(" on worker `{worker}`")),
    };
    if let Some(place) = too_few {
        let max = if place.is_empty() {
            def.max_count
        } else {
            let few = machines.iter().map(|worker| def.count_on(worker)).min();
            few.unwrap_or(def.max_count)
        };
        checker.error_help(
            "impossible_count",
            span,
            format!(
                "{count} of lock `{}` can never be had{place}: there is {max}",
                used.name
            ),
            Some(format!("for all of it write `{}:exclusive`", used.name)),
        );
    }
}

/// While builds of a builder hold one lock, a step of theirs waits for another.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) builder: String,
    pub(crate) held: String,
    pub(crate) wanted: String,
    pub(crate) span: Span,
}

/// Warns of orders of locks that can make builds wait for each other for ever, and of locks that nobody uses.
pub(crate) fn cross_check(
    checker: &mut Checker<'_>,
    locks: &Locks,
    used: &BTreeSet<String>,
    orders: &[Order],
) {
    for (name, place) in &locks.places {
        if !used.contains(name) {
            let message = format!("no builder or step uses lock `{name}`");
            checker.warning(
                "unused_lock",
                *place,
                message,
                "name it in the `locks` of a builder or a step",
            );
        }
    }
    let mut told: BTreeSet<BTreeSet<&str>> = BTreeSet::new();
    for order in orders {
        let Some(way) = way(orders, &order.wanted, &order.held) else {
            continue;
        };
        let involved = way
            .iter()
            .map(|step| step.held.as_str())
            .chain([order.held.as_str()]);
        if !told.insert(involved.collect()) {
            continue;
        }
        let others: Vec<String> = way
            .iter()
            .map(|other| {
                format!(
                    "builds of `{}` hold `{}` and wait for `{}`",
                    other.builder, other.held, other.wanted
                )
            })
            .collect();
        let message = format!(
            "a deadlock is possible: builds of `{}` hold lock `{}` and wait here for `{}`, {}",
            order.builder,
            order.held,
            order.wanted,
            others.join(", ")
        );
        checker.warning(
            "lock_order",
            order.span,
            message,
            "let all of them take the locks in the same order, or take all in the builder",
        );
    }
}

/// The shortest way from holding one lock to waiting for the other.
fn way<'o>(orders: &'o [Order], from: &str, to: &str) -> Option<Vec<&'o Order>> {
    let mut ways: Vec<Vec<&Order>> = orders
        .iter()
        .filter(|order| order.held == from)
        .map(|order| vec![order])
        .collect();
    let mut seen = BTreeSet::from([from.to_owned()]);
    let mut at = 0;
    while at < ways.len() {
        let last = ways[at][ways[at].len() - 1];
        if last.wanted == to {
            return Some(ways.swap_remove(at));
        }
        if seen.insert(last.wanted.clone()) {
            for next in orders.iter().filter(|order| order.held == last.wanted) {
                let mut further = ways[at].clone();
                further.push(next);
                ways.push(further);
            }
        }
        at += 1;
    }
    None
}
