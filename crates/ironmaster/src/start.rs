//! `ironmaster start`: from a configuration to a master that serves.

use std::{path::Path, sync::Arc, time::Duration};

use ironmaster_api::{AccessToken, ApiSettings, Role};
use ironmaster_config::{LogLevel, Reading, Settings};
use ironmaster_master::{Master, MasterOptions};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

use crate::{
    admin, catalogue, database,
    failure::{Failure, colors},
};

pub(crate) fn run(config: &Path) -> Result<(), Failure> {
    let loaded = catalogue::load(config)?;
    log_to_stderr(loaded.settings.log_level);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("cannot start threads", &error))?;
    let result = runtime.block_on(serve(config, loaded));
    // What still blocks (a git that hangs, a read of a slow disk) does not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn serve(config: &Path, loaded: ironmaster_config::Loaded) -> Result<(), Failure> {
    let settings = loaded.settings;
    // The port first: nothing is touched if another program has it.
    let listener = TcpListener::bind(settings.listen).await.map_err(|error| {
        let failure = Failure::because(&format!("cannot listen on {}", settings.listen), &error);
        match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                failure.hint("another program (perhaps another master) has that port; stop it, or set `listen` in [master]")
            }
            _ => failure,
        }
    })?;
    let options = MasterOptions {
        database: database::of(&settings)?,
        lease: settings.lease,
        heartbeat: settings.heartbeat,
        ..MasterOptions::new(&settings.state_dir, Arc::new(loaded.plan))
    };
    let mut terminate = signals(SignalKind::terminate())?;
    let mut interrupt = signals(SignalKind::interrupt())?;
    let mut hangup = signals(SignalKind::hangup())?;
    let master = Master::start(options)
        .await
        .map_err(|error| Failure::because("", &error))?;
    let (token, first) = admin::token(&settings.state_dir)?;
    let api = ironmaster_api::serve(listener, master.clone(), api_settings(&settings, &token)?);
    println!(
        "Ironmaster {} is ready: {}",
        env!("CARGO_PKG_VERSION"),
        settings.url
    );
    if first {
        println!(
            "Log in as administrator: {}",
            admin::login_link(&settings, &token)
        );
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload(config, &master).await,
            () = master.stopped() => break,
        }
    }
    tracing::info!("stopping; running commands go on on their workers, and the next start takes them up");
    let stop = async {
        master.stop().await;
        api.stop().await;
    };
    tokio::select! {
        () = stop => {}
        _ = terminate.recv() => tracing::warn!("stopping at once"),
        _ = interrupt.recv() => tracing::warn!("stopping at once"),
    }
    Ok(())
}

/// A wrong file changes nothing.
async fn reload(config: &Path, master: &Master) {
    let path = config.to_owned();
    let loaded = tokio::task::spawn_blocking(move || catalogue::load(&path)).await;
    match loaded {
        Ok(Ok(loaded)) => match master.configure(Arc::new(loaded.plan)).await {
            Ok(()) => tracing::info!(config = %config.display(), "the configuration was reloaded"),
            Err(error) => tracing::error!(%error, "the configuration was not reloaded"),
        },
        Ok(Err(failure)) => {
            failure.report();
            tracing::error!(config = %config.display(), "the configuration has errors; the one in force stays");
        }
        Err(error) => tracing::error!(%error, "the configuration was not reloaded"),
    }
}

fn api_settings(settings: &Settings, token: &str) -> Result<ApiSettings, Failure> {
    let mut api = ApiSettings::new(settings.url.clone());
    api.title.clone_from(&settings.title);
    api.reading = match settings.reading {
        Reading::Open => ironmaster_api::Reading::Open,
        Reading::Login => ironmaster_api::Reading::LoggedIn,
    };
    api.tokens = vec![AccessToken::new("admin", token, Role::Admin)];
    api.session_secret = admin::session_secret(&settings.state_dir)?;
    api.hook_enabled = settings.change_hook.enabled;
    api.hook_token_sha256
        .clone_from(&settings.change_hook.token_sha256);
    let bytes = usize::try_from(settings.limits.request_bytes_max).unwrap_or(usize::MAX);
    api.limits.body_bytes = bytes;
    api.limits.hook_body_bytes = api.limits.hook_body_bytes.min(bytes);
    Ok(api)
}

fn signals(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(|error| Failure::because("cannot listen for signals", &error))
}

fn log_to_stderr(level: LogLevel) {
    let filter = EnvFilter::try_from_env("IRONMASTER_LOG").unwrap_or_else(|_| EnvFilter::new(level.word()));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colors())
        .with_writer(std::io::stderr)
        .init();
}
