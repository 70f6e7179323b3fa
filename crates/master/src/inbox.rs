//! Output of commands on its way from a worker's connection to the runners.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use ironmaster_wire::{Exited, OutputChunk};
use tokio::sync::Notify;

/// Output that may wait in one inbox, in chunks: a worker that cuts its output into crumbs is disconnected.
const CHUNKS_MAX: usize = 64 * 1024;
/// Output of one worker that may wait, in bytes. While there is more, nothing is read from its connection. A native worker
/// sends less than that before it is told that some of it is kept.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// How much output of a worker waits.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    bytes: AtomicUsize,
    /// Told when there is room again.
    pub(crate) room: Notify,
}

impl Waiting {
    /// Whether as much waits as may.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Acquire) > BYTES_MAX
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    fn take(&self, bytes: usize) {
        if bytes > 0 {
            self.bytes.fetch_sub(bytes, Ordering::AcqRel);
            self.room.notify_waiters();
        }
    }
}

/// Output and outcome of one command.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<InboxState>,
    filled: Notify,
    waiting: Arc<Waiting>,
}

#[derive(Debug, Default)]
struct InboxState {
    chunks: VecDeque<OutputChunk>,
    bytes: usize,
    end: Option<CommandEnd>,
}

/// How a command's story ended.
#[derive(Clone, Debug)]
pub(crate) enum CommandEnd {
    /// With an outcome. All its output came before.
    Exited(Exited),
    /// The worker does not have it, or it is not what was asked for.
    Lost(String),
}

/// What [`Inbox::take`] found.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) chunks: VecDeque<OutputChunk>,
    pub(crate) end: Option<CommandEnd>,
}

impl Inbox {
    pub(crate) fn new(waiting: Arc<Waiting>) -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            waiting,
        }
    }

    /// Waits until there is something, then takes all of it. Cancel safe.
    pub(crate) async fn take(&self) -> Arrived {
        loop {
            let filled = self.filled.notified();
            {
                let mut state = self.state.lock().expect("no panic while holding the lock");
                if !state.chunks.is_empty() || state.end.is_some() {
                    self.waiting.take(std::mem::take(&mut state.bytes));
                    return Arrived {
                        chunks: std::mem::take(&mut state.chunks),
                        end: state.end.take(),
                    };
                }
            }
            filled.await;
        }
    }

    /// False if too many chunks wait.
    pub(crate) fn push(&self, chunk: OutputChunk) -> bool {
        let mut state = self.state.lock().expect("no panic while holding the lock");
        if state.chunks.len() >= CHUNKS_MAX {
            return false;
        }
        state.bytes += chunk.data.len();
        self.waiting.add(chunk.data.len());
        state.chunks.push_back(chunk);
        drop(state);
        self.filled.notify_one();
        true
    }

    pub(crate) fn end(&self, end: CommandEnd) {
        self.state.lock().expect("no panic while holding the lock").end = Some(end);
        self.filled.notify_one();
    }
}

/// What nobody takes any more makes room, too.
impl Drop for Inbox {
    fn drop(&mut self) {
        if let Ok(state) = self.state.get_mut() {
            self.waiting.take(state.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use ironmaster_wire::{CommandId, Stream};

    use super::*;

    fn chunk(bytes: usize) -> OutputChunk {
        OutputChunk {
            id: CommandId {
                build: 1,
                step: 1,
                ordinal: 0,
            },
            offset: 0,
            stream: Stream::Stdout,
            data: vec![b'x'; bytes].into(),
        }
    }

    #[tokio::test]
    async fn what_waits_is_counted_over_all_commands_of_a_worker() {
        let waiting = Arc::new(Waiting::default());
        let inboxes = [(); 3].map(|()| Inbox::new(waiting.clone()));
        for inbox in &inboxes {
            assert!(inbox.push(chunk(BYTES_MAX / 2)));
        }
        assert!(waiting.is_full());
        // One is read, and one is given up.
        let room = waiting.room.notified();
        let [first, second, third] = inboxes;
        assert_eq!(first.take().await.chunks.len(), 1);
        room.await;
        assert!(!waiting.is_full(), "as much as may wait does not stop the worker");
        assert!(second.push(chunk(1)));
        assert!(waiting.is_full());
        drop(third);
        assert!(!waiting.is_full());
        drop((first, second));
        assert_eq!(waiting.bytes.load(Ordering::Acquire), 0);
    }
}
