//! Jobs that somebody has to approve.

use super::*;

#[test]
fn somebody_approves() {
    let asked = |users: &[&str]| JobDef {
        approval: Some(ApprovalDef {
            prompt: "Publish?".into(),
            users: users.iter().map(|user| (*user).to_owned()).collect(),
        }),
        expires: Some(Duration::from_secs(60)),
        ..gate("publish", &[])
    };
    let answer = |lab: &Lab, by: &str, approved| Input::ApproveJob {
        job: lab.jobs.values().next().unwrap().id,
        by: by.into(),
        approved,
        reason: "so".into(),
    };
    let mut lab = Lab::of(vec![asked(&["ann"])]);
    let run = lab.start("p");
    assert_eq!(lab.state(run, "publish"), JobState::AwaitingApproval);
    let refused = lab.ci.refused(answer(&lab, "bob", true));
    assert!(refused.to_string().contains("by ann only"), "{refused}");
    let waits = lab.ci.state.why_job_waits(lab.job(run, "publish").id);
    assert_eq!(waits.as_deref(), Some("one of these has to approve it: ann"));
    lab.ok(answer(&lab, "ann", true));
    assert_eq!(lab.results(run), Some(Results::Success));
    assert_eq!(
        lab.job(run, "publish").progress.approved_by.as_deref(),
        Some("ann")
    );

    let mut lab = Lab::of(vec![asked(&[])]);
    let run = lab.start("p");
    lab.ok(answer(&lab, "bob", false));
    assert_eq!(lab.state(run, "publish"), JobState::Skipped);
    assert_eq!(lab.results(run), Some(Results::Cancelled));

    let mut lab = Lab::of(vec![asked(&[])]);
    let run = lab.start("p");
    lab.ci.pass(61);
    lab.ok(Input::Tick);
    assert_eq!(lab.state(run, "publish"), JobState::Expired);
    assert_eq!(lab.results(run), Some(Results::Exception));
}
