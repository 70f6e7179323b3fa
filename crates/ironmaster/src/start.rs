//! `ironmaster start`: from a configuration to a master that serves.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ironmaster_api::{AccessToken, ApiSettings, Listeners, LocalListener, Role};
use ironmaster_config::{LogLevel, Reading, Report, Settings};
use ironmaster_master::{
    ConfigSource, Findings, Leave, Master, MasterOptions, NewConfig, Origin, PbUser, ReloadError,
};
use ironmaster_model::{JobDef, Plan};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{
    admin, catalogue, database,
    failure::{Failure, colors},
    identity::Identities,
    limits,
    listen::listen,
};

pub(crate) fn run(config: &Path) -> Result<(), Failure> {
    let loaded = catalogue::load(config)?;
    log_to_stderr(loaded.settings.log_level);
    limits::raise_open_files();
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
    let identities = Identities::of(&settings)?;
    // Another working directory later on changes nothing.
    let path = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let source = Source {
        path,
        settings: settings.clone(),
        identities: identities.clone(),
    };
    // The port first: nothing is touched if another program has it.
    let listener = listen(settings.listen, "[master]")?;
    let mut pb = Vec::new();
    if let Some(ports) = &settings.pb {
        pb.push((listen(ports.listen, "[pb]")?, identities.pb.clone()));
        if let Some(plain) = ports.plain_listen {
            pb.push((listen(plain, "[pb]")?, None));
        }
    }
    let options = MasterOptions {
        database: database::of(&settings)?,
        lease: settings.lease,
        heartbeat: settings.heartbeat,
        feed_events: settings.limits.feed_events,
        files: files(loaded.files),
        config: Some(Arc::new(source)),
        ..MasterOptions::new(&settings.state_dir, Arc::new(loaded.plan))
    };
    let mut terminate = signals(SignalKind::terminate())?;
    let mut interrupt = signals(SignalKind::interrupt())?;
    let mut hangup = signals(SignalKind::hangup())?;
    let master = Master::start(options)
        .await
        .map_err(|error| Failure::because("", &error))?;
    let (token, first) = admin::token(&settings.state_dir)?;
    let local = LocalListener::bind(&settings.state_dir)
        .map_err(|error| {
            tracing::error!("the commands `reload`, `stop` and `explain` cannot reach this master: {error}");
        })
        .ok();
    let api_settings = api_settings(&settings, &token)?;
    for (port, identity) in pb {
        let reporter = settings.sendchange.as_ref().map(|sendchange| PbUser {
            name: sendchange.user.clone(),
            secret: sendchange.secret.clone(),
        });
        master.serve_pb(port, identity, reporter);
    }
    let listeners = Listeners {
        http: listener,
        identity: identities.http,
        local,
    };
    let api = ironmaster_api::serve_all(listeners, master.clone(), api_settings);
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
    let mut leave = Leave::Soon;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload(&master).await,
            asked = master.leaving() => {
                leave = asked;
                break;
            }
            () = master.stopped() => break,
        }
    }
    tracing::info!("stopping; running commands go on on their workers, and the next start takes them up");
    let stop = async {
        master.stop().await;
        if leave == Leave::Soon {
            api.stop().await;
        }
    };
    tokio::select! {
        () = stop => {}
        _ = terminate.recv() => tracing::warn!("stopping at once"),
        _ = interrupt.recv() => tracing::warn!("stopping at once"),
    }
    Ok(())
}

/// A wrong file changes nothing.
async fn reload(master: &Master) {
    match master.reload(Origin::new("the system", "signal")).await {
        // It was logged.
        Ok(reloaded) => eprint!("{}", reloaded.warnings.text),
        Err(ReloadError::Wrong(findings)) => {
            eprint!("{}", findings.text);
            tracing::error!("the configuration has errors; the one in force stays");
        }
        Err(error) => tracing::error!(%error, "the configuration was not reloaded"),
    }
}

/// The configuration's file, read again for each reload.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    /// Those that the master was started with.
    settings: Settings,
    /// What it shows on its ports. Certificates are renewed every few weeks, under the same names.
    identities: Identities,
}

impl ConfigSource for Source {
    fn repository_jobs(
        &self,
        plan: &Plan,
        pipeline: &str,
        file: &str,
        text: &str,
        trusted: bool,
    ) -> Result<Vec<JobDef>, Findings> {
        let Some(pipeline) = plan.pipelines.get(pipeline) else {
            let text = format!("the configuration has no pipeline `{pipeline}` any more");
            return Err(Findings {
                list: vec![json!({ "message": text })],
                text,
            });
        };
        let (jobs, report) = ironmaster_config::repository_jobs(file, text, plan, pipeline, trusted);
        jobs.ok_or_else(|| findings(&report))
    }

    fn load(&self) -> Result<NewConfig, Findings> {
        let loaded = ironmaster_config::load(&self.path, &catalogue::catalogue())
            .map_err(|report| findings(&report))?;
        let mut warnings = findings(&loaded.warnings);
        for problem in self.identities.renew() {
            warnings.text += &format!("warning[certificate]: {problem}\n");
            let warning = json!({ "severity": "warning", "code": "certificate", "message": problem });
            warnings.list.push(warning);
        }
        Ok(NewConfig {
            plan: Arc::new(loaded.plan),
            files: files(loaded.files),
            warnings,
            next_start: loaded
                .settings
                .differences(&self.settings)
                .into_iter()
                .map(str::to_owned)
                .collect(),
        })
    }
}

fn findings(report: &Report) -> Findings {
    let list = report.findings.iter().map(|finding| json!(finding));
    Findings {
        text: report.render(false),
        list: list.collect(),
    }
}

fn files(files: Vec<ironmaster_config::ConfigFile>) -> Vec<ironmaster_master::ConfigFile> {
    files
        .into_iter()
        .map(|file| ironmaster_master::ConfigFile {
            name: file.name,
            text: file.text,
        })
        .collect()
}

fn api_settings(settings: &Settings, token: &str) -> Result<ApiSettings, Failure> {
    let mut api = ApiSettings::new(settings.url.clone());
    api.title.clone_from(&settings.title);
    api.reading = match settings.reading {
        Reading::Open => ironmaster_api::Reading::Open,
        Reading::Login => ironmaster_api::Reading::LoggedIn,
    };
    api.origins.clone_from(&settings.allowed_origins);
    api.behind_proxy = settings.behind_proxy;
    api.ui_dir.clone_from(&settings.ui_dir);
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
