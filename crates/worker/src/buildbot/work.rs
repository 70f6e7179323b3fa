//! One command of a Buildbot master, from its start to its end.

use std::{rc::Rc, time::Instant};

use ironmaster_buildbot::{Command, PathStyle, Update};

use super::{
    Place,
    channel::{Running, Said},
    files::{self, Failure, expand_home, words},
    report::{Filter, Report},
    shell, transfer,
};
use crate::program::Owner as _;

/// Does it, and tells the master to its end. `folder` is the builder's, below the worker's own.
pub(super) async fn work(place: Rc<Place>, running: Rc<Running>, folder: Option<String>, command: Command) {
    let begun = Instant::now();
    let name = command.name();
    let base = place.base.to_string_lossy().into_owned();
    // Over msgpack paths are whole by themselves.
    let over_msgpack = folder.is_none();
    let folder = folder.map_or_else(|| base.clone(), |folder| PathStyle::Posix.join(&base, &folder));
    let command = at_home(command).resolved(PathStyle::Posix, &folder);
    let filter = match &command {
        Command::Shell(shell) => Filter {
            no_stdout: !shell.want_stdout,
            no_stderr: !shell.want_stderr,
            max_lines: shell.max_lines,
        },
        _ => Filter::default(),
    };
    let mut report = Report::new(
        Rc::clone(&running),
        place.label(),
        place.registry.clone(),
        place.settings.borrow().clone(),
        filter,
    );
    tracing::debug!(command = %running.id, name, "started");
    let failure = match perform(&place, &mut report, command, &base, over_msgpack).await {
        Ok(ended) => {
            finish(&report, ended, begun);
            None
        }
        Err(reason) => Some(reason),
    };
    report.end_lines();
    report.flush();
    tracing::debug!(command = %running.id, ?failure, "ended");
    running.say(Said::Complete(failure));
}

/// How a command ended.
struct Ended {
    code: i64,
    reason: Option<ironmaster_buildbot::FailureReason>,
    /// Whether a program ran, whose time people want to see.
    timed: bool,
    /// Whether there is an exit code even of one that was interrupted.
    always: bool,
}

impl Ended {
    fn code(code: i64) -> Self {
        Self {
            code,
            reason: None,
            timed: false,
            always: false,
        }
    }
}

fn finish(report: &Report, ended: Ended, begun: Instant) {
    let elapsed = begun.elapsed().as_secs_f64();
    let interrupted = report.running.is_interrupted();
    report.end_lines();
    if let Some(reason) = ended.reason {
        report.news(Update::FailureReason(reason));
    }
    if ended.always || !interrupted {
        report.news(Update::ExitCode(ended.code));
    }
    if ended.timed {
        report.header(&format!("elapsedTime={elapsed:.6}\n"));
    }
    if !interrupted {
        report.news(Update::Elapsed(elapsed));
    }
}

/// The error is why there is no exit code.
async fn perform(
    place: &Place,
    report: &mut Report,
    command: Command,
    base: &str,
    over_msgpack: bool,
) -> Result<Ended, String> {
    match command {
        Command::Shell(shell) => {
            let ended = shell::shell(report, *shell).await?;
            Ok(Ended {
                code: ended.code,
                reason: ended.reason,
                timed: true,
                always: true,
            })
        }
        Command::RemoveDirectories { paths, limits } => {
            let mut last = 0;
            for path in paths {
                let remove = ["rm", "-rf", &path];
                let mut code = shell::helper(report, &remove, base, &limits).await.code;
                if code != 0 && !report.running.is_interrupted() {
                    report.relabel(place.label());
                    let open = ["chmod", "-Rf", "u+rwx", &path];
                    shell::helper(report, &open, base, &limits).await;
                    report.relabel(place.label());
                    code = shell::helper(report, &remove, base, &limits).await.code;
                }
                if code != 0 {
                    last = code;
                }
                if report.running.is_interrupted() {
                    break;
                }
                report.relabel(place.label());
            }
            Ok(Ended::code(last))
        }
        Command::CopyDirectory { from, to, limits } => {
            if let Some(folder) = std::path::Path::new(&to).parent()
                && let Err(error) = tokio::fs::create_dir_all(folder).await
            {
                return Ok(refused(report, "cpdir", &error, &folder.to_string_lossy()));
            }
            let copy = ["cp", "-R", "-P", "-p", "-v", &from, &to];
            let ended = shell::helper(report, &copy, base, &limits).await;
            Ok(Ended::code(ended.code))
        }
        Command::UploadFile(upload) => transferred(transfer::upload_file(report, &upload).await),
        Command::UploadDirectory(upload) => transferred(transfer::upload_directory(report, &upload).await),
        Command::DownloadFile(download) => {
            transferred(transfer::download_file(report, &download, over_msgpack).await)
        }
        // Over Perspective Broker the next command of a builder interrupts the one before, and masters rely on these being over by
        // then. So an interrupt does not touch them.
        other => {
            let name = other.name();
            let (base, cancelled) = (place.base.clone(), report.running.cancelled.clone());
            let done = tokio::task::spawn_blocking(move || files::perform(&base, &other, &cancelled)).await;
            match done.map_err(|error| format!("the worker failed: {error}; please report this as a bug"))? {
                Ok(news) => {
                    if let Some(news) = news {
                        report.news(news);
                    }
                    Ok(Ended {
                        always: true,
                        ..Ended::code(0)
                    })
                }
                Err(Failure::System(error, path)) => Ok(refused(report, name, &error, &path)),
                Err(Failure::Other(reason)) => Err(reason),
            }
        }
    }
}

fn refused(report: &Report, name: &str, error: &std::io::Error, path: &str) -> Ended {
    report.header(&format!("{name}: {}: {path}\n", words(error)));
    Ended {
        always: true,
        ..Ended::code(error.raw_os_error().map_or(-1, i64::from))
    }
}

fn transferred(ended: transfer::Ended) -> Result<Ended, String> {
    Ok(Ended {
        always: true,
        ..Ended::code(ended?)
    })
}

/// Replaces `~` where a master leaves that to its worker.
fn at_home(mut command: Command) -> Command {
    let path = match &mut command {
        Command::UploadFile(upload) => &mut upload.place.path,
        Command::UploadDirectory(upload) => &mut upload.place.path,
        Command::DownloadFile(download) => &mut download.place.path,
        Command::RemoveFile { path } => path,
        _ => return command,
    };
    *path = expand_home(path);
    command
}
