//! The guard: a second process that waits for the worker's end, however it comes, and then kills what it left.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::leftovers::{Registry, Whose};

/// The program's hidden first argument that makes it a guard.
pub const GUARD_ARGUMENT: &str = "guard";

/// What a guard does: called by the program when its first argument is [`GUARD_ARGUMENT`], with the arguments after it.
/// Returns when the worker has ended and nothing of its commands runs any more.
pub fn guard(arguments: impl Iterator<Item = String>) -> io::Result<()> {
    let arguments: Vec<String> = arguments.collect();
    let [state, tag, instance] = arguments.as_slice() else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "started by the worker only",
        ));
    };
    // A session of its own: what is sent to the worker's group (Ctrl-C) is not meant for the guard.
    let _ = rustix::process::setsid();
    println!("ready");
    io::stdout().flush()?;
    let mut nothing = [0; 16];
    loop {
        match io::stdin().read(&mut nothing) {
            Ok(0) => break,
            Err(error) if error.kind() != io::ErrorKind::Interrupted => break,
            _ => {}
        }
    }
    let registry = Registry::new(&PathBuf::from(state), tag.clone(), instance.clone());
    registry.kill_leftovers(Whose::Instance(instance))?;
    Ok(())
}

/// Starts a guard for this worker and waits until it is ready.
pub(crate) fn start(
    program: &std::path::Path,
    state: &std::path::Path,
    tag: &str,
    instance: &str,
) -> io::Result<tokio::process::Child> {
    let mut command = Command::new(program);
    command
        .args([
            GUARD_ARGUMENT.as_ref(),
            state.as_os_str(),
            tag.as_ref(),
            instance.as_ref(),
        ])
        .env_remove(crate::TOKEN_VARIABLE)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = tokio::process::Command::from(command).spawn()?;
    let mut ready = [0; 6];
    let output = child
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("the guard has no output"))?
        .into_owned_fd()?;
    rustix::io::ioctl_fionbio(&output, false)?;
    std::fs::File::from(output).read_exact(&mut ready)?;
    Ok(child)
}
