//! From definitions of jobs to the jobs of a run: matrices are multiplied out, names become numbers, cycles are found.
//!
//! Every function here takes time in proportion to jobs and needs, and none calls itself.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use super::{JOBS_MAX, JobDef, JobWork, NEEDS_MAX};
use crate::properties::render;

/// A job as it will be in a run.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedJob {
    /// Unique name.
    pub name: String,
    /// Name of its definition.
    pub group: String,
    /// Its values on each axis.
    pub matrix: BTreeMap<String, Value>,
    /// Its definition with the matrix' values filled in.
    pub definition: Arc<JobDef>,
    /// Numbers of the jobs that it needs, ascending.
    pub needs: Vec<u32>,
}

/// A job that a run has already.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its name.
    pub name: &'a str,
    /// Name of its definition.
    pub group: &'a str,
    /// What it needs.
    pub needs: &'a [u32],
    /// Whether it has started, or never will: nothing can be added to what it needs.
    pub settled: bool,
}

/// New jobs, and what they do to those that were there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Planned {
    /// The new ones, numbered from the number of known ones on.
    pub jobs: Vec<PlannedJob>,
    /// Known ones that need more than before, with everything that they need now.
    pub needs: BTreeMap<u32, Vec<u32>>,
}

/// What is wrong with the definitions of jobs. `job` is a place in the list of definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GraphError {
    /// Two jobs have one name.
    Duplicate {
        /// The later one.
        job: usize,
        /// The name.
        name: String,
    },
    /// A job needs one that is not there, or itself.
    UnknownNeed {
        /// The job.
        job: usize,
        /// `needs` or `needed_by`.
        key: &'static str,
        /// The name.
        need: String,
        /// All names that there are, for suggestions.
        names: Vec<String>,
    },
    /// A condition is about the result of a job that is not needed.
    NotNeeded {
        /// The job.
        job: usize,
        /// The name.
        need: String,
    },
    /// A job is needed by one that has started already.
    TooLate {
        /// The job.
        job: usize,
        /// The one that has started.
        name: String,
    },
    /// A `%(matrix:…)s` that cannot be filled in.
    BadTemplate {
        /// The job.
        job: usize,
        /// What is wrong.
        message: String,
    },
    /// A matrix that leaves no combination.
    EmptyMatrix {
        /// The job.
        job: usize,
    },
    /// Jobs that need one another.
    Cycle {
        /// One of them.
        job: usize,
        /// Names from one need to the next, and back to the first.
        path: Vec<String>,
    },
    /// Too many jobs, or too many needs.
    TooMany {
        /// Where the limit was passed.
        job: usize,
        /// What there is too much of.
        what: String,
    },
}

impl GraphError {
    /// The place of the definition it is about.
    pub fn job(&self) -> usize {
        match self {
            GraphError::Duplicate { job, .. }
            | GraphError::UnknownNeed { job, .. }
            | GraphError::NotNeeded { job, .. }
            | GraphError::TooLate { job, .. }
            | GraphError::BadTemplate { job, .. }
            | GraphError::EmptyMatrix { job }
            | GraphError::Cycle { job, .. }
            | GraphError::TooMany { job, .. } => *job,
        }
    }
}

impl std::fmt::Display for GraphError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GraphError::Duplicate { name, .. } => write!(f, "there are two jobs `{name}`"),
            GraphError::UnknownNeed { key, need, .. } => {
                write!(f, "`{key}` names `{need}`, and there is no such job")
            }
            GraphError::NotNeeded { need, .. } => {
                write!(
                    f,
                    "a condition is about the result of `{need}`, which the job does not need"
                )
            }
            GraphError::TooLate { name, .. } => {
                write!(
                    f,
                    "`needed_by` names `{name}`, which does not wait any more: nothing can be added to what it needs"
                )
            }
            GraphError::BadTemplate { message, .. } => f.write_str(message),
            GraphError::EmptyMatrix { .. } => f.write_str("the matrix leaves no job"),
            GraphError::Cycle { path, .. } => {
                write!(f, "jobs need one another: {}", path.join(" needs "))
            }
            GraphError::TooMany { what, .. } => f.write_str(what),
        }
    }
}

impl std::error::Error for GraphError {}

/// Plans `definitions` beside the jobs that a run has. All that is wrong is reported, cycles only if nothing else is.
pub fn plan(definitions: &[JobDef], known: &[Known<'_>]) -> Result<Planned, Vec<GraphError>> {
    let mut errors = Vec::new();
    let jobs = instances(definitions, known.len(), &mut errors);
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut twice: HashSet<usize> = HashSet::new();
    for (job, definition) in definitions.iter().enumerate() {
        if first.insert(&definition.name, job).is_some() && twice.insert(job) {
            errors.push(GraphError::Duplicate {
                job,
                name: definition.name.clone(),
            });
        }
    }
    // Names of single jobs, and those of whole matrices.
    let mut numbers: HashMap<&str, Vec<u32>> = HashMap::new();
    let mut groups: HashMap<&str, Vec<u32>> = HashMap::new();
    let all = known.iter().map(|known| (known.name, known.group)).chain(
        jobs.iter()
            .map(|(_, job)| (job.name.as_str(), job.group.as_str())),
    );
    for (number, (name, group)) in (0_u32..).zip(all) {
        let same = numbers.entry(name).or_default();
        if let (false, Some(at)) = (same.is_empty(), (number as usize).checked_sub(known.len())) {
            // Definitions of one name are told of already.
            if twice.insert(jobs[at].0) {
                errors.push(GraphError::Duplicate {
                    job: jobs[at].0,
                    name: name.to_owned(),
                });
            }
        }
        same.push(number);
        if name != group {
            groups.entry(group).or_default().push(number);
        }
    }
    // The name of a single job goes before that of a matrix.
    let find = |name: &str| numbers.get(name).or_else(|| groups.get(name)).map(Vec::as_slice);
    let mut needs: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); known.len() + jobs.len()];
    let mut more: BTreeSet<u32> = BTreeSet::new();
    let mut told: HashSet<(usize, &String)> = HashSet::new();
    let mut count = 0;
    for (index, (definition, job)) in jobs.iter().enumerate() {
        let number = (known.len() + index) as u32;
        for (key, names) in [
            ("needs", &job.definition.needs),
            ("needed_by", &job.definition.needed_by),
        ] {
            for name in names {
                let found = find(name).filter(|found| !found.contains(&number));
                let Some(found) = found else {
                    // Once for all jobs of a matrix.
                    if told.insert((*definition, name)) {
                        errors.push(GraphError::UnknownNeed {
                            job: *definition,
                            key,
                            need: name.clone(),
                            names: groups
                                .keys()
                                .chain(numbers.keys())
                                .map(|name| (*name).to_owned())
                                .collect(),
                        });
                    }
                    continue;
                };
                count += found.len();
                if count > NEEDS_MAX {
                    errors.push(GraphError::TooMany {
                        job: *definition,
                        what: format!(
                            "the jobs have more than {NEEDS_MAX} needs in all; let some need a job without work \
                             that joins others"
                        ),
                    });
                    return Err(errors);
                }
                if key == "needs" {
                    needs[number as usize].extend(found);
                    continue;
                }
                for other in found {
                    if let Some(settled) = known.get(*other as usize).filter(|known| known.settled) {
                        errors.push(GraphError::TooLate {
                            job: *definition,
                            name: settled.name.to_owned(),
                        });
                    }
                    if (*other as usize) < known.len() {
                        more.insert(*other);
                    }
                    needs[*other as usize].insert(number);
                }
            }
        }
    }
    for (index, (definition, job)) in jobs.iter().enumerate() {
        let own = &needs[known.len() + index];
        let conditions = [&job.definition.when, &job.definition.unless];
        for need in conditions
            .into_iter()
            .flatten()
            .flat_map(|when| when.results.keys())
        {
            let is_needed = find(need).is_some_and(|found| found.iter().all(|number| own.contains(number)));
            if !is_needed {
                errors.push(GraphError::NotNeeded {
                    job: *definition,
                    need: need.clone(),
                });
            }
        }
    }
    for (number, known) in known.iter().enumerate() {
        needs[number].extend(known.needs);
    }
    if errors.is_empty()
        && let Some(cycle) = cycle(&needs)
    {
        let name = |number: u32| match (number as usize).checked_sub(known.len()) {
            Some(at) => jobs[at].1.name.clone(),
            None => known[number as usize].name.to_owned(),
        };
        // At least one of them is new: what was there had no cycle.
        let job = cycle
            .iter()
            .find_map(|number| (*number as usize).checked_sub(known.len()))
            .map_or(0, |at| jobs[at].0);
        errors.push(GraphError::Cycle {
            job,
            path: cycle.into_iter().map(name).collect(),
        });
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut planned = Planned::default();
    for number in more {
        planned
            .needs
            .insert(number, needs[number as usize].iter().copied().collect());
    }
    for ((_, mut job), needs) in jobs.into_iter().zip(needs.into_iter().skip(known.len())) {
        job.needs = needs.into_iter().collect();
        planned.jobs.push(job);
    }
    Ok(planned)
}

/// Every job with its matrix multiplied out, with the place of its definition.
fn instances(definitions: &[JobDef], known: usize, errors: &mut Vec<GraphError>) -> Vec<(usize, PlannedJob)> {
    let mut jobs = Vec::new();
    for (index, definition) in definitions.iter().enumerate() {
        let before = jobs.len();
        // Counts through all combinations like an odometer, the last axis fastest.
        let mut at = vec![0_usize; definition.matrix.len()];
        loop {
            let values: BTreeMap<String, Value> = std::iter::zip(&definition.matrix, &at)
                .filter_map(|(axis, at)| Some((axis.name.clone(), axis.values.get(*at)?.clone())))
                .collect();
            let excluded = values.len() < definition.matrix.len()
                || definition.matrix_exclude.iter().any(|exclude| {
                    !exclude.is_empty()
                        && exclude
                            .iter()
                            .all(|(name, value)| values.get(name) == Some(value))
                });
            if !excluded {
                if known + jobs.len() >= JOBS_MAX {
                    errors.push(GraphError::TooMany {
                        job: index,
                        what: format!("a run has at most {JOBS_MAX} jobs"),
                    });
                    return jobs;
                }
                match instance(definition, values) {
                    Ok(job) => jobs.push((index, job)),
                    Err(message) => {
                        errors.push(GraphError::BadTemplate { job: index, message });
                        break;
                    }
                }
            }
            let carried = (0..at.len()).rev().find(|axis| {
                at[*axis] += 1;
                let carry = at[*axis] >= definition.matrix[*axis].values.len();
                if carry {
                    at[*axis] = 0;
                }
                !carry
            });
            if carried.is_none() {
                break;
            }
        }
        if jobs.len() == before && errors.last().is_none_or(|error| error.job() != index) {
            errors.push(GraphError::EmptyMatrix { job: index });
        }
    }
    jobs
}

fn instance(definition: &JobDef, matrix: BTreeMap<String, Value>) -> Result<PlannedJob, String> {
    let mut filled = definition.clone();
    filled.matrix.clear();
    filled.matrix_exclude.clear();
    let work = match &mut filled.work {
        JobWork::Gate => None,
        JobWork::Build { builder } => Some(builder),
        JobWork::Pipeline { pipeline, .. } => Some(pipeline),
    };
    let texts = filled.properties.values_mut().filter_map(|value| match value {
        Value::String(text) => Some(text),
        _ => None,
    });
    let lists = filled.needs.iter_mut().chain(&mut filled.needed_by);
    for text in lists.chain(work).chain(texts) {
        if let Some(full) = fill(text, &matrix)? {
            *text = full;
        }
    }
    let name = match fill(&definition.name, &matrix)? {
        Some(name) => name,
        None if matrix.is_empty() => definition.name.clone(),
        None => {
            let values: Vec<String> = definition
                .matrix
                .iter()
                .filter_map(|axis| matrix.get(&axis.name))
                .map(render)
                .collect();
            format!("{} ({})", definition.name, values.join(", "))
        }
    };
    filled.name.clone_from(&name);
    Ok(PlannedJob {
        name,
        group: definition.name.clone(),
        matrix,
        definition: Arc::new(filled),
        needs: Vec::new(),
    })
}

/// Fills in `%(matrix:axis)s`; `None` if there is none. Other places stay, for builds to fill in.
fn fill(text: &str, matrix: &BTreeMap<String, Value>) -> Result<Option<String>, String> {
    const MARK: &str = "%(matrix:";
    // A single byte is sought much faster than a text, and most texts have none.
    if !text.as_bytes().contains(&b'%') || !text.contains(MARK) {
        return Ok(None);
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        out.push_str(&rest[..at]);
        let inside = &rest[at + MARK.len()..];
        let Some(end) = inside.find(")s") else {
            return Err(format!("`{text}` has a `%(matrix:` without its `)s`"));
        };
        let axis = &inside[..end];
        match matrix.get(axis) {
            Some(value) => out.push_str(&render(value)),
            None => return Err(format!("`%(matrix:{axis})s` names no axis of the job's matrix")),
        }
        rest = &inside[end + 2..];
    }
    out.push_str(rest);
    Ok(Some(out))
}

/// A cycle, if there is one: from one to a need of it, and on, back to the first.
fn cycle(needs: &[BTreeSet<u32>]) -> Option<Vec<u32>> {
    let mut open: Vec<usize> = needs.iter().map(BTreeSet::len).collect();
    let mut needed_by: Vec<Vec<u32>> = vec![Vec::new(); needs.len()];
    for (number, needs) in (0_u32..).zip(needs) {
        for need in needs {
            needed_by[*need as usize].push(number);
        }
    }
    let mut free: Vec<usize> = (0..needs.len()).filter(|number| open[*number] == 0).collect();
    while let Some(number) = free.pop() {
        for other in &needed_by[number] {
            open[*other as usize] -= 1;
            if open[*other as usize] == 0 {
                free.push(*other as usize);
            }
        }
    }
    // Each that is left needs another one that is left, so that a walk comes back to where it was.
    let mut at = (0..needs.len()).find(|number| open[*number] > 0)?;
    let mut path: Vec<u32> = Vec::new();
    let mut seen: HashMap<usize, usize> = HashMap::new();
    loop {
        if let Some(from) = seen.get(&at) {
            let mut cycle = path.split_off(*from);
            cycle.push(at as u32);
            return Some(cycle);
        }
        seen.insert(at, path.len());
        path.push(at as u32);
        at = needs[at]
            .iter()
            .find(|need| open[**need as usize] > 0)
            .map(|need| *need as usize)?;
    }
}

#[cfg(test)]
mod tests;
