//! `set_property`: sets a property to a command's output or to a text.

use async_trait::async_trait;
use ironmaster_model::{FieldKind, FieldSpec, KindSpec, Results, StepDef, StepFlags};
use ironmaster_wire::Verb;
use serde_json::{Map, Value};

use crate::{
    CommandResult, Output, Step, StepContext, StepEnd, StepError,
    params::Params,
    shell::{argv, command_fields, displayed, exec, first_log, seconds},
};

/// Output that may become a property, in bytes; the property itself may not be larger either.
const CAPTURE_MAX: usize = ironmaster_model::properties::VALUE_BYTES_MAX;

/// The kind's description.
pub(crate) fn kind() -> KindSpec {
    let mut fields = vec![
        FieldSpec {
            name: "property",
            kind: FieldKind::String,
            required: true,
            default: None,
            doc: "Name of the property.",
            example: "\"version\"",
        },
        FieldSpec {
            name: "command",
            kind: FieldKind::Command,
            required: false,
            default: None,
            doc: "Command whose standard output becomes the value. It may print at most 2 MiB in all.",
            example: "\"git describe --tags\"",
        },
        FieldSpec {
            name: "value",
            kind: FieldKind::String,
            required: false,
            default: None,
            doc: "The value itself, instead of a command.",
            example: "\"nightly-%(prop:buildnumber)s\"",
        },
        FieldSpec {
            name: "strip",
            kind: FieldKind::Bool,
            required: false,
            default: Some("true"),
            doc: "Whether white space around the output is removed.",
            example: "false",
        },
    ];
    fields.extend(command_fields());
    KindSpec {
        name: "set_property",
        doc: "Sets a property of the build, for later steps and for people, to the output of a command or to a text.",
        fields,
        logs: &["stdio"],
        flags: StepFlags::default(),
        check: Some(check),
    }
}

fn check(params: &Map<String, Value>) -> Vec<(String, String)> {
    match (params.contains_key("command"), params.contains_key("value")) {
        (true, true) => vec![(
            "value".into(),
            "give either `command` or `value`, not both".into(),
        )],
        (false, false) => vec![("property".into(), "give `command` or `value` with it".into())],
        _ => Vec::new(),
    }
}

#[derive(Debug)]
pub(crate) struct SetProperty {
    params: Params,
    log: String,
}

impl SetProperty {
    pub(crate) fn new(definition: &StepDef) -> Self {
        Self {
            params: Params::of(definition),
            log: first_log(definition),
        }
    }
}

#[async_trait]
impl Step for SetProperty {
    async fn run(&self, ctx: &mut StepContext<'_>) -> Result<StepEnd, StepError> {
        let name = self
            .params
            .text("property", ctx.environment())?
            .unwrap_or_default();
        if let Some(value) = self.params.text("value", ctx.environment())? {
            ctx.header(&self.log, &format!("{name} = {value}")).await?;
            ctx.set_property(&name, value, "SetProperty Step")?;
            return Ok(StepEnd::success(format!("property '{name}' set")));
        }
        let command = self.params.command("command", ctx.environment())?;
        let workdir = self
            .params
            .text("workdir", ctx.environment())?
            .unwrap_or_else(|| "build".into());
        let shown = displayed(&command);
        let argv = argv(ctx, command);
        let exec = exec(ctx, &self.params, argv, &workdir)?;
        ctx.header(&self.log, &format!("$ {shown}")).await?;
        let done = ctx
            .command(Verb::Exec(exec), Output::Both(self.log.clone(), CAPTURE_MAX))
            .await?;
        let result = CommandResult::read(&done.outcome, &[])?;
        ctx.header(
            &self.log,
            &format!("{} after {}", result.line, seconds(done.duration_ms)),
        )
        .await?;
        let mut summary = format!("property '{name}' not set");
        if result.results == Results::Success {
            let output = String::from_utf8_lossy(&done.captured);
            let value = if self.params.bool("strip", true) {
                output.trim()
            } else {
                &output
            };
            ctx.header(&self.log, &format!("{name} = {value}")).await?;
            ctx.set_property(&name, value, "SetPropertyFromCommand Step")?;
            summary = format!("property '{name}' set");
        }
        Ok(StepEnd {
            results: result.results,
            cause: result.cause,
            summary,
        })
    }
}
