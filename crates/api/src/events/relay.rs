//! The task that follows the master's feed and tells the [`Hub`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ironmaster_master::{FeedError, Hint, Master};
use ironmaster_model::{LogId, Sequenced};
use ironmaster_store::{Filter, FilterValue, Op, Query, QueryError, Reader, Resource};
use serde_json::Value;
use tokio::{
    sync::broadcast,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    hub::{Ended, Hub, Told, any_may_match},
    map::{Notice, id_field, notices},
    pattern::{Slot, TopicPattern},
};
use crate::{
    json::{self, Layout},
    registry::{TOPICS, Topic},
    select::Item,
};

/// How long hints of growing logs are gathered before they are told.
const HINT_INTERVAL: Duration = Duration::from_millis(100);
/// Growing logs remembered at most; who grows beside them is told at its next commit.
const HINTED_MAX: usize = 4096;
/// Ids in one query.
const IDS_PER_QUERY: usize = 500;
/// How long to wait before the feed is read again after it failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Follows the feed until the master stops or `stopping` is cancelled.
pub async fn follow(master: Master, hub: Arc<Hub>, stopping: CancellationToken) {
    let mut relay = Relay {
        master,
        hub,
        line_counts: BTreeMap::new(),
    };
    let why = tokio::select! {
        () = stopping.cancelled() => Ended::Stopping,
        why = relay.run() => why,
    };
    relay.hub.end_all(why);
}

struct Relay {
    master: Master,
    hub: Arc<Hub>,
    /// Lines of unfinished logs as last told: a commit may know of fewer than a hint did.
    line_counts: BTreeMap<u64, u64>,
}

impl Relay {
    async fn run(&mut self) -> Ended {
        let mut feed = self.master.subscribe();
        let mut hints = self.master.hints();
        let mut grown: BTreeSet<u64> = BTreeSet::new();
        let mut tell_at = Instant::now();
        loop {
            tokio::select! {
                events = feed.next() => match events {
                    Ok(events) => self.tell_events(&events).await,
                    Err(FeedError::Closed) => return Ended::Stopping,
                    Err(fault) => {
                        tracing::error!("events for subscribers cannot be read: {fault}; they are told to read anew");
                        self.hub.end_all(Ended::EventsLost);
                        tokio::time::sleep(RETRY_AFTER).await;
                        feed = self.master.subscribe();
                    }
                },
                hint = hints.recv() => match hint {
                    Ok(Hint::LogGrew { log, num_lines, .. }) => {
                        if grown.is_empty() {
                            tell_at = tell_at.max(Instant::now());
                        }
                        if self.note_lines(log, num_lines) {
                            grown.insert(log.0);
                        }
                    }
                    // Some were lost, which hints may be: the next one, or the commit, says the same.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Ended::Stopping,
                },
                () = sleep_until(tell_at), if !grown.is_empty() => {
                    tell_at = Instant::now() + HINT_INTERVAL;
                    let notices = std::mem::take(&mut grown)
                        .into_iter()
                        .map(|id| Notice::Item { resource: Resource::Logs, id, event: "append", extra: None })
                        .collect();
                    self.tell(notices).await;
                }
            }
        }
    }

    fn note_lines(&mut self, log: LogId, num_lines: u64) -> bool {
        if self.line_counts.len() >= HINTED_MAX && !self.line_counts.contains_key(&log.0) {
            return false;
        }
        let known = self.line_counts.entry(log.0).or_default();
        *known = num_lines.max(*known);
        true
    }

    async fn tell_events(&mut self, events: &[Arc<Sequenced>]) {
        let notices = events.iter().flat_map(|event| notices(&event.event)).collect();
        self.tell(notices).await;
    }

    /// Tells of these, in order.
    async fn tell(&mut self, notices: Vec<Notice>) {
        let patterns = self.hub.patterns();
        // A finished log is forgotten even if nobody listens.
        let finished: Vec<u64> = notices
            .iter()
            .filter_map(|notice| match notice {
                Notice::Item {
                    resource: Resource::Logs,
                    id,
                    event: "finished",
                    ..
                } => Some(*id),
                _ => None,
            })
            .collect();
        let wanted: Vec<Notice> = notices
            .into_iter()
            .filter(|notice| is_wanted(notice, &patterns))
            .collect();
        if !wanted.is_empty() {
            let mut ids: BTreeMap<&'static str, (Resource, BTreeSet<u64>)> = BTreeMap::new();
            for notice in &wanted {
                let (resource, id) = match notice {
                    Notice::Item { resource, id, .. } => (*resource, *id),
                    Notice::Properties { .. } => continue,
                };
                ids.entry(resource.plural())
                    .or_insert_with(|| (resource, BTreeSet::new()))
                    .1
                    .insert(id);
            }
            let wishes: Vec<_> = ids.into_values().collect();
            match self.master.read(move |reader| read_items(reader, &wishes)).await {
                Ok(items) => self.hub.tell(&self.messages(&wanted, items)),
                Err(fault) => {
                    crate::error::ApiError::internal("items for subscribers cannot be read", &fault);
                    self.hub.end_all(Ended::EventsLost);
                }
            }
        }
        for log in finished {
            self.line_counts.remove(&log);
        }
    }

    fn messages(&self, notices: &[Notice], mut items: BTreeMap<(&'static str, u64), Item>) -> Vec<Arc<Told>> {
        for ((plural, id), item) in &mut items {
            if *plural == Resource::Logs.plural()
                && let (Some(hinted), Some(shown)) = (self.line_counts.get(id), item.get_mut("num_lines"))
            {
                *shown = Value::from(shown.as_u64().unwrap_or(0).max(*hinted));
            }
        }
        let mut messages = Vec::new();
        for notice in notices {
            match notice {
                Notice::Properties { build, properties } => {
                    let text = text_of(properties);
                    messages.push(Arc::new(Told::new(
                        format!("builds/{build}/properties/update"),
                        &text,
                    )));
                }
                Notice::Item {
                    resource,
                    id,
                    event,
                    extra,
                } => {
                    let Some(item) = items.get(&(resource.plural(), *id)) else {
                        continue;
                    };
                    let text = match extra {
                        None => text_of(item),
                        Some((key, value)) => {
                            let mut item = item.clone();
                            item.insert((*key).to_owned(), Value::from(value.clone()));
                            text_of(&item)
                        }
                    };
                    for prefix in prefixes(*resource, event) {
                        if let Some(topic) = topic(prefix, item, event) {
                            messages.push(Arc::new(Told::new(topic, &text)));
                        }
                    }
                }
            }
        }
        messages
    }
}

fn text_of(item: &impl serde::Serialize) -> String {
    String::from_utf8(json::to_vec(item, Layout::Compact)).expect("the writer makes ASCII")
}

fn read_items(
    reader: &Reader,
    wishes: &[(Resource, BTreeSet<u64>)],
) -> Result<BTreeMap<(&'static str, u64), Item>, QueryError> {
    let mut items = BTreeMap::new();
    for (resource, ids) in wishes {
        let field = id_field(*resource);
        let ids: Vec<FilterValue> = ids.iter().map(|id| FilterValue::from(*id)).collect();
        for ids in ids.chunks(IDS_PER_QUERY) {
            let filter = Filter {
                field: field.to_owned(),
                op: Op::In,
                values: ids.to_vec(),
            };
            let query = Query {
                filters: vec![filter],
                ..Query::default()
            };
            for item in reader.query(*resource, &query)?.items {
                if let Some(id) = item.get(field).and_then(Value::as_u64) {
                    items.insert((resource.plural(), id), item);
                }
            }
        }
    }
    Ok(items)
}

fn topic_of(plural: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.resource.plural == plural)
}

/// Prefixes under which an event of a type is told.
fn prefixes(resource: Resource, event: &str) -> &'static [&'static str] {
    let prefixes = topic_of(resource.plural()).map_or(&[][..], |topic| topic.prefixes);
    // As in Buildbot.
    if event == "cancel" {
        &prefixes[..1]
    } else {
        prefixes
    }
}

/// The topic of an item's event below a prefix.
fn topic(prefix: &str, item: &Item, event: &str) -> Option<String> {
    let mut topic = String::new();
    for element in prefix.split('/') {
        match placeholder(element) {
            None => topic.push_str(element),
            Some(field) => match item.get(field)? {
                Value::String(text) => topic.push_str(text),
                other => topic.push_str(&other.to_string()),
            },
        }
        topic.push('/');
    }
    topic.push_str(event);
    Some(topic)
}

fn placeholder(element: &str) -> Option<&str> {
    element.strip_prefix('{')?.strip_suffix('}')
}

/// Whether anybody may want to hear this, as far as can be said without reading the item.
fn is_wanted(notice: &Notice, patterns: &[TopicPattern]) -> bool {
    let (prefixes, id_field, id, event) = match notice {
        Notice::Properties { build, .. } => {
            (&["builds/{buildid}/properties"][..], "buildid", *build, "update")
        }
        Notice::Item {
            resource, id, event, ..
        } => (prefixes(*resource, event), id_field(*resource), *id, *event),
    };
    let id = id.to_string();
    prefixes.iter().any(|prefix| {
        let slots: Vec<Slot<'_>> = prefix
            .split('/')
            .map(|element| match placeholder(element) {
                None => Slot::Known(element),
                Some(field) if field == id_field => Slot::Known(&id),
                Some(_) => Slot::Unknown,
            })
            .chain([Slot::Known(event)])
            .collect();
        any_may_match(patterns, &slots)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn topics_are_made_from_items() {
        let item = json!({"buildid": 28, "builderid": 11, "number": 5, "workerid": 1});
        let item = item.as_object().unwrap();
        let topics: Vec<_> = prefixes(Resource::Builds, "new")
            .iter()
            .map(|prefix| topic(prefix, item, "new").unwrap())
            .collect();
        assert_eq!(
            topics,
            [
                "builds/28/new",
                "builders/11/builds/5/new",
                "workers/1/builds/28/new"
            ]
        );
        assert_eq!(prefixes(Resource::BuildRequests, "cancel").len(), 1);
    }

    #[test]
    fn only_what_somebody_may_want_is_read() {
        let wanted = |patterns: &[&str], resource, id| {
            let patterns: Vec<_> = patterns.iter().map(|text| TopicPattern::new(text)).collect();
            is_wanted(
                &Notice::Item {
                    resource,
                    id,
                    event: "finished",
                    extra: None,
                },
                &patterns,
            )
        };
        assert!(wanted(&["builds/*/*"], Resource::Builds, 3));
        assert!(wanted(&["builds/3/*"], Resource::Builds, 3));
        assert!(!wanted(&["builds/4/*"], Resource::Builds, 3));
        assert!(wanted(&["builders/9/builds/*/*"], Resource::Builds, 3));
        assert!(!wanted(&["builds/*/new"], Resource::Builds, 3));
        assert!(!wanted(&["builds/*/*"], Resource::Steps, 3));
        assert!(wanted(&["builds/1/steps/*/*"], Resource::Steps, 3));
        assert!(!wanted(&[], Resource::Steps, 3));
    }

    #[test]
    fn every_event_name_is_a_documented_one() {
        // The names that `notices` uses are checked against the registry where they are told: here, that each topic
        // has an id by which its items are read.
        for topic in TOPICS {
            if topic.resource.plural == "properties" {
                continue;
            }
            let resource = Resource::ALL
                .iter()
                .find(|resource| resource.plural() == topic.resource.plural)
                .unwrap();
            let id = id_field(*resource);
            assert!(
                topic.prefixes[0].contains(&format!("{{{id}}}")),
                "{}",
                topic.prefixes[0]
            );
            for prefix in topic.prefixes {
                for field in prefix.split('/').filter_map(placeholder) {
                    assert!(topic.resource.field(field).is_some(), "{prefix}");
                }
            }
        }
    }
}
