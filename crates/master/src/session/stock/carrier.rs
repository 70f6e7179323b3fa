//! What the link asks of a connection of a stock worker, and how it is told when something is due.

use std::{collections::VecDeque, time::Duration};

use ironmaster_wire::{CommandId, Exited, Frame, MasterEvent, Outcome, Verb, Welcome};

use super::{DIRS_MAX, GREETING, State, StockSession, Waiting, broken, verbs};
use crate::session::{Carrier, CarrierError};

/// A stock worker does one thing at a time, and does not answer while it removes a large folder: it counts as dead only after
/// so many heartbeats of silence.
const SILENT_HEARTBEATS: u32 = 12;
/// How long the commands of a worker whose program is to end may take to end first.
const END_TIME: Duration = Duration::from_secs(5);

impl Carrier for StockSession {
    fn feed(&mut self, frame: Frame, now: Duration) -> Result<(), CarrierError> {
        self.now = now;
        self.heard = now;
        let Frame::Binary(bytes) = frame else {
            return Err(CarrierError::Broken(
                "the worker sent text, where this protocol has binary messages only".into(),
            ));
        };
        self.end.feed(&bytes).map_err(broken)?;
        self.drain()
    }

    fn poll_event(&mut self) -> Option<MasterEvent> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        event
    }

    fn poll_send(&mut self) -> Option<Frame> {
        self.end.poll_send().map(Frame::Binary)
    }

    fn poll_timeout(&self) -> Option<Duration> {
        match self.state {
            State::Greeting => Some(self.began + GREETING),
            State::Open { heartbeat } => {
                let ping = self.heard.max(self.pinged) + heartbeat;
                Some(self.ending.map_or(ping, |ending| ending.min(ping)))
            }
            State::Deciding | State::Closed => None,
        }
    }

    fn handle_timeout(&mut self, now: Duration) -> Result<(), CarrierError> {
        self.now = now;
        match self.state {
            State::Greeting if now >= self.began + GREETING => Err(CarrierError::Broken(format!(
                "the worker has not said what it is within {} s",
                GREETING.as_secs()
            ))),
            State::Open { heartbeat } => {
                let silence = now.saturating_sub(self.heard);
                if silence > heartbeat * SILENT_HEARTBEATS {
                    return Err(CarrierError::Broken(format!(
                        "nothing heard from the worker for {} s",
                        silence.as_secs()
                    )));
                }
                if silence >= heartbeat {
                    self.ask()?;
                }
                self.end_program()
            }
            _ => Ok(()),
        }
    }

    fn protocol(&self) -> &'static str {
        self.protocol
    }

    fn is_known(&self) -> bool {
        true
    }

    fn takes_shutdown_wish(&mut self) -> bool {
        std::mem::take(&mut self.wants_shutdown)
    }

    fn wants_dirs(&self) -> bool {
        self.end.one_command_a_builder()
    }

    fn welcome(&mut self, settings: Welcome, dirs: Vec<String>, now: Duration) -> Result<(), CarrierError> {
        self.now = now;
        self.state = State::Open {
            heartbeat: Duration::from_millis(settings.heartbeat_ms.max(1)),
        };
        self.dirs.extend(dirs.into_iter().take(DIRS_MAX));
        self.tell_dirs()?;
        self.drain()
    }

    fn refuse(&mut self, reason: &str, _retry: bool) {
        if self.state != State::Closed {
            // So that its owner reads in its log what is wrong; the protocol has no word for it that would not end the worker.
            let _ = self
                .end
                .print(&format!("the master closes this connection: {reason}"));
            self.state = State::Closed;
        }
    }

    fn goodbye(&mut self, reason: &str) {
        let running: Vec<u64> = self.tasks.keys().copied().collect();
        for number in running {
            self.end_command(number, reason);
        }
        self.state = State::Closed;
    }

    fn start(&mut self, id: CommandId, _digest: String, verb: Verb) -> Result<(), CarrierError> {
        if self.state == State::Closed {
            return Err(CarrierError::Closed);
        }
        let dir = verbs::dir(&verb).to_owned();
        self.waiting.push_back(Waiting {
            id,
            verb,
            dir: dir.clone(),
        });
        self.know(&dir)?;
        self.drain()
    }

    fn resume(&mut self, id: CommandId, _offset: u64) -> Result<(), CarrierError> {
        Err(CarrierError::Unfit(format!(
            "a stock worker keeps nothing of command {id} that another connection began"
        )))
    }

    fn ack(&mut self, _id: CommandId, _offset: u64) {}

    fn interrupt(&mut self, id: CommandId, reason: String) {
        for number in self.numbers_of(id) {
            if let Some(task) = self.tasks.get_mut(&number) {
                task.running.interrupt(reason.clone());
            }
            self.end_command(number, &reason);
        }
        let waiting = std::mem::take(&mut self.waiting);
        for command in waiting {
            if command.id == id {
                self.events.push_back(MasterEvent::Exited(Exited {
                    id,
                    outcome: Outcome::Interrupted {
                        reason: reason.clone(),
                    },
                    output_end: 0,
                    duration_ms: 0,
                }));
            } else {
                self.waiting.push_back(command);
            }
        }
    }

    fn forget(&mut self, id: CommandId) {
        self.waiting.retain(|waiting| waiting.id != id);
        for number in self.numbers_of(id) {
            if let Some(task) = self.tasks.get_mut(&number) {
                task.forgotten = true;
            }
            self.end_command(number, "nobody wants its result any more");
        }
    }

    /// What runs is lost, whatever it says of its end. It is ended before the program, which would leave it behind.
    fn shut_down(&mut self, reason: &str, now: Duration) -> Result<(), CarrierError> {
        self.now = now;
        let lost = |id| MasterEvent::Lost {
            id,
            reason: reason.to_owned(),
        };
        let waiting = self.waiting.drain(..).map(|waiting| waiting.id);
        self.events.extend(waiting.map(lost));
        let running: Vec<u64> = self.tasks.keys().copied().collect();
        for number in running {
            if let Some(task) = self.tasks.get_mut(&number).filter(|task| !task.forgotten) {
                task.forgotten = true;
                self.events.push_back(lost(task.running.id()));
            }
            self.end_command(number, reason);
        }
        self.ending = Some(now + END_TIME);
        self.end_program()
    }

    fn ping(&mut self) -> Result<(), CarrierError> {
        self.ask()
    }
}
