//! How a command fails: what people read, and the exit code that scripts read.

use std::{error::Error, fmt::Write as _, io::IsTerminal as _, process::ExitCode};

use ironmaster_config::Report;

/// Why a command failed.
pub(crate) enum Failure {
    /// It could not do what it was asked to.
    Failed {
        /// What was tried and what went wrong, with all causes.
        message: String,
        /// What to do next, where that is known.
        hint: Option<String>,
    },
    /// The configuration is wrong.
    Config(Report),
    /// The running master says that the configuration is wrong. This is what it found, for people.
    Refused(String),
    /// `fsck` found something; it has said what.
    Findings,
}

impl Failure {
    /// A failure with the causes of an error.
    pub(crate) fn because(what: &str, error: &dyn Error) -> Self {
        let mut message = what.to_owned();
        let mut cause = Some(error);
        while let Some(error) = cause {
            let separator = if message.is_empty() { "" } else { ": " };
            let _ = write!(message, "{separator}{error}");
            cause = error.source();
        }
        Failure::Failed { message, hint: None }
    }

    /// The same with something to do next.
    pub(crate) fn hint(self, text: impl Into<String>) -> Self {
        match self {
            Failure::Failed { message, .. } => Failure::Failed {
                message,
                hint: Some(text.into()),
            },
            other => other,
        }
    }

    /// Tells it on standard error.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Failure::Failed { message, hint } => {
                eprintln!("error: {message}");
                if let Some(hint) = hint {
                    eprintln!("hint: {hint}");
                }
                ExitCode::from(1)
            }
            Failure::Config(report) => {
                eprint!("{}", report.render(colors()));
                ExitCode::from(2)
            }
            Failure::Refused(report) => {
                eprint!("{report}");
                eprintln!("the configuration in force stays");
                ExitCode::from(2)
            }
            Failure::Findings => ExitCode::from(3),
        }
    }
}

/// Whether standard error is for somebody who likes colours.
pub(crate) fn colors() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
