//! Functions that say how urgent a request is, and which older ones it replaces.

use ironmaster_model::Opinion;
use ironmaster_starlark::{Heap, Value};
use serde_json::{Map, Value as Json};

use super::{Function, Functions, question::Question, struct_of};

impl Functions {
    /// See [`ironmaster_model::Callbacks::judge`].
    pub(super) fn judge(
        &self,
        builder: &str,
        scheduler: &str,
        request: &Map<String, Json>,
        others: &[Map<String, Json>],
    ) -> Opinion {
        let question = Question::new(self);
        let of_builder = self.builders.get(builder);
        // A builder's own word goes before the scheduler's.
        let priority = of_builder
            .and_then(|builder| builder.priority.as_ref())
            .or_else(|| self.priorities.get(scheduler));
        let mut opinion = Opinion::default();
        if let Some(function) = priority {
            match question.priority(function, request) {
                Ok(priority) => opinion.priority = priority,
                Err(traceback) => {
                    opinion.problem = Some(format!("`priority` failed, so its priority stays:\n{traceback}"));
                }
            }
        }
        if let Some(function) = of_builder.and_then(|builder| builder.collapse.as_ref()) {
            for (at, other) in others.iter().enumerate() {
                match question.collapses(function, request, other) {
                    Ok(true) => opinion.replaces.push(at),
                    Ok(false) => {}
                    Err(traceback) => {
                        opinion.problem.get_or_insert_with(|| {
                            format!("`collapse` failed, so others stay beside it:\n{traceback}")
                        });
                    }
                }
            }
        }
        opinion
    }
}

impl Question<'_> {
    fn priority(&self, function: &Function, request: &Map<String, Json>) -> Result<Option<i64>, String> {
        let given = self.call(
            function,
            |heap| Ok(vec![struct_of(heap, request)?]),
            |heap, value| match value {
                Value::Int(priority) => Ok(Some(*priority)),
                Value::None => Ok(None),
                other => Err(heap.type_name(other)),
            },
        )?;
        let help = "give a whole number, or None to leave it as it is";
        given.map_err(|what| self.wrong("priority", function, &what, help))
    }

    fn collapses(
        &self,
        function: &Function,
        request: &Map<String, Json>,
        other: &Map<String, Json>,
    ) -> Result<bool, String> {
        self.call(
            function,
            |heap| Ok(vec![struct_of(heap, request)?, struct_of(heap, other)?]),
            Heap::truth,
        )
    }
}
