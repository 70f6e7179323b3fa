//! The life of a worker: lock, leftovers, guard, then connection after connection.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, SystemTime},
};

use ironmaster_tls::{Stream, Trust};
use ironmaster_wire::{Capabilities, Hello, Limits, PATH, PROTOCOL_MAX, PROTOCOL_MIN};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, Semaphore, watch},
    task::LocalSet,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, client::IntoClientRequest as _, protocol::WebSocketConfig},
};

use crate::{
    Backoff, Said, SpoolLimits, WorkerError,
    commands::{Commands, Context, FILE_WORK},
    dial::{Tls, dial},
    ground::Ground,
    info,
    link::{Ended, Link, Memory},
    procs,
    status::{self, Connection},
};

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long commands may take to end gently when the worker stops.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Threads for what must not wait for work on files: looking up the master's name, killing, reading log files.
const OTHER_THREADS: usize = 24;

/// What a worker needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the master is: `ws://HOST:PORT` or `wss://HOST:PORT`, with or without the path `/worker`.
    pub master: String,
    /// A file with the certificates of those whose word counts that the master is the master, if it is not the machine's authorities.
    pub ca_file: Option<PathBuf>,
    /// The name that the master knows the worker by.
    pub name: String,
    /// The secret that goes with the name.
    pub token: String,
    /// The folder below which everything happens.
    pub basedir: PathBuf,
    /// What its owner says of this machine.
    pub said: Said,
    /// How many commands may run at once.
    pub max_commands: u32,
    /// How much output of each command is kept for the master.
    pub spool: SpoolLimits,
    /// The shortest and the longest pause between attempts to connect.
    pub backoff: (Duration, Duration),
    /// The program that becomes the guard when its first argument is [`GUARD_ARGUMENT`](crate::GUARD_ARGUMENT).
    pub guard: PathBuf,
}

/// Runs a worker until it is stopped by SIGTERM or SIGINT, or until the master refuses it for good.
/// Call it on the program's main thread: commands die with the thread that started them.
pub fn run(config: &Config) -> Result<(), WorkerError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(FILE_WORK + OTHER_THREADS)
        .build()
        .map_err(WorkerError::Runtime)?;
    let result = LocalSet::new().block_on(&runtime, work(config));
    // A thread that is removing a large folder must not hold up the end.
    runtime.shutdown_background();
    result
}

/// Time that goes on while the machine sleeps, for the lease.
pub(crate) fn clock() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

async fn work(config: &Config) -> Result<(), WorkerError> {
    let address = address(&config.master, config.ca_file.as_deref())?;
    if let Some(tls) = &address.tls {
        tls.check(&address.host)?;
    }
    let (ground, guard) = Ground::take(&config.basedir, &config.guard)?;
    let (base, instance) = (&ground.base, &ground.instance);
    let context = Rc::new(Context {
        info: info::gather(base.path(), config.said.clone()),
        base: base.clone(),
        registry: ground.registry.clone(),
        spool: config.spool,
        file_work: Semaphore::new(FILE_WORK),
        wake: Notify::new(),
    });
    let commands = Rc::new(Commands::new(context, config.max_commands));
    let memory = Rc::new(Memory {
        last_heard: clock().into(),
        lease: None.into(),
    });
    let (stop, mut stopped) = watch::channel(0_u8);
    let mut terminate = signal(SignalKind::terminate()).map_err(WorkerError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(WorkerError::Runtime)?;
    let state = Connection::new();
    let connections = connections(
        config,
        &address,
        instance,
        &commands,
        &memory,
        &state,
        stopped.clone(),
    );
    let folder = base.state();
    let tell = status::tell(&folder, &config.name, &address.url, &state, || {
        commands.statuses()
    });
    let watch_signals = async {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.send_modify(|level| *level = level.saturating_add(1));
            if *stop.borrow() == 1 {
                tracing::info!("stopping; a second signal stops at once");
                commands.stop_all(STOP_GRACE);
                commands.context().wake.notify_one();
            }
        }
    };
    tokio::select! {
        result = connections => result,
        // The guard kills what still runs.
        _ = stopped.wait_for(|level| *level > 1) => Ok(()),
        () = watch_signals => Ok(()),
        () = watch_lease(&commands, &memory) => Ok(()),
        () = ground.keep_guard(guard) => Ok(()),
        () = tell => Ok(()),
    }
}

/// Kills what runs when the master has not been heard for the lease.
async fn watch_lease(commands: &Commands, memory: &Memory) {
    loop {
        let lease = memory.lease.get();
        // Looked at from time to time rather than once at the end: timers stand still while the machine sleeps.
        sleep(lease.map_or(Duration::from_secs(1), |lease| {
            (lease / 8).clamp(Duration::from_millis(10), Duration::from_secs(5))
        }))
        .await;
        keep_lease(commands, memory);
    }
}

/// Kills what runs if the lease is over.
pub(crate) fn keep_lease(commands: &Commands, memory: &Memory) {
    let silence = clock().saturating_sub(memory.last_heard.get());
    if let Some(lease) = memory.lease.get()
        && silence >= lease
        && commands.running() > 0
    {
        tracing::warn!(
            "not heard from the master for {:.0} s, which is its lease: killing {} commands",
            silence.as_secs_f64(),
            commands.running()
        );
        commands.expire();
        // The next one starts a new lease; those that are dying are not to be reported again and again.
        memory.last_heard.set(clock());
    }
}

/// Connects, again and again, until the worker is stopped or refused for good.
async fn connections(
    config: &Config,
    address: &Address,
    instance: &str,
    commands: &Commands,
    memory: &Memory,
    state: &Connection,
    mut stopped: watch::Receiver<u8>,
) -> Result<(), WorkerError> {
    let mut backoff = Backoff::new(config.backoff.0, config.backoff.1);
    loop {
        if commands.is_stopping() {
            // The master has ended this worker, and was lost before it heard goodbye.
            return wait_for_commands(commands).await;
        }
        let attempt = tokio::select! {
            attempt = connect(address) => attempt,
            _ = stopped.wait_for(|level| *level > 0) => return wait_for_commands(commands).await,
        };
        match attempt {
            Err(reason) => {
                let text = format!("cannot reach the master at {}: {reason}", address.url);
                state.change(&text, false);
            }
            Ok(socket) => {
                let welcomed = std::cell::Cell::new(None);
                let on_welcome = |welcome: &ironmaster_wire::Welcome| {
                    welcomed.set(Some(Instant::now()));
                    let text = format!(
                        "connected to {} as {}, session {}",
                        address.url, config.name, welcome.session
                    );
                    state.change(&text, true);
                };
                commands.reconnecting();
                let hello = hello(config, instance, commands);
                match Link::new(socket, hello, commands, memory, &on_welcome)
                    .run()
                    .await
                {
                    Ended::Stopped => return Ok(()),
                    Ended::Refused { reason, retry: true } => {
                        let text = format!("the master refused this worker: {reason}; trying again");
                        state.change(&text, false);
                    }
                    Ended::Refused { reason, retry: false } => {
                        commands.stop_all(STOP_GRACE);
                        wait_for_commands(commands).await?;
                        return Err(WorkerError::Refused { reason });
                    }
                    Ended::Lost { reason, violation } => {
                        state.change(&format!("lost the master: {reason}; connecting again"), false);
                        if let Some(since) = welcomed.get().filter(|_| !violation) {
                            backoff.ended_after(since.elapsed());
                        }
                    }
                }
            }
        }
        tokio::select! {
            () = sleep(backoff.pause()) => {}
            _ = stopped.wait_for(|level| *level > 0) => return wait_for_commands(commands).await,
        }
    }
}

/// A worker that stops without a connection only waits until its commands are dead.
async fn wait_for_commands(commands: &Commands) -> Result<(), WorkerError> {
    while commands.running() > 0 {
        commands.context().wake.notified().await;
    }
    Ok(())
}

fn hello(config: &Config, instance: &str, commands: &Commands) -> Hello {
    Hello {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL_MAX,
        name: config.name.clone(),
        token: config.token.clone(),
        instance: instance.to_owned(),
        boot: procs::boot_id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time_ms: SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()
            .and_then(|now| u64::try_from(now.as_millis()).ok()),
        capabilities: Capabilities {
            resumes: true,
            kills_on_disconnect: false,
            max_commands: Some(config.max_commands),
            exact_bytes: true,
            line_limit: None,
            shuts_down: true,
            pty: true,
            log_files: true,
        },
        info: commands.context().info.clone(),
        commands: commands.reports(),
    }
}

/// Where the master is.
pub(crate) struct Address {
    url: String,
    host: String,
    port: u16,
    tls: Option<Tls>,
}

pub(crate) fn address(text: &str, ca_file: Option<&Path>) -> Result<Address, WorkerError> {
    let bad = |problem: &str| WorkerError::Address {
        address: text.to_owned(),
        problem: problem.to_owned(),
    };
    let text = text.trim_end_matches('/');
    let (scheme, rest) = match text.split_once("://") {
        Some(("ws" | "http", rest)) => ("ws", rest),
        Some(("wss" | "https", rest)) => ("wss", rest),
        Some(_) => return Err(bad("it must begin with ws:// or wss://")),
        None => ("ws", text),
    };
    let tls = match (scheme, ca_file) {
        ("wss", file) => Some(Tls {
            trust: file.map_or(Trust::System, |file| Trust::File(file.to_owned())),
            name: None,
        }),
        (_, None) => None,
        // Somebody who names an authority means to be protected.
        (_, Some(_)) => {
            return Err(bad(
                "--ca-file is for wss://, and without that nothing is encrypted",
            ));
        }
    };
    let url = format!("{scheme}://{rest}");
    let url = if url.splitn(4, '/').nth(3).is_some() {
        url
    } else {
        format!("{url}{PATH}")
    };
    let request = url
        .as_str()
        .into_client_request()
        .map_err(|error| bad(&error.to_string()))?;
    let host = request
        .uri()
        .host()
        .filter(|host| !host.is_empty())
        .ok_or_else(|| bad("it names no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let usual = if tls.is_some() { 443 } else { 80 };
    let port = request.uri().port_u16().unwrap_or(usual);
    Ok(Address { url, host, port, tls })
}

/// Makes a connection; the error is a sentence for the log.
async fn connect(address: &Address) -> Result<WebSocketStream<Stream>, String> {
    let attempt = async {
        let stream = dial(&address.host, address.port, address.tls.as_ref()).await?;
        let limit = Limits::default().max_frame();
        let config = WebSocketConfig::default()
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit))
            .read_buffer_size(16 * 1024);
        let request = address
            .url
            .as_str()
            .into_client_request()
            .map_err(|error| error.to_string())?;
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => Err(format!(
                "it answered {} instead of opening a WebSocket; is this the address of an Ironmaster master?",
                response.status()
            )),
            Err(error) => Err(error.to_string()),
        }
    };
    timeout(CONNECT_TIMEOUT, attempt)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())))
}
