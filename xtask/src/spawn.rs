//! Handing over to a child so that Ctrl-C reaches it and its exit status is ours.
//!
//! On Unix the process is replaced: the child *is* the process that the terminal signals and that
//! the shell waits for, so a trainer that saves on Ctrl-C is waited for until it has saved, and a
//! death by signal is seen as one. Elsewhere the child shares our console and we wait.

use std::process::{Command, ExitCode, ExitStatus};

use crate::Result;

/// Becomes `command`; returns only when it could not be started (or, not on Unix, has ended).
#[cfg(unix)]
pub fn become_command(mut command: Command) -> Result {
    use std::os::unix::process::CommandExt;

    let error = command.exec();
    Err(format!("{}: {error}", command.get_program().to_string_lossy()).into())
}

/// Runs `command` to its end and returns its status.
#[cfg(not(unix))]
pub fn become_command(mut command: Command) -> Result {
    Ok(exit_code(wait(&mut command)?))
}

/// Runs `command` to its end, with a message that names the program when it cannot start.
pub fn wait(command: &mut Command) -> Result<ExitStatus> {
    let status = command.status();
    status.map_err(|e| format!("{}: {e}", command.get_program().to_string_lossy()).into())
}

/// The status to end with after a child has ended with `status`.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    match status.code() {
        Some(code) => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
        None => ExitCode::from(128 + signal(status)),
    }
}

/// The signal that ended a child, as shells report it: 128 + number.
#[cfg(unix)]
fn signal(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;

    status.signal().and_then(|number| u8::try_from(number).ok()).unwrap_or(0) & 0x7f
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> u8 {
    0
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn after(script: &str) -> ExitCode {
        exit_code(wait(Command::new("sh").args(["-c", script])).unwrap())
    }

    #[test]
    fn the_status_of_a_child_is_ours() {
        assert_eq!(after("exit 0"), ExitCode::SUCCESS);
        assert_eq!(after("exit 37"), ExitCode::from(37));
        assert_eq!(after("kill -INT $$"), ExitCode::from(130));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = wait(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(error.to_string().starts_with("no-such-program-here: "), "{error}");
    }
}
