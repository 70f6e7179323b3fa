//! Throws damaged input at everything that reads bytes from outside.
//!
//! A [`Target`] is a function that must not panic, whatever it is given, and checks what must hold of its answers. It has
//! a corpus in `corpus/NAME`: a few files by hand, and each input that has ever found something. [`run`] tries the corpus
//! as it is and then mutations of it, from a seed. The mutations are blind: which parts of a target they reach is not
//! measured, so a corpus should have an example of each form.
//!
//! To add a target: a function in `targets/`, a line in [`TARGETS`], a folder with examples.

mod mutate;
mod targets;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub use mutate::Mutator;

/// Something that reads bytes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// What is tried with one input.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "banana",
        run: targets::buildbot::banana,
    },
    Target {
        name: "buildbot_session",
        run: targets::buildbot::session,
    },
    Target {
        name: "change_hook",
        run: targets::text::change_hook,
    },
    Target {
        name: "config",
        run: targets::text::config,
    },
    Target {
        name: "git",
        run: targets::text::git,
    },
    Target {
        name: "interpolate",
        run: targets::text::interpolate,
    },
    Target {
        name: "logs",
        run: targets::logs::file,
    },
    Target {
        name: "msgpack",
        run: targets::buildbot::message,
    },
    Target {
        name: "query",
        run: targets::query::query,
    },
    Target {
        name: "repository_star",
        run: targets::repository::starlark,
    },
    Target {
        name: "repository_toml",
        run: targets::repository::toml,
    },
    Target {
        name: "rest",
        run: targets::rest::get,
    },
    Target {
        name: "starlark",
        run: targets::starlark::program,
    },
    Target {
        name: "starlark_config",
        run: targets::starlark::config,
    },
    Target {
        name: "tac",
        run: targets::text::tac,
    },
    Target {
        name: "try_job",
        run: targets::text::try_job,
    },
    Target {
        name: "verb",
        run: targets::wire::verb,
    },
    Target {
        name: "wire",
        run: targets::wire::frames,
    },
];

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many mutations.
    Count(u64),
    /// After so much time.
    Elapsed(Duration),
}

/// An input that made a target panic.
#[derive(Clone, Debug)]
pub struct Crash {
    /// The input.
    pub input: Vec<u8>,
    /// The file of the corpus, if it is one.
    pub file: Option<PathBuf>,
}

/// The corpus of a target, in the order of its files' names.
pub fn corpus(target: &Target) -> std::io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    paths
        .into_iter()
        .map(|path| Ok((path.clone(), std::fs::read(path)?)))
        .collect()
}

/// Tries the corpus and then mutations of it. Returns how many inputs were tried.
pub fn run(target: &Target, corpus: &[(PathBuf, Vec<u8>)], seed: u64, until: Until) -> Result<u64, Crash> {
    let begun = Instant::now();
    let mut tried = 0;
    for (path, input) in corpus {
        attempt(target, input, Some(path))?;
        tried += 1;
    }
    let inputs: Vec<&[u8]> = corpus.iter().map(|(_, input)| input.as_slice()).collect();
    let mut mutator = Mutator::new(seed);
    let mut mutations = 0;
    loop {
        let done = match until {
            Until::Count(count) => mutations >= count,
            Until::Elapsed(time) => begun.elapsed() >= time,
        };
        if done {
            return Ok(tried);
        }
        attempt(target, &mutator.next(&inputs), None)?;
        mutations += 1;
        tried += 1;
    }
}

fn attempt(target: &Target, input: &[u8], file: Option<&PathBuf>) -> Result<(), Crash> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|_| Crash {
        input: input.to_vec(),
        file: file.cloned(),
    })
}
