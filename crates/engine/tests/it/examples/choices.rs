//! Builders of which somebody says what starts.

use ironmaster_engine::{Choice, Input, Judgement, Refusal, State, Verdict, Waiting};
use ironmaster_model::{
    Asks, BuildRequestId, BuilderId, Event, LockDef, LockScope, LockUse, Results, WorkerId,
};
use serde_json::json;

use super::{Bench, builder, force_form, names, scheduler, worker};

/// Builders `a`, which asks, and `b`, which does not, on one worker with one slot.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.plan.builders.insert("b".into(), builder("b", &["make"]));
    bench.plan.builders.get_mut("a").unwrap().asks = Asks {
        can_start: true,
        ..Asks::default()
    };
    let both = scheduler("force", &["a", "b"], force_form());
    bench.plan.schedulers.insert("force".into(), both);
    bench.configure();
    bench
}

fn want(bench: &mut Bench, builder: &str) -> BuildRequestId {
    let id = bench.state.builder_by_name(builder).expect("it is there").id;
    bench.force(json!({ "builderid": id.0 }))
}

/// The one question that is open.
fn open(bench: &Bench) -> Choice {
    let open: Vec<_> = bench.state.choices().collect();
    let [(builder, number)] = open[..] else {
        panic!("{open:?}");
    };
    let choice = bench.state.choice(builder).expect("it is open");
    assert_eq!(choice.number, number);
    choice
}

fn says(choice: &Choice, verdict: Verdict) -> Input {
    Input::Chosen {
        builder: choice.builder,
        number: choice.number,
        verdict,
    }
}

fn start(choice: &Choice, request: BuildRequestId) -> Input {
    let worker = choice.workers[0].worker.id;
    says(choice, Verdict::Start { request, worker })
}

fn no(choice: &Choice) -> Input {
    says(
        choice,
        Verdict::Nothing {
            why: "not today".into(),
        },
    )
}

#[test]
fn what_is_chosen_starts_and_nothing_else() {
    let mut bench = bench();
    let first = want(&mut bench, "a");
    let second = want(&mut bench, "a");
    assert!(bench.running().is_empty());
    assert_eq!(bench.state.why_waiting(first), Waiting::Asked);
    let choice = open(&bench);
    assert_eq!(choice.name, "a");
    assert_eq!(choice.config, bench.state.config_digest());
    let wishes: Vec<_> = choice.requests.iter().map(|wish| wish.request.id).collect();
    assert_eq!(wishes, [first, second]);
    assert_eq!(choice.requests[0].buildset.scheduler, "force");
    assert_eq!(choice.workers[0].worker.name, "w");
    assert_eq!((choice.workers[0].running, choice.workers[0].warm), (0, false));

    // The second may go before the first.
    let events = bench.ok(start(&choice, second));
    assert!(matches!(&events[0], Event::BuildStarted { build, chosen: true } if build.request == second));
    assert!(!bench.state.has_choices(), "the worker is busy");
    // And the answer is good for once.
    assert!(matches!(
        bench.refused(start(&choice, first)),
        Refusal::NotLive { .. }
    ));

    let build = bench.running()[0].id;
    bench.end(build, Results::Success);
    let next = open(&bench);
    assert_ne!(next.number, choice.number);
    assert!(next.workers[0].warm);
}

#[test]
fn the_slot_is_kept_until_the_answer_and_nobody_slips_past() {
    let mut bench = bench();
    let asked = want(&mut bench, "a");
    let later = want(&mut bench, "b");
    assert!(bench.running().is_empty(), "the only slot is kept for the first");
    let choice = open(&bench);
    bench.ok(start(&choice, asked));
    assert_eq!(bench.running()[0].request, asked);
    let build = bench.running()[0].id;
    bench.end(build, Results::Success);
    assert_eq!(bench.running()[0].request, later);
}

#[test]
fn who_says_no_is_in_nobodys_way_and_is_asked_again() {
    let mut bench = bench();
    let asked = want(&mut bench, "a");
    let choice = open(&bench);
    bench.ok(no(&choice));
    let Waiting::Declined { why, until } = bench.state.why_waiting(asked) else {
        panic!("{:?}", bench.state.why_waiting(asked));
    };
    assert_eq!(why, "not today");
    assert_eq!(bench.state.next_deadline(), Some(until));
    assert!(bench.state.why_waiting(asked).remedy().contains("asked again"));
    assert!(bench.state.stuck(bench.now).is_empty());

    // Another builder has the worker meanwhile; when its build is over, that may matter.
    let other = want(&mut bench, "b");
    assert_eq!(bench.running()[0].request, other);
    assert!(!bench.state.has_choices());
    let build = bench.running()[0].id;
    bench.end(build, Results::Success);
    let choice = open(&bench);
    bench.ok(no(&choice));

    // A new request may matter, too, and so may time.
    want(&mut bench, "a");
    let choice = open(&bench);
    bench.ok(no(&choice));
    bench.pass(29);
    bench.ok(Input::Tick);
    assert!(!bench.state.has_choices());
    bench.pass(1);
    bench.ok(Input::Tick);
    let choice = open(&bench);
    bench.ok(start(&choice, asked));
    assert_eq!(bench.running()[0].request, asked);
}

/// Else a request that comes in this moment would wait until something else happens.
#[test]
fn a_no_counts_for_what_was_asked_about() {
    let mut bench = bench();
    want(&mut bench, "a");
    let choice = open(&bench);
    let newer = want(&mut bench, "a");
    bench.ok(no(&choice));
    let choice = open(&bench);
    assert_eq!(choice.requests[1].request.id, newer);
    bench.ok(no(&choice));
    assert!(!bench.state.has_choices());
}

#[test]
fn an_answer_is_looked_at_once_more() {
    let mut bench = bench();
    let first = want(&mut bench, "a");
    let second = want(&mut bench, "a");
    let cancel = Input::CancelRequest {
        request: first,
        by: "ann".into(),
        reason: String::new(),
    };
    // The request has gone: the builder is asked again, about what is there now.
    let choice = open(&bench);
    bench.ok(cancel);
    bench.ok(start(&choice, first));
    assert!(bench.running().is_empty());
    let choice = open(&bench);
    assert_eq!(choice.requests.len(), 1);

    // The worker has gone, or was never offered, or is none of the builder's.
    let worker = choice.workers[0].worker.id;
    let pause = |paused| Input::PauseWorker {
        worker,
        paused,
        reason: String::new(),
    };
    bench.ok(pause(true));
    bench.ok(start(&choice, second));
    assert!(bench.running().is_empty() && !bench.state.has_choices());
    bench.ok(pause(false));
    let choice = open(&bench);
    let strange = Verdict::Start {
        request: second,
        worker: WorkerId(99),
    };
    bench.ok(says(&choice, strange));
    assert!(bench.running().is_empty());
    // Somebody else's answer, and one to an earlier question.
    let choice = open(&bench);
    for (builder, number) in [(BuilderId(2), choice.number), (choice.builder, choice.number + 1)] {
        let verdict = Verdict::Nothing { why: String::new() };
        let input = Input::Chosen {
            builder,
            number,
            verdict,
        };
        assert!(matches!(bench.refused(input), Refusal::NotLive { .. }));
    }
    // A master that stops starts nothing, whoever says so.
    bench.ok(Input::Drain { draining: true });
    bench.ok(start(&choice, second));
    assert!(bench.running().is_empty());
    bench.ok(Input::Drain { draining: false });
    let choice = open(&bench);
    bench.ok(start(&choice, second));
    assert_eq!(bench.running()[0].request, second);
}

#[test]
fn a_configuration_and_a_restart_ask_anew() {
    let mut bench = bench();
    let asked = want(&mut bench, "a");
    let choice = open(&bench);
    bench.configure();
    assert!(matches!(
        bench.refused(start(&choice, asked)),
        Refusal::NotLive { .. }
    ));
    let choice = open(&bench);
    bench.ok(no(&choice));
    bench.configure();
    open(&bench);

    let loaded = State::load(bench.state.to_snapshot()).expect("the rows fit together");
    assert_eq!(bench.state.difference(&loaded), None);
    bench.state = loaded;
    assert!(!bench.state.has_choices());
    bench.ok(Input::Tick);
    open(&bench);

    // Without a function it starts by itself.
    bench.plan.builders.get_mut("a").unwrap().asks = Asks::default();
    bench.configure();
    assert_eq!(bench.running()[0].request, asked);
}

/// While a builder is asked its locks are kept, too; else who is behind it in line would have them each time.
#[test]
fn locks_are_kept_until_the_answer() {
    let mut bench = bench();
    bench.plan.workers.insert("w".into(), worker("w", 3));
    let db = LockDef {
        name: "db".into(),
        scope: LockScope::Master,
        max_count: 1,
        worker_counts: std::collections::BTreeMap::new(),
    };
    bench.plan.locks.insert("db".into(), db);
    for name in ["a", "b"] {
        bench.plan.builders.get_mut(name).unwrap().locks = vec![LockUse::exclusive("db")];
    }
    bench.configure();
    let asked = want(&mut bench, "a");
    let behind = want(&mut bench, "b");
    assert!(bench.running().is_empty());
    let Waiting::Locks(wait) = bench.state.why_waiting(behind) else {
        panic!("{:?}", bench.state.why_waiting(behind));
    };
    assert_eq!(wait.holders, []);
    assert!(wait.to_string().contains("is kept for a builder"), "{wait}");
    assert!(wait.remedy().contains("said no"));

    let choice = open(&bench);
    bench.ok(start(&choice, asked));
    assert_eq!(bench.running()[0].request, asked);
    assert!(matches!(bench.state.why_waiting(behind), Waiting::Locks(_)));
    let build = bench.running()[0].id;
    bench.end(build, Results::Success);
    assert_eq!(bench.running()[0].request, behind);

    // Who says no lets go of them.
    let build = bench.running()[0].id;
    want(&mut bench, "a");
    let behind = want(&mut bench, "b");
    bench.end(build, Results::Success);
    let choice = open(&bench);
    assert_eq!(names(&bench.ok(no(&choice)))[0], "build_started");
    assert_eq!(bench.running()[0].request, behind);
}

#[test]
fn there_are_few_to_choose_from() {
    let mut bench = bench();
    for index in 0..20 {
        let name = format!("w{index:02}");
        bench.plan.workers.insert(name.clone(), worker(&name, 1));
    }
    bench.configure();
    for index in 0..20 {
        bench.connect(&format!("w{index:02}"), &format!("w{index:02}#1"));
    }
    for _ in 0..20 {
        want(&mut bench, "a");
    }
    let choice = open(&bench);
    assert_eq!((choice.requests.len(), choice.workers.len()), (16, 16));
    // Any of them will do.
    let last = Verdict::Start {
        request: choice.requests[15].request.id,
        worker: choice.workers[15].worker.id,
    };
    bench.ok(says(&choice, last));
    assert_eq!(bench.running()[0].request, choice.requests[15].request.id);
    assert_eq!(bench.running()[0].worker, choice.workers[15].worker.id);
}

fn judged(bench: &Bench, request: BuildRequestId, judgement: Judgement) -> Input {
    Input::Judged {
        request,
        config: bench.state.config_digest().into(),
        judgement,
    }
}

/// A builder that asks what is thought of its requests.
fn asking() -> Bench {
    let mut bench = bench();
    bench.plan.builders.get_mut("b").unwrap().asks = Asks {
        priority: true,
        collapse: true,
        ..Asks::default()
    };
    bench.configure();
    bench
}

#[test]
fn what_is_thought_of_a_request_moves_it_and_replaces_others() {
    let mut bench = asking();
    assert!(!bench.state.has_cases());
    let runs = want(&mut bench, "b");
    assert!(!bench.state.has_cases(), "what is built need not be thought of");
    bench.pass(5);
    let old = want(&mut bench, "b");
    bench.pass(5);
    let new = want(&mut bench, "b");
    let cases: Vec<_> = bench.state.cases().collect();
    assert_eq!(cases, [old, new]);
    let case = bench.state.case(new).expect("it is to be asked about");
    assert_eq!((case.builder.as_str(), case.others.len()), ("b", 1));
    assert_eq!(case.others[0].request.id, old);

    // A function that has failed leaves it as it is, and whoever asks is told.
    let failed = Judgement {
        problem: Some("it failed".into()),
        ..Judgement::default()
    };
    let input = judged(&bench, old, failed);
    assert!(bench.ok(input).is_empty());
    assert_eq!(bench.state.problem_of(old), Some("it failed"));

    // It takes the place of what it replaces. What is built already is not replaced.
    let since = bench.state.request(old).expect("it waits").submitted_at;
    let both = Judgement {
        priority: Some(4),
        replaces: vec![old, runs, new, BuildRequestId(99)],
        problem: None,
    };
    let input = judged(&bench, new, both.clone());
    let events = bench.ok(input.clone());
    assert_eq!(names(&events)[..2], ["request_prioritised", "request_completed"]);
    let moved = bench.state.request(new).expect("it waits");
    assert_eq!((moved.priority, moved.submitted_at), (4, since));
    assert_eq!(bench.state.problem_of(old), None);
    assert!(!bench.state.has_cases());
    assert!(matches!(bench.refused(input), Refusal::NotLive { .. }));

    // Another configuration may think otherwise: it is asked, and answers of the old one are late.
    let late = judged(&bench, new, both);
    bench.configure();
    assert!(matches!(bench.refused(late), Refusal::NotLive { .. }));
    assert_eq!(bench.state.cases().collect::<Vec<_>>(), [new]);
    let loaded = State::load(bench.state.to_snapshot()).expect("the rows fit together");
    assert_eq!(loaded.cases().collect::<Vec<_>>(), [new]);
    assert_eq!(bench.state.difference(&loaded), None);
}

#[test]
fn what_somebody_has_set_by_hand_stays_whatever_functions_say() {
    let mut bench = asking();
    want(&mut bench, "b");
    let set = want(&mut bench, "b");
    let other = want(&mut bench, "b");
    let newest = want(&mut bench, "b");
    let by_hand = |request, priority| Input::SetPriority { request, priority };
    let says = |priority, replaces: &[BuildRequestId]| Judgement {
        priority: Some(priority),
        replaces: replaces.to_vec(),
        problem: None,
    };
    let priority = |state: &State, request| state.request(request).expect("it waits").priority;
    // Before the function has answered, even if it is the priority that it has already; and for ever after.
    assert_eq!(names(&bench.ok(by_hand(set, 0))), ["request_prioritised"]);
    assert!(bench.ok(by_hand(set, 0)).is_empty(), "it is so already");
    for start in 0..3 {
        let (of_set, of_other) = (
            judged(&bench, set, says(7, &[])),
            judged(&bench, other, says(3, &[])),
        );
        assert!(bench.ok(of_set).is_empty());
        assert_eq!(bench.ok(of_other).len(), usize::from(start == 0));
        assert_eq!(
            (priority(&bench.state, set), priority(&bench.state, other)),
            (0, 3)
        );
        bench.state = State::load(bench.state.to_snapshot()).expect("the rows fit together");
        assert_eq!(bench.state.cases().collect::<Vec<_>>(), [set, other, newest]);
    }
    // Whoever takes over such a priority keeps it as well; another one than that it does not.
    bench.ok(by_hand(set, 5));
    let input = judged(&bench, newest, says(4, &[set]));
    bench.ok(input);
    let after = want(&mut bench, "b");
    let input = judged(&bench, after, says(4, &[other]));
    bench.ok(input);
    bench.configure();
    for request in [newest, after] {
        let input = judged(&bench, request, says(1, &[]));
        bench.ok(input);
    }
    assert_eq!(
        (priority(&bench.state, newest), priority(&bench.state, after)),
        (5, 1)
    );
}
