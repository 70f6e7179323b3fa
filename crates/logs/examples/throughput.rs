//! Measures a 100 MB log of 80-byte lines: `cargo run --release -p ironmaster-logs --example throughput [MB [LEVEL WINDOW_LOG]]`.
//!
//! Prints ingest (one core, a flush each 64 KiB as it comes), size, raw download, `contents`, random line ranges.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use ironmaster_logs::{
    LineCursor, LogError, LogKind, LogReader, LogSource, LogStore, LogWriter, Options, Position, Stream,
};

/// Numbers that look random and are the same everywhere (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// Lines of 80 bytes: number, blank, 69 characters as compilers write them, dot, newline.
fn text(bytes: usize) -> Vec<u8> {
    let (mut numbers, mut out, mut line) = (Numbers(1), Vec::with_capacity(bytes + 80), String::new());
    let dirs = [
        "src/core",
        "src/net",
        "lib/codec",
        "tests/unit",
        "third_party/zlib",
        "src/ui/widgets",
    ];
    let verbs = [
        "Compiling",
        "Linking",
        "[ RUN      ]",
        "[       OK ]",
        "warning: unused",
        "Checking",
    ];
    let names = [
        "session", "buffer", "index", "table", "parser", "stream", "handler", "socket", "timer",
    ];
    let mut pick = |list: &[&'static str]| list[numbers.below(list.len() as u64) as usize];
    let mut count = 0_u64;
    while out.len() < bytes {
        line.clear();
        let (verb, dir, name, other) = (pick(&verbs), pick(&dirs), pick(&names), pick(&names));
        let took = count.wrapping_mul(2_654_435_761) % 4000;
        let _ = write!(
            line,
            "{verb} {dir}/{name}_{other}.cpp:{} ({took} ms) -O2 -Wall -Wextra -fPIC",
            took % 997
        );
        let _ = writeln!(out_string(&mut out), "{count:08} {line:<69.69}.");
        count += 1;
    }
    out
}

fn out_string(out: &mut Vec<u8>) -> impl std::fmt::Write + '_ {
    struct Out<'a>(&'a mut Vec<u8>);
    impl std::fmt::Write for Out<'_> {
        fn write_str(&mut self, s: &str) -> std::fmt::Result {
            self.0.extend_from_slice(s.as_bytes());
            Ok(())
        }
    }
    Out(out)
}

/// Time since then: on the clock, and what this thread was on a core (other programs do not disturb that).
struct Since(Instant, Duration);

impl Since {
    fn now() -> Self {
        Self(Instant::now(), on_core())
    }

    fn rate(&self, what: &str, bytes: u64) {
        let (clock, core) = (self.0.elapsed(), on_core().saturating_sub(self.1));
        let rate = |took: Duration| bytes as f64 / 1e6 / took.as_secs_f64();
        println!(
            "{what:<28} {:>6.0} MB/s of CPU time, {:>6.0} MB/s on the clock",
            rate(core),
            rate(clock)
        );
    }
}

fn on_core() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(
        text.split(' ')
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or_default(),
    )
}

fn peak_rss() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default()
        .to_owned()
}

fn main() -> Result<(), LogError> {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u32>().unwrap_or_default());
    let size = arguments.next().unwrap_or(100) as usize * 1_000_000;
    let mut options = Options::default();
    if let (Some(level), Some(window_log)) = (arguments.next(), arguments.next()) {
        options = Options {
            level: level as i32,
            window_log,
            ..options
        };
    }
    println!("level {}, window 2^{}", options.level, options.window_log);
    let file = std::env::var("LOG_TEXT")
        .ok()
        .and_then(|path| std::fs::read(path).ok());
    let input = file.unwrap_or_else(|| text(size));
    let dir = std::env::temp_dir().join(format!("ironmaster-logs-throughput-{}", std::process::id()));
    let store = LogStore::open(&dir, options)?;

    let begin = Since::now();
    let mut writer = LogWriter::create(&store, 1, 1, LogKind::Stream);
    let mut offset = 0;
    for chunk in input.chunks(64 * 1024) {
        writer.append(Position::new(0, offset), Stream::Stdout, chunk)?;
        offset += chunk.len() as u64;
    }
    writer.flush()?;
    begin.rate("ingest (append, flush)", offset);
    let finished = writer.finish()?;
    begin.rate("ingest (durable)", offset);
    let stored = std::fs::metadata(store.path(1)).map_or(0, |data| data.len());
    println!(
        "stored {stored} bytes = {:.2} % ; {} lines",
        stored as f64 * 100.0 / offset as f64,
        finished.num_lines
    );

    let begin = Instant::now();
    let reader = LogReader::open(&store, LogSource::File { key: 1, log_id: 1 })?;
    println!("open a finished log          {:?}", begin.elapsed());

    let begin = Since::now();
    let (mut raw, mut bytes) = (reader.raw()?, 0_usize);
    loop {
        let chunk = raw.chunk()?;
        if chunk.is_empty() {
            break;
        }
        assert_eq!(chunk, &input[bytes..bytes + chunk.len()], "raw download differs");
        bytes += chunk.len();
    }
    assert_eq!(bytes, input.len());
    begin.rate("raw download (and compare)", bytes as u64);

    let begin = Since::now();
    let (mut contents, mut bytes) = (reader.contents(0, None)?, 0);
    loop {
        let chunk = contents.chunk()?;
        if chunk.is_empty() {
            break;
        }
        bytes += chunk.len() as u64;
    }
    begin.rate("contents form", bytes);

    let mut numbers = Numbers(2);
    let mut took: Vec<Duration> = (0..200)
        .map(|_| {
            let first = numbers.below(reader.num_lines());
            let begin = Instant::now();
            let page = reader.lines(LineCursor::line(first), 100, 1 << 20)?;
            assert!(!page.lines.is_empty());
            Ok::<_, LogError>(begin.elapsed())
        })
        .collect::<Result<_, _>>()?;
    took.sort_unstable();
    println!(
        "100 lines from anywhere      p50 {:?}, p99 {:?}",
        took[took.len() / 2],
        took[took.len() * 99 / 100]
    );
    let begin = Instant::now();
    reader.tail(100, 1 << 20)?;
    println!("last 100 lines               {:?}", begin.elapsed());
    let begin = Since::now();
    let report = store.verify(1)?;
    begin.rate("verify", offset);
    println!("findings: {}; {}", report.findings.len(), peak_rss());
    let _ = std::fs::remove_dir_all(&dir);
    Ok(())
}
