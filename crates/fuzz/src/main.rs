//! Runs all targets one after another: `ironmaster-fuzz SECONDS [TARGET]`. Each gets its share of the time.

use std::{
    process::ExitCode,
    time::{Duration, SystemTime},
};

use ironmaster_fuzz::{TARGETS, Target, Until, corpus, run};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(60);
    let only = arguments.next();
    let targets: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| only.as_ref().is_none_or(|only| target.name == only))
        .collect();
    if targets.is_empty() {
        eprintln!("error: there is no such target; see TARGETS in crates/fuzz/src/lib.rs");
        return ExitCode::from(2);
    }
    let share = Duration::from_secs(seconds) / targets.len() as u32;
    let seed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let mut failed = false;
    for target in targets {
        let name = target.name;
        let corpus = match corpus(target) {
            Ok(corpus) => corpus,
            Err(error) => {
                eprintln!("error: the corpus of {name} cannot be read: {error}");
                return ExitCode::FAILURE;
            }
        };
        match run(target, &corpus, seed, Until::Elapsed(share)) {
            Ok(tried) => println!(
                "fuzz: {name}: {tried} executions in {} s, seed {seed}",
                share.as_secs()
            ),
            Err(crash) => {
                failed = true;
                let path = crash.file.unwrap_or_else(|| {
                    let path = std::env::temp_dir().join(format!("ironmaster-fuzz-{name}-{seed}"));
                    if let Err(error) = std::fs::write(&path, &crash.input) {
                        eprintln!("error: {} cannot be written: {error}", path.display());
                    }
                    path
                });
                eprintln!("fuzz: {name}: this input fails: {}", path.display());
                eprintln!(
                    "hint: make it small, and keep it in crates/fuzz/corpus/{name} with the correction"
                );
            }
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
