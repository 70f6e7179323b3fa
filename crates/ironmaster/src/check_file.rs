//! `ironmaster check --in-repository`: the jobs of a repository, before they are pushed.

use std::{fs::File, io::Read, path::Path};

use ironmaster_config::{REPOSITORY_FILE_BYTES_MAX, repository_jobs};
use ironmaster_model::PipelineDef;

use crate::{
    catalogue,
    failure::{Failure, colors},
};

pub(crate) fn run(config: &Path, file: &Path, pipeline: Option<&str>, trusted: bool) -> Result<(), Failure> {
    let loaded = catalogue::load(config)?;
    let with_files: Vec<&PipelineDef> = loaded
        .plan
        .pipelines
        .values()
        .map(AsRef::as_ref)
        .filter(|pipeline: &&PipelineDef| pipeline.in_repository.is_some())
        .collect();
    let names = || {
        let names: Vec<String> = with_files
            .iter()
            .map(|pipeline| format!("`{}`", pipeline.name))
            .collect();
        names.join(", ")
    };
    let failed = |message: String, hint: &str| {
        let message = format!("{}: {message}", config.display());
        Failure::Failed { message, hint: None }.hint(hint)
    };
    let pipeline = match (pipeline, with_files.as_slice()) {
        (_, []) => {
            return Err(failed(
                "no pipeline has its jobs in a repository".to_owned(),
                "give one of them `in_repository`",
            ));
        }
        (None, [only]) => *only,
        (None, _) => {
            return Err(failed(
                format!("several pipelines have their jobs in a repository: {}", names()),
                "say which one is meant with `--pipeline NAME`",
            ));
        }
        (Some(name), _) => *with_files
            .iter()
            .find(|pipeline| pipeline.name == name)
            .ok_or_else(|| {
                failed(
                    format!("no pipeline `{name}` has its jobs in a repository"),
                    &format!("there is {}", names()),
                )
            })?,
    };
    let mut text = String::new();
    // A byte more than is allowed is enough to be told so.
    File::open(file)
        .and_then(|open| {
            open.take(REPOSITORY_FILE_BYTES_MAX as u64 + 1)
                .read_to_string(&mut text)
        })
        .map_err(|error| Failure::because(&format!("cannot read {}", file.display()), &error))?;
    let name = file.display().to_string();
    let (jobs, report) = repository_jobs(&name, &text, &loaded.plan, pipeline, trusted);
    let Some(jobs) = jobs else {
        return Err(Failure::Config(report));
    };
    if !report.is_empty() {
        eprint!("{}", report.render(colors()));
    }
    println!(
        "{name}: good for {} of pipeline `{}` ({} definitions of jobs)",
        if trusted {
            "trusted branches"
        } else {
            "changes that are not trusted"
        },
        pipeline.name,
        jobs.len(),
    );
    Ok(())
}
