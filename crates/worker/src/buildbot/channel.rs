//! What commands say to the connection that they were started on, and what it says to them.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use ironmaster_buildbot::{CommandId, Transfer, Update};
use tokio::sync::Notify;

use crate::exec::Cause;

/// How many bytes commands may have said that the connection has not taken yet. Programs that print more have to wait.
const BACKLOG: usize = 1024 * 1024;

/// Something for the master.
#[derive(Debug)]
pub(super) enum Said {
    Updates(Vec<Update>),
    Transfer(Transfer),
    Complete(Option<String>),
}

/// The way from commands to their connection. It closes with the connection; what is said then is dropped.
#[derive(Debug, Default)]
pub(super) struct Channel {
    queue: RefCell<VecDeque<(CommandId, Said, usize)>>,
    backlog: Cell<usize>,
    closed: Cell<bool>,
    /// Tells the connection that there is something.
    pub(super) wake: Notify,
    /// Tells commands that there is room.
    room: Notify,
}

impl Channel {
    pub(super) fn say(&self, id: &CommandId, said: Said) {
        if self.closed.get() {
            return;
        }
        let size = match &said {
            Said::Updates(updates) => updates.iter().map(size_of).sum(),
            Said::Transfer(Transfer::Write(data)) => data.len(),
            Said::Transfer(_) | Said::Complete(_) => 0,
        };
        self.backlog.set(self.backlog.get() + size);
        self.queue.borrow_mut().push_back((id.clone(), said, size));
        self.wake.notify_one();
    }

    /// The next thing to send.
    pub(super) fn take(&self) -> Option<(CommandId, Said)> {
        let (id, said, size) = self.queue.borrow_mut().pop_front()?;
        self.backlog.set(self.backlog.get() - size);
        if !self.is_full() {
            self.room.notify_waiters();
        }
        Some((id, said))
    }

    pub(super) fn is_full(&self) -> bool {
        self.backlog.get() > BACKLOG && !self.closed.get()
    }

    /// Waits until commands may go on.
    pub(super) async fn room(&self) {
        while self.is_full() {
            self.room.notified().await;
        }
    }

    /// The connection is over.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.queue.borrow_mut().clear();
        self.backlog.set(0);
        self.room.notify_waiters();
    }
}

fn size_of(update: &Update) -> usize {
    match update {
        Update::Output { lines, .. } | Update::Log { lines, .. } => lines.text.len() + 16 * lines.times.len(),
        Update::Files(files) => files.iter().map(|file| file.len() + 16).sum(),
        _ => 32,
    }
}

/// What the master said to a transfer.
#[derive(Debug)]
pub(super) enum Answer {
    Done,
    Data(Bytes),
    Failed(String),
}

/// A command that runs, as its connection sees it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) id: CommandId,
    pub(super) channel: Rc<Channel>,
    stop: RefCell<Option<Cause>>,
    stop_asked: Notify,
    interrupted: Cell<bool>,
    /// Tells work that blocks a thread that nobody wants it any more.
    pub(super) cancelled: Arc<AtomicBool>,
    answer: RefCell<Option<Answer>>,
    answered: Notify,
}

impl Running {
    pub(super) fn new(id: CommandId, channel: Rc<Channel>) -> Self {
        Self {
            id,
            channel,
            stop: RefCell::default(),
            stop_asked: Notify::new(),
            interrupted: Cell::new(false),
            cancelled: Arc::default(),
            answer: RefCell::default(),
            answered: Notify::new(),
        }
    }

    pub(super) fn say(&self, said: Said) {
        self.channel.say(&self.id, said);
    }

    /// The master wants it to end, or nobody wants it any more.
    pub(super) fn stop(&self, cause: Cause) {
        self.interrupted.set(true);
        if cause == Cause::Drop {
            self.cancelled.store(true, Ordering::Relaxed);
        }
        let mut stop = self.stop.borrow_mut();
        if stop.is_none() || cause == Cause::Drop {
            *stop = Some(cause);
        }
        self.stop_asked.notify_one();
    }

    /// The worker itself has to end the program.
    pub(super) fn end_program(&self, cause: Cause) {
        self.stop.borrow_mut().get_or_insert(cause);
        self.stop_asked.notify_one();
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.get()
    }

    /// Waits until the command is to end.
    pub(super) async fn stop_asked(&self) -> Cause {
        loop {
            if let Some(cause) = self.stop.borrow_mut().take() {
                return cause;
            }
            self.stop_asked.notified().await;
        }
    }

    /// The master has answered a transfer.
    pub(super) fn answer(&self, answer: Answer) {
        *self.answer.borrow_mut() = Some(answer);
        self.answered.notify_one();
    }

    /// Sends or asks for a block, and waits for the answer. The error is the master's words, or says that the connection is gone.
    pub(super) async fn transfer(&self, transfer: Transfer) -> Result<Bytes, String> {
        self.say(Said::Transfer(transfer));
        loop {
            match self.answer.borrow_mut().take() {
                Some(Answer::Done) => return Ok(Bytes::new()),
                Some(Answer::Data(data)) => return Ok(data),
                Some(Answer::Failed(reason)) => return Err(reason),
                None => {}
            }
            if self.channel.closed.get() {
                return Err("the connection is gone".into());
            }
            tokio::select! {
                () = self.answered.notified() => {}
                // Said once when the connection closes; the flag above is looked at again.
                () = self.channel.room.notified() => {}
            }
        }
    }
}
