//! `buildbot sendchange`: changes that somebody reports over Perspective Broker.

use ironmaster_buildbot::pb::{ChangesEvent, ChangesSession, SentChange};
use ironmaster_engine::{Input, NewChange};
use ironmaster_model::{Properties, Timestamp};
use ironmaster_tls::Stream;
use tokio::io::AsyncReadExt;

use super::{DEPTH_MAX, READ_BYTES, json, send};
use crate::Master;

/// The last moment that a change may have: the end of the year 9999, in seconds since 1970.
const SECONDS_MAX: f64 = 253_402_300_799.0;

/// Until the other side has no more to report. Each change is answered once it is durable.
pub(super) async fn serve(
    master: &Master,
    mut session: ChangesSession,
    stream: &mut Stream,
) -> Result<(), String> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        while let Some(ChangesEvent::Change { request, change }) = session.poll_event() {
            let kept = match read(*change) {
                Ok(change) => master
                    .submit(Input::Change(change))
                    .await
                    .map(drop)
                    .map_err(|error| error.to_string()),
                Err(reason) => Err(reason),
            };
            let answered = match kept {
                Ok(()) => session.accept(request),
                Err(reason) => session.refuse(request, &reason),
            };
            answered.map_err(|error| error.to_string())?;
        }
        while let Some(bytes) = session.poll_send() {
            send(stream, &bytes).await?;
        }
        let count = stream
            .read(&mut buffer)
            .await
            .map_err(|error| error.to_string())?;
        if count == 0 {
            return Ok(());
        }
        session
            .feed(&buffer[..count])
            .map_err(|error| error.to_string())?;
    }
}

/// What was sent, as every other source of changes says it.
fn read(change: SentChange) -> Result<NewChange, String> {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut properties = Properties::new();
    for (name, value) in change.properties {
        let value =
            json(&value, DEPTH_MAX).ok_or_else(|| format!("the property `{name}` has a value of no use"))?;
        properties.set(name, value, "Change");
    }
    properties.validate().map_err(|error| error.to_string())?;
    let when = match change.when {
        None => None,
        Some(when) if (0.0..=SECONDS_MAX).contains(&when) => Some(Timestamp((when * 1e6).round() as i64)),
        Some(when) => {
            return Err(format!(
                "`when` is {when}, which is no time in seconds since 1970"
            ));
        }
    };
    let new = NewChange {
        author: filled(change.author).ok_or("a change needs an author: give `--who`")?,
        committer: change.committer,
        comments: change.comments.unwrap_or_default(),
        files: change.files,
        revision: filled(change.revision),
        branch: filled(change.branch),
        category: filled(change.category),
        revlink: filled(Some(change.revlink)),
        repository: change.repository,
        project: change.project,
        codebase: change.codebase.unwrap_or_default(),
        when,
        properties,
        ..NewChange::default()
    };
    Ok(new)
}
