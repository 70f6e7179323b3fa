//! Connections that readers share: opened when they are needed, up to a number; beyond, a reader waits.

use std::sync::{Condvar, Mutex, PoisonError};

pub(crate) struct Idle<C> {
    most: usize,
    state: Mutex<State<C>>,
    returned: Condvar,
}

struct State<C> {
    idle: Vec<C>,
    /// Connections that exist, idle or not.
    opened: usize,
}

impl<C> Idle<C> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            state: Mutex::new(State {
                idle: Vec::new(),
                opened: 0,
            }),
            returned: Condvar::new(),
        }
    }

    /// Borrows a connection, or opens one; waits while all are in use. What is taken is given back or forgotten.
    pub(crate) fn take<E>(&self, open: impl FnOnce() -> Result<C, E>) -> Result<C, E> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = state.idle.pop() {
                return Ok(connection);
            }
            if state.opened < self.most {
                state.opened += 1;
                drop(state);
                return open().inspect_err(|_| self.forget());
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A connection is not coming back; somebody else may open one in its place.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.opened -= 1;
        drop(state);
        self.returned.notify_one();
    }

    pub(crate) fn give_back(&self, connection: C) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.idle.push(connection);
        drop(state);
        self.returned.notify_one();
    }
}
