//! Asks the configuration's functions whatever the State says is open, far from the committer.
//!
//! What is to be asked is known to the State, so nothing is remembered here: after a start, a reload or a lost commit it says so
//! again. What functions say goes in as an input, and is looked at there once more. About one thing there is one question at a time.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};

use ironmaster_engine::{Input, State};
use ironmaster_model::{CallbackSet, Timestamp};
use tokio::{
    sync::Notify,
    task::{Id, JoinSet},
};

use crate::{
    SubmitError,
    committer::{Committer, clock},
};

/// Questions that are asked at once. The threads that functions run on are fewer.
const QUESTIONS_MAX: usize = 8;
/// How long to wait while nothing can be decided, or when this program has made a mistake.
const BACKOFF: Duration = Duration::from_secs(1);
/// What people are told where a question has come to nothing because of such a mistake.
const BROKEN: &str = "functions of the configuration could not be asked: see the master's log";
/// The longest text that is kept of a failure, in bytes.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// A kind of question.
pub(crate) trait Question: fmt::Debug + Send + Sync + Sized + 'static {
    /// What it is about. Nothing is asked twice about it at the same time.
    type Key: Copy + Ord + fmt::Debug + Send + Sync + 'static;

    /// Questions that the State has open, apart from those about what is in `asked`, at most so many.
    fn open(state: &State, asked: &BTreeSet<Self::Key>, most: usize) -> Vec<Self>;

    /// What it is about.
    fn key(&self) -> Self::Key;

    /// Digest of the configuration whose functions are meant.
    fn config(&self) -> &str;

    /// Asks, and waits for the answer.
    fn ask(&self, functions: &CallbackSet, now: Timestamp) -> Input;

    /// The answer where there is none, with the reason.
    fn failed(&self, why: String) -> Input;

    /// Has the answer decided.
    fn hand_in(committer: &Committer, answer: Input) -> impl Future<Output = ()> + Send;
}

/// Asks whenever `wake` says that there may be something to ask, until the master stops.
pub(crate) async fn run<Q: Question>(committer: Committer, wake: Arc<Notify>) {
    let mut asked: HashMap<Id, Q::Key> = HashMap::new();
    let mut questions = JoinSet::new();
    loop {
        match open::<Q>(&committer, asked.values().copied().collect()).await {
            Ok(open) => {
                for question in open {
                    let functions = committer.functions().get();
                    // There is another configuration since, and another question.
                    if functions.config != question.config() {
                        continue;
                    }
                    let (key, committer) = (question.key(), committer.clone());
                    let task = questions.spawn(async move {
                        let answer = answer(question, functions.set).await;
                        Q::hand_in(&committer, answer).await;
                    });
                    asked.insert(task.id(), key);
                }
            }
            Err(SubmitError::Stopping) => return,
            Err(_) => {
                // Nothing can be read from a State that is being mended.
                tokio::time::sleep(BACKOFF).await;
                continue;
            }
        }
        tokio::select! {
            () = wake.notified() => {}
            Some(over) = questions.join_next_with_id() => {
                let id = match &over {
                    Ok((id, ())) => *id,
                    Err(error) => error.id(),
                };
                let key = asked.remove(&id);
                if let Err(error) = over {
                    tracing::error!(?key, %error, "a question to the configuration's functions was lost; asking again");
                    tokio::time::sleep(BACKOFF).await;
                }
            }
        }
    }
}

/// Questions that nobody has been asked yet, as many as can be asked now.
async fn open<Q: Question>(committer: &Committer, asked: BTreeSet<Q::Key>) -> Result<Vec<Q>, SubmitError> {
    let most = QUESTIONS_MAX - asked.len();
    if most == 0 {
        return Ok(Vec::new());
    }
    committer.look(move |state| Q::open(state, &asked, most)).await
}

async fn answer<Q: Question>(question: Q, functions: CallbackSet) -> Input {
    let question = Arc::new(question);
    let about = Arc::clone(&question);
    let asked = tokio::task::spawn_blocking(move || about.ask(&functions, clock()));
    asked.await.unwrap_or_else(|error| {
        tracing::error!(key = ?question.key(), %error, "asking functions of the configuration has failed");
        question.failed(BROKEN.to_owned())
    })
}

/// A text that is not longer than what is kept of one.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push_str("\n… and more");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{
            Mutex,
            atomic::{AtomicBool, Ordering},
        },
    };

    use ironmaster_engine::{Judgement, Reply};
    use ironmaster_model::BuildRequestId;

    use super::*;
    use crate::{callbacks::Functions, committer::Request};

    /// Where answering breaks this program, once.
    const LOST: u64 = 20;

    static OPEN: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());
    static HAS_LOST: AtomicBool = AtomicBool::new(false);

    /// Every third breaks this program while it is asked.
    #[derive(Debug)]
    struct Odd(u64);

    impl Question for Odd {
        type Key = u64;

        fn open(_: &State, asked: &BTreeSet<u64>, most: usize) -> Vec<Self> {
            let open = OPEN.lock().unwrap();
            open.difference(asked).take(most).map(|key| Self(*key)).collect()
        }

        fn key(&self) -> u64 {
            self.0
        }

        fn config(&self) -> &'static str {
            "one"
        }

        fn ask(&self, _: &CallbackSet, _: Timestamp) -> Input {
            assert_ne!(self.0 % 3, 0, "broken on purpose");
            self.failed("asked".to_owned())
        }

        fn failed(&self, why: String) -> Input {
            Input::Judged {
                request: BuildRequestId(self.0),
                config: self.config().to_owned(),
                judgement: Judgement {
                    problem: Some(why),
                    ..Judgement::default()
                },
            }
        }

        async fn hand_in(committer: &Committer, answer: Input) {
            if matches!(answer, Input::Judged { request, .. } if request.0 == LOST) {
                assert!(HAS_LOST.swap(true, Ordering::SeqCst), "broken on purpose");
            }
            committer.submit(answer).await.expect("it is taken");
        }
    }

    #[tokio::test]
    async fn a_question_that_breaks_this_program_is_answered_and_others_are_asked() {
        let (committer, mut requests) = Committer::channel(tokio_util::sync::CancellationToken::new());
        committer.functions().set(Functions {
            config: "one".to_owned(),
            ..Functions::default()
        });
        OPEN.lock().unwrap().extend(1..=40);
        let asking = tokio::spawn(run::<Odd>(committer, Arc::default()));
        let state = State::default();
        let mut said = BTreeMap::new();
        while said.len() < 40 {
            match requests.recv().await.expect("it goes on asking") {
                Request::Look(look) => look(Ok(&state)),
                Request::Decide(input, _, _, answer) => {
                    let Input::Judged {
                        request, judgement, ..
                    } = *input
                    else {
                        panic!("{input:?}");
                    };
                    OPEN.lock().unwrap().remove(&request.0);
                    let before = said.insert(request.0, judgement.problem);
                    assert_eq!(before, None, "{request} is asked about once");
                    answer.send(Ok(Reply::Done)).expect("somebody waits");
                }
                Request::Write(_) | Request::Stop => panic!("nobody has asked for that"),
            }
        }
        for (key, why) in said {
            let expected = if key % 3 == 0 { BROKEN } else { "asked" };
            assert_eq!(why.as_deref(), Some(expected), "{key}");
        }
        assert!(HAS_LOST.load(Ordering::SeqCst), "one was lost, and asked again");
        drop(requests);
        asking.await.expect("it ends with the master");
    }
}
