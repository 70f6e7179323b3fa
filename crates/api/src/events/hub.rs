//! Who wants to hear what.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use tokio::sync::{mpsc, watch};

use super::pattern::{Slot, TopicPattern};

/// A message, made once for everybody.
#[derive(Debug)]
pub struct Told {
    topic: String,
    /// `{"k":"<topic>","m":<item>}`.
    frame: axum::extract::ws::Utf8Bytes,
    item_at: usize,
}

/// The subscribers.
#[derive(Debug)]
pub struct Hub {
    queue_max: usize,
    topics_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    clients: BTreeMap<u64, Client>,
    /// Subscribers of each pattern that anybody has.
    patterns: BTreeMap<TopicPattern, BTreeSet<u64>>,
}

#[derive(Debug)]
struct Client {
    queue: mpsc::Sender<Arc<Told>>,
    ended: watch::Sender<Option<Ended>>,
    patterns: BTreeSet<TopicPattern>,
}

/// Why the hub ended a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Messages came faster than the client took them.
    TooSlow,
    /// Events were missed, so that only reading anew helps.
    EventsLost,
    /// The master stops.
    Stopping,
}

impl Ended {
    /// For the client.
    pub fn reason(self) -> &'static str {
        match self {
            Ended::TooSlow => "too slow: events were waiting; connect again and read anew",
            Ended::EventsLost => "events were missed; connect again and read anew",
            Ended::Stopping => "the master is stopping",
        }
    }
}

/// One client's end. Dropping it unsubscribes from everything.
#[derive(Debug)]
pub struct Subscriber {
    /// What it is told, in order.
    pub queue: mpsc::Receiver<Arc<Told>>,
    ended: watch::Receiver<Option<Ended>>,
    subscription: Subscription,
}

/// Changes what a [`Subscriber`] hears; can be used beside it.
#[derive(Clone, Debug)]
pub struct Subscription {
    hub: Arc<Hub>,
    id: u64,
}

impl Told {
    /// A message about `topic`; `item` is JSON text.
    pub fn new(topic: String, item: &str) -> Self {
        let key = serde_json::to_string(&topic).expect("text serialises");
        let head = format!("{{\"k\":{key},\"m\":");
        Self {
            item_at: head.len(),
            frame: format!("{head}{item}}}").into(),
            topic,
        }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The item as JSON text.
    pub fn item(&self) -> &str {
        &self.frame[self.item_at..self.frame.len() - 1]
    }

    /// The whole as a WebSocket message.
    pub fn frame(&self) -> axum::extract::ws::Utf8Bytes {
        self.frame.clone()
    }
}

impl Hub {
    /// A hub with these bounds for each subscriber.
    pub fn new(queue_max: usize, topics_max: usize) -> Arc<Self> {
        Arc::new(Self {
            queue_max,
            topics_max,
            state: Mutex::default(),
        })
    }

    /// A new subscriber, which hears nothing yet.
    pub fn join(self: &Arc<Self>) -> Subscriber {
        let (queue, receiver) = mpsc::channel(self.queue_max);
        let (ended, end) = watch::channel(None);
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.clients.insert(
            id,
            Client {
                queue,
                ended,
                patterns: BTreeSet::new(),
            },
        );
        Subscriber {
            queue: receiver,
            ended: end,
            subscription: Subscription {
                hub: self.clone(),
                id,
            },
        }
    }

    /// The patterns that anybody has.
    pub(super) fn patterns(&self) -> Vec<TopicPattern> {
        self.state().patterns.keys().cloned().collect()
    }

    /// Hands out messages in order.
    pub(super) fn tell(&self, messages: &[Arc<Told>]) {
        let mut state = self.state();
        for message in messages {
            let topic: Vec<&str> = message.topic.split('/').collect();
            // A client with two patterns that match is told once.
            let listeners: BTreeSet<u64> = state
                .patterns
                .iter()
                .filter(|(pattern, _)| pattern.matches(&topic))
                .flat_map(|(_, clients)| clients.iter().copied())
                .collect();
            for id in listeners {
                let Some(client) = state.clients.get(&id) else {
                    continue;
                };
                match client.queue.try_send(message.clone()) {
                    Ok(()) => {}
                    Err(mpsc::error::TrySendError::Full(_)) => {
                        client.ended.send_replace(Some(Ended::TooSlow));
                        state.remove(id);
                    }
                    Err(mpsc::error::TrySendError::Closed(_)) => state.remove(id),
                }
            }
        }
    }

    /// Ends all subscriptions.
    pub(super) fn end_all(&self, why: Ended) {
        let mut state = self.state();
        for client in state.clients.values() {
            client.ended.send_replace(Some(why));
        }
        state.clients.clear();
        state.patterns.clear();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while holding the lock")
    }
}

impl State {
    fn remove(&mut self, id: u64) {
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        for pattern in client.patterns {
            self.forget(&pattern, id);
        }
    }

    fn forget(&mut self, pattern: &TopicPattern, id: u64) {
        if let Some(clients) = self.patterns.get_mut(pattern) {
            clients.remove(&id);
            if clients.is_empty() {
                self.patterns.remove(pattern);
            }
        }
    }
}

impl Subscriber {
    /// Waits until the hub ends this subscription.
    pub async fn ended(&mut self) -> Ended {
        wait_for_end(&mut self.ended).await
    }

    /// The next message, or why there will be none. What was queued before the end is lost: the client reads anew.
    pub async fn next(&mut self) -> Result<Arc<Told>, Ended> {
        tokio::select! {
            biased;
            why = wait_for_end(&mut self.ended) => Err(why),
            message = self.queue.recv() => message.ok_or(Ended::Stopping),
        }
    }

    /// Changes what it hears.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }
}

async fn wait_for_end(ended: &mut watch::Receiver<Option<Ended>>) -> Ended {
    ended
        .wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|why| *why)
        .unwrap_or(Ended::Stopping)
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.subscription.hub.state().remove(self.subscription.id);
    }
}

impl Subscription {
    /// Hears this, too. From the return on, no event is missed. `false`: it has too many patterns already.
    pub fn start(&self, pattern: &TopicPattern) -> bool {
        let mut state = self.hub.state();
        let Some(client) = state.clients.get_mut(&self.id) else {
            return true;
        };
        if !client.patterns.contains(pattern) && client.patterns.len() >= self.hub.topics_max {
            return false;
        }
        client.patterns.insert(pattern.clone());
        state.patterns.entry(pattern.clone()).or_default().insert(self.id);
        true
    }

    /// Hears this no more. `false`: it did not.
    pub fn stop(&self, pattern: &TopicPattern) -> bool {
        let mut state = self.hub.state();
        let was = state
            .clients
            .get_mut(&self.id)
            .is_some_and(|client| client.patterns.remove(pattern));
        if was {
            state.forget(pattern, self.id);
        }
        was
    }
}

/// Whether any of the patterns may cover the topic.
pub(super) fn any_may_match(patterns: &[TopicPattern], topic: &[Slot<'_>]) -> bool {
    patterns.iter().any(|pattern| pattern.may_match(topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(topic: &str) -> Arc<Told> {
        Arc::new(Told::new(topic.into(), "{\"x\":1}"))
    }

    fn take(subscriber: &mut Subscriber) -> Vec<String> {
        std::iter::from_fn(|| subscriber.queue.try_recv().ok())
            .map(|told| told.topic().to_owned())
            .collect()
    }

    #[test]
    fn everybody_hears_what_they_asked_for_once_and_in_order() {
        let hub = Hub::new(10, 10);
        let (mut a, mut b) = (hub.join(), hub.join());
        a.subscription().start(&TopicPattern::new("builds/*/*"));
        a.subscription().start(&TopicPattern::new("builds/1/*"));
        b.subscription().start(&TopicPattern::new("steps/*/*"));
        hub.tell(&[told("builds/1/new"), told("steps/3/new"), told("builds/2/new")]);
        assert_eq!(take(&mut a), ["builds/1/new", "builds/2/new"]);
        assert_eq!(take(&mut b), ["steps/3/new"]);
        assert!(a.subscription().stop(&TopicPattern::new("builds/*/*")));
        assert!(!a.subscription().stop(&TopicPattern::new("builds/*/*")));
        hub.tell(&[told("builds/1/finished"), told("builds/2/finished")]);
        assert_eq!(take(&mut a), ["builds/1/finished"]);
        drop(b);
        assert_eq!(hub.patterns(), [TopicPattern::new("builds/1/*")]);
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_ended_and_the_others_are_not() {
        let hub = Hub::new(2, 10);
        let (mut slow, mut quick) = (hub.join(), hub.join());
        for subscriber in [&slow, &quick] {
            subscriber.subscription().start(&TopicPattern::new("*/*"));
        }
        for n in 0..3 {
            hub.tell(&[told(&format!("a/{n}"))]);
            assert_eq!(quick.next().await.unwrap().topic(), format!("a/{n}"));
        }
        assert_eq!(slow.next().await.unwrap_err(), Ended::TooSlow);
        hub.end_all(Ended::EventsLost);
        assert_eq!(quick.next().await.unwrap_err(), Ended::EventsLost);
    }

    #[test]
    fn patterns_are_bounded() {
        let hub = Hub::new(2, 1);
        let client = hub.join();
        assert!(client.subscription().start(&TopicPattern::new("a")));
        assert!(client.subscription().start(&TopicPattern::new("a")));
        assert!(!client.subscription().start(&TopicPattern::new("b")));
    }

    #[test]
    fn a_message_knows_its_item() {
        let message = Told::new("a/\"b\"".into(), "{\"x\":1}");
        assert_eq!(message.item(), "{\"x\":1}");
        let frame: serde_json::Value = serde_json::from_str(&message.frame()).unwrap();
        assert_eq!(frame, serde_json::json!({"k": "a/\"b\"", "m": {"x": 1}}));
    }
}
