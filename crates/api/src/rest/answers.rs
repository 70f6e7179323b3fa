//! Answers that are still true: as long as nothing new was committed, the same question has the same answer. Pages and
//! dashboards ask the same few questions all the time.
//!
//! The key to it is the sequence number of the newest event: every change of a row comes with an event, and the feed knows of
//! a commit before whoever asked for it has the reply, so that nobody reads an answer from before their own change. Rows
//! that changed without an event would be seen too late: whoever changes them so has to say it by an event.

use std::{collections::HashMap, sync::Mutex};

use bytes::Bytes;

/// Answers that are larger are not kept, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// All answers together, in bytes.
const ALL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Answers as of one event.
#[derive(Debug, Default)]
pub struct Answers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    seq: u64,
    bytes: usize,
    answers: HashMap<String, Bytes>,
}

impl Answers {
    /// The answer to this question as of event `seq`, if it was given before.
    pub(super) fn get(&self, seq: u64, question: &str) -> Option<Bytes> {
        let state = self.state();
        (state.seq == seq).then(|| state.answers.get(question).cloned())?
    }

    /// Remembers an answer that was read after event `seq`, and perhaps later ones, were committed.
    pub(super) fn put(&self, seq: u64, question: String, answer: &Bytes) {
        let size = question.len() + answer.len();
        if size > ANSWER_BYTES_MAX {
            return;
        }
        let mut state = self.state();
        if seq < state.seq {
            return;
        }
        if seq > state.seq || state.bytes + size > ALL_BYTES_MAX {
            *state = State {
                seq,
                ..State::default()
            };
        }
        if state.answers.insert(question, answer.clone()).is_none() {
            state.bytes += size;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no panic while holding the lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_good_until_the_next_event() {
        let answers = Answers::default();
        let (old, new) = (Bytes::from_static(b"old"), Bytes::from_static(b"new"));
        answers.put(7, "q".into(), &old);
        assert_eq!(answers.get(7, "q"), Some(old.clone()));
        assert_eq!(answers.get(8, "q"), None);
        answers.put(8, "q".into(), &new);
        answers.put(7, "q".into(), &old);
        assert_eq!(
            answers.get(8, "q"),
            Some(new),
            "a late reader does not bring the past back"
        );
        assert_eq!(answers.get(7, "q"), None);
    }

    #[test]
    fn memory_is_bounded() {
        let answers = Answers::default();
        let answer = Bytes::from(vec![0; ANSWER_BYTES_MAX / 2]);
        for n in 0..200 {
            answers.put(1, n.to_string(), &answer);
            assert!(answers.state().answers.values().map(Bytes::len).sum::<usize>() <= ALL_BYTES_MAX);
        }
        answers.put(1, "large".into(), &Bytes::from(vec![0; ANSWER_BYTES_MAX]));
        assert_eq!(answers.get(1, "large"), None);
    }
}
