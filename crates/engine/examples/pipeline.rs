//! How long a pipeline of ten thousand jobs takes that are all skipped: `cargo run --release -p ironmaster-engine --example pipeline`.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use ironmaster_engine::{Input, Reply, State, Tx, decide};
use ironmaster_model::{
    Duration, JobDef, NewSourceStamp, PipelineDef, Plan, Properties, Timestamp,
    pipeline::{ConditionDef, JOBS_MAX},
};

fn main() {
    let never = || {
        Some(ConditionDef {
            branches: vec!["never".into()],
            ..ConditionDef::default()
        })
    };
    let row: Vec<JobDef> = (0..JOBS_MAX)
        .map(|number| JobDef {
            name: format!("job {number}"),
            needs: (number > 0)
                .then(|| format!("job {}", number - 1))
                .into_iter()
                .collect(),
            when: if number == 0 { never() } else { None },
            ..JobDef::default()
        })
        .collect();
    let fan: Vec<JobDef> = (0..JOBS_MAX)
        .map(|number| JobDef {
            name: format!("job {number}"),
            // A hundred layers of a hundred, each job needs nineteen of the layer before.
            needs: (0..19)
                .filter(|_| number >= 100)
                .map(|need| format!("job {}", (number / 100 - 1) * 100 + (number + need * 5) % 100))
                .collect(),
            when: if number < 100 { never() } else { None },
            ..JobDef::default()
        })
        .collect();
    println!(
        "{:<44} {:>9} {:>9} {:>9}",
        "ten thousand jobs, all skipped", "needs", "events", "ms"
    );
    for (what, jobs) in [("one after another", row), ("a hundred layers of a hundred", fan)] {
        let needs: usize = jobs.iter().map(|job| job.needs.len()).sum();
        let mut best = f64::MAX;
        let mut events = 0;
        for _ in 0..5 {
            let (taken, count) = once(jobs.clone());
            best = best.min(taken);
            events = count;
        }
        println!("{what:<44} {needs:>9} {events:>9} {best:>9.1}");
    }
}

/// Milliseconds and events of one run from its start to its end.
fn once(jobs: Vec<JobDef>) -> (f64, usize) {
    let definition = PipelineDef {
        name: "large".into(),
        jobs,
        ..PipelineDef::default()
    };
    let plan = Plan {
        digest: "d".into(),
        pipelines: BTreeMap::from([("large".to_owned(), Arc::new(definition))]),
        ..Plan::default()
    };
    let mut state = State::default();
    let mut tx = Tx::new(&mut state, Timestamp::from_secs(1_700_000_000));
    for input in [
        Input::MasterStart {
            name: "m".into(),
            lease: Duration::from_secs(60),
        },
        Input::Configure { plan: Arc::new(plan) },
    ] {
        decide(&mut tx, input).expect("it is acceptable");
    }
    let before = tx.len();
    let start = Instant::now();
    let reply = decide(
        &mut tx,
        Input::StartRun {
            pipeline: "large".into(),
            sourcestamps: vec![NewSourceStamp::default()],
            properties: Properties::new(),
            by: "me".into(),
            reason: "to see".into(),
        },
    );
    let taken = start.elapsed().as_secs_f64() * 1e3;
    let Ok(Reply::Run(run)) = reply else {
        panic!("not started: {reply:?}");
    };
    assert!(tx.state().run(run).is_none(), "it is over");
    (taken, tx.len() - before)
}
