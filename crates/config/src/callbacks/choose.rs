//! Functions that say which request of a builder starts, and where.
//!
//! They are asked in Buildbot's order: `next_build` for a request, `can_start` for each worker that it could start on, `next_worker`
//! for one of those that are left. A request that starts nowhere lets the next one try, and so does one of which a function fails: one
//! odd request keeps nobody else from starting.

use std::cell::RefCell;

use ironmaster_model::Pick;
use ironmaster_starlark::{Heap, Value};
use serde_json::{Map, Value as Json};

use super::{BuilderFunctions, Function, Functions, question::Question, struct_of};
use crate::suggest;

/// How many reasons are given why nothing starts.
const REASONS_SHOWN: usize = 3;

/// What is asked, and what there is to choose from.
struct Choice<'q> {
    question: Question<'q>,
    requests: &'q [Map<String, Json>],
    workers: &'q [Map<String, Json>],
}

/// What a function was to give: one of several, or none of them.
enum Given {
    One(usize),
    None,
    /// Something else: its type.
    Other(String),
}

impl Functions {
    /// See [`ironmaster_model::Callbacks::choose`].
    pub(super) fn choose(
        &self,
        builder: &str,
        requests: &[Map<String, Json>],
        workers: &[Map<String, Json>],
    ) -> Result<Pick, String> {
        let Some(asked) = self.builders.get(builder) else {
            // It was asked of another configuration.
            return Ok(Pick::Nothing(format!("builder `{builder}` has no functions")));
        };
        let choice = Choice {
            question: Question::new(self),
            requests,
            workers,
        };
        choice.choose(builder, asked)
    }
}

impl Choice<'_> {
    fn choose(&self, builder: &str, asked: &BuilderFunctions) -> Result<Pick, String> {
        let mut left: Vec<usize> = (0..self.requests.len()).collect();
        let mut reasons = Vec::new();
        let mut failed = None;
        while let Some(first) = left.first().copied() {
            let request = match &asked.next_build {
                None => Some(first),
                Some(function) => self.next_build(function, &left)?,
            };
            let Some(request) = request else {
                let none = match left.len() {
                    1 => format!("not {}", self.request(first)),
                    many => format!("none of {many} requests"),
                };
                reasons.push(format!("`next_build` chooses {none}"));
                break;
            };
            match self.worker(request, asked) {
                Ok(Ok(worker)) => return Ok(Pick::Start { request, worker }),
                Ok(Err(reason)) => reasons.push(reason),
                Err(traceback) => {
                    let request = self.request(request);
                    failed.get_or_insert_with(|| format!("of {request} a function failed:\n{traceback}"));
                }
            }
            left.retain(|other| *other != request);
        }
        if let Some(failed) = failed {
            return Err(failed);
        }
        if reasons.len() > REASONS_SHOWN {
            let more = reasons.len() - REASONS_SHOWN;
            reasons.truncate(REASONS_SHOWN);
            reasons.push(format!("and {more} more"));
        }
        let reasons = reasons.join("; ");
        Ok(Pick::Nothing(format!(
            "functions of the configuration let nothing of builder \"{builder}\" start: {reasons}"
        )))
    }

    fn next_build(&self, function: &Function, left: &[usize]) -> Result<Option<usize>, String> {
        let candidates: Vec<&Map<String, Json>> = left.iter().map(|at| &self.requests[*at]).collect();
        let given = self.one_of(function, None, &candidates)?;
        self.chosen("next_build", "requests", function, left, given)
    }

    /// Where a request starts; or why nowhere.
    fn worker(&self, request: usize, asked: &BuilderFunctions) -> Result<Result<usize, String>, String> {
        let mut able = Vec::new();
        for (at, worker) in self.workers.iter().enumerate() {
            let may = match &asked.can_start {
                None => true,
                Some(function) => self.question.call(
                    function,
                    |heap| {
                        Ok(vec![
                            struct_of(heap, &self.requests[request])?,
                            struct_of(heap, worker)?,
                        ])
                    },
                    Heap::truth,
                )?,
            };
            if may {
                able.push(at);
            }
        }
        if able.is_empty() {
            let workers: Vec<String> = self.workers.iter().map(name).collect();
            return Ok(Err(format!(
                "`can_start` says no to {} on {}",
                self.request(request),
                suggest::or(&workers)
            )));
        }
        let Some(function) = &asked.next_worker else {
            return Ok(Ok(able[0]));
        };
        let candidates: Vec<&Map<String, Json>> = able.iter().map(|at| &self.workers[*at]).collect();
        let given = self.one_of(function, Some(&self.requests[request]), &candidates)?;
        let chosen = self.chosen("prefer", "workers", function, &able, given)?;
        let workers: Vec<String> = candidates.into_iter().map(name).collect();
        Ok(chosen.ok_or_else(|| {
            format!(
                "`prefer` chooses no worker for {} among {}",
                self.request(request),
                workers.join(", ")
            )
        }))
    }

    fn request(&self, at: usize) -> String {
        format!("request {}", self.requests[at].get("id").unwrap_or(&Json::Null))
    }

    /// Asks a function for one of several structs; some functions are told of something else first.
    fn one_of(
        &self,
        function: &Function,
        first: Option<&Map<String, Json>>,
        candidates: &[&Map<String, Json>],
    ) -> Result<Given, String> {
        let given = RefCell::new(Vec::new());
        let arguments = |heap: &mut Heap| {
            let mut values = Vec::new();
            for candidate in candidates {
                values.push(struct_of(heap, candidate)?);
            }
            given.borrow_mut().clone_from(&values);
            let list = heap.list_of(values)?;
            Ok(match first {
                Some(first) => vec![struct_of(heap, first)?, list],
                None => vec![list],
            })
        };
        self.question
            .call(function, arguments, |heap, value| match value {
                Value::None => Given::None,
                Value::Object(id) => {
                    let given = given.borrow();
                    let mut given = given.iter();
                    let at = given.position(|one| matches!(one, Value::Object(one) if one == id));
                    at.map_or_else(|| Given::Other(heap.type_name(value)), Given::One)
                }
                other => Given::Other(heap.type_name(other)),
            })
    }

    fn chosen(
        &self,
        key: &str,
        plural: &str,
        function: &Function,
        among: &[usize],
        given: Given,
    ) -> Result<Option<usize>, String> {
        match given {
            Given::One(at) => Ok(Some(among[at])),
            Given::None => Ok(None),
            Given::Other(what) => {
                let help = format!("give one of the `{plural}` that it is called with, or None");
                Err(self.question.wrong(key, function, &what, &help))
            }
        }
    }
}

fn name(worker: &Map<String, Json>) -> String {
    let name = worker.get("name").and_then(Json::as_str);
    name.unwrap_or_default().to_owned()
}
