//! What a command tells its master: lines and other news, gathered for a while, then sent together.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use ironmaster_buildbot::{Lines, Stream, Update, msgpack::Settings};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    channel::{Running, Said},
    lines::LineMaker,
};
use crate::{exec::Cause, leftovers::Registry, program::Owner};

/// One update carries no more text than about this: what both protocols take.
const MAX_TEXT: usize = 128 * 1024;

/// Where lines belong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Header,
    Stdout,
    Stderr,
    Log(String),
}

/// What is not of interest, and how much is too much.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) no_stdout: bool,
    pub(super) no_stderr: bool,
    pub(super) max_lines: Option<u64>,
}

/// The mouth of one command.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) running: Rc<Running>,
    label: String,
    registry: Registry,
    settings: Settings,
    filter: Filter,
    makers: RefCell<BTreeMap<Source, LineMaker>>,
    gathered: RefCell<Vec<Update>>,
    size: Cell<usize>,
    /// When the oldest of what is gathered came.
    since: Cell<Option<Instant>>,
    changed: Notify,
    printed: Cell<u64>,
    ended_line_with_return: Cell<bool>,
    exceeded: Cell<bool>,
    /// The names of the log files.
    files: RefCell<Vec<String>>,
    exit_code: Cell<Option<i32>>,
}

impl Report {
    pub(super) fn new(
        running: Rc<Running>,
        label: String,
        registry: Registry,
        settings: Settings,
        filter: Filter,
    ) -> Self {
        Self {
            running,
            label,
            registry,
            settings,
            filter,
            makers: RefCell::default(),
            gathered: RefCell::default(),
            size: Cell::new(0),
            since: Cell::new(None),
            changed: Notify::new(),
            printed: Cell::new(0),
            ended_line_with_return: Cell::new(false),
            exceeded: Cell::new(false),
            files: RefCell::default(),
            exit_code: Cell::new(None),
        }
    }

    /// The same mouth for another program of one command.
    pub(super) fn relabel(&mut self, label: String) {
        self.label = label;
    }

    /// A line of the worker's own about something that went wrong.
    pub(super) fn complain(&self, text: &str) {
        self.add(&Source::Stderr, text.as_bytes());
        self.end_lines();
    }

    /// What the logs of the next program's files are called.
    pub(super) fn name_files(&self, names: Vec<String>) {
        *self.files.borrow_mut() = names;
    }

    /// News that is no text. Lines that were begun before stay open.
    pub(super) fn news(&self, update: Update) {
        self.size.set(self.size.get() + 20);
        self.gathered.borrow_mut().push(update);
        self.grown();
    }

    /// Every stream is over: lines that have no end get one.
    pub(super) fn end_lines(&self) {
        let makers = std::mem::take(&mut *self.makers.borrow_mut());
        for (source, mut maker) in makers {
            let mut lines = Lines::default();
            maker.end(now(), &mut lines);
            self.gather(&source, lines);
        }
    }

    /// Sends what is gathered.
    pub(super) fn flush(&self) {
        self.since.set(None);
        self.size.set(0);
        let gathered = std::mem::take(&mut *self.gathered.borrow_mut());
        if !gathered.is_empty() {
            self.running.say(Said::Updates(gathered));
        }
    }

    /// Waits until what is gathered has waited long enough.
    pub(super) async fn flush_due(&self) {
        loop {
            match self.since.get() {
                Some(since) => return sleep_until(since + self.patience()).await,
                None => self.changed.notified().await,
            }
        }
    }

    /// Whether the program was ended because it printed too many lines.
    pub(super) fn has_exceeded(&self) -> bool {
        self.exceeded.get()
    }

    /// What a program that was made to end made of it. Success it is not.
    pub(super) fn code_of_ended(&self) -> i64 {
        self.exit_code
            .get()
            .filter(|code| *code != 0)
            .map_or(-1, i64::from)
    }

    fn patience(&self) -> Duration {
        Duration::try_from_secs_f64(self.settings.buffer_timeout)
            .unwrap_or_default()
            .min(Duration::from_mins(1))
    }

    fn add(&self, source: &Source, data: &[u8]) {
        let mut lines = Lines::default();
        self.makers
            .borrow_mut()
            .entry(source.clone())
            .or_insert_with(|| LineMaker::new(&self.settings))
            .push(data, now(), &mut lines);
        self.gather(source, lines);
    }

    fn gather(&self, source: &Source, lines: Lines) {
        if lines.text.is_empty() {
            return;
        }
        self.size
            .set(self.size.get() + lines.text.len() + 16 * lines.times.len());
        let mut gathered = self.gathered.borrow_mut();
        let mut rest = lines;
        while !rest.text.is_empty() {
            let (piece, after) = split(rest);
            rest = after;
            match gathered.last_mut().and_then(|last| lines_of(last, source)) {
                Some(last) if last.text.len() + piece.text.len() <= MAX_TEXT => {
                    last.text.push_str(&piece.text);
                    last.times.extend(piece.times);
                }
                _ => gathered.push(match source {
                    Source::Header => output(Stream::Header, piece),
                    Source::Stdout => output(Stream::Stdout, piece),
                    Source::Stderr => output(Stream::Stderr, piece),
                    Source::Log(name) => Update::Log {
                        name: name.clone(),
                        lines: piece,
                    },
                }),
            }
        }
        drop(gathered);
        self.grown();
    }

    fn grown(&self) {
        if self.size.get() as u64 >= self.settings.buffer_size {
            self.flush();
        } else if self.since.get().is_none() {
            self.since.set(Some(Instant::now()));
            self.changed.notify_one();
        }
    }

    /// Counts ends of lines as they are printed: LF, CR LF or CR.
    fn count(&self, data: &[u8]) {
        let Some(most) = self.filter.max_lines else { return };
        let mut after_return = self.ended_line_with_return.get();
        let mut ends = 0;
        for byte in data {
            ends += u64::from(*byte == b'\r' || (*byte == b'\n' && !after_return));
            after_return = *byte == b'\r';
        }
        self.ended_line_with_return.set(after_return);
        self.printed.set(self.printed.get() + ends);
        if self.printed.get() > most && !self.exceeded.replace(true) {
            self.header(&format!("more than {most} lines of output: "));
            self.running.end_program(Cause::OutputLimit);
        }
    }
}

impl Owner for Report {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn push(&self, stream: ironmaster_wire::Stream, data: Bytes) {
        use ironmaster_wire::Stream::{File, Header, Stderr, Stdout};
        let source = match stream {
            Stdout if self.filter.no_stdout => return,
            Stderr if self.filter.no_stderr => return,
            Header => Source::Header,
            Stdout => Source::Stdout,
            Stderr => Source::Stderr,
            File(file) => {
                let name = self.files.borrow().get(usize::from(file)).cloned();
                return self.add(&Source::Log(name.unwrap_or_default()), &data);
            }
        };
        let is_output = source != Source::Header;
        self.add(&source, &data);
        if is_output {
            self.count(&data);
        }
    }

    fn is_full(&self) -> bool {
        self.running.channel.is_full()
    }

    async fn room(&self) {
        self.running.channel.room().await;
    }

    async fn stop_asked(&self) -> Cause {
        self.running.stop_asked().await
    }

    fn exited(&self, code: Option<i32>) {
        self.exit_code.set(code);
    }
}

fn output(stream: Stream, lines: Lines) -> Update {
    Update::Output { stream, lines }
}

/// The lines of an update, if they are of this source.
fn lines_of<'u>(update: &'u mut Update, source: &Source) -> Option<&'u mut Lines> {
    match (update, source) {
        (Update::Output { stream, lines }, source) => {
            let same = match stream {
                Stream::Header => *source == Source::Header,
                Stream::Stdout => *source == Source::Stdout,
                Stream::Stderr => *source == Source::Stderr,
            };
            same.then_some(lines)
        }
        (Update::Log { name, lines }, Source::Log(wanted)) if name == wanted => Some(lines),
        _ => None,
    }
}

/// As many lines as one update takes, and the rest.
fn split(mut lines: Lines) -> (Lines, Lines) {
    if lines.text.len() <= MAX_TEXT {
        return (lines, Lines::default());
    }
    let cut = match lines.text.as_bytes()[..MAX_TEXT]
        .iter()
        .rposition(|byte| *byte == b'\n')
    {
        Some(at) => at + 1,
        // One line; its end is somewhere.
        None => lines.text.find('\n').map_or(lines.text.len(), |at| at + 1),
    };
    let text = lines.text.split_off(cut);
    let count = lines.text.bytes().filter(|byte| *byte == b'\n').count();
    let times = lines.times.split_off(count.min(lines.times.len()));
    (lines, Lines { text, times })
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
