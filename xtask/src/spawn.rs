//! Handing over to a child so that Ctrl-C reaches it and its exit status is ours.
//!
//! On Unix the process is replaced: the child *is* the process that the terminal signals and that
//! the shell waits for, so a trainer that saves on Ctrl-C is waited for until it has saved, and a
//! death by signal is seen as one. Elsewhere the child shares our console and we wait.

use std::process::{Command, ExitStatus};

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
    let code = wait(&mut command)?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(std::process::ExitCode::FAILURE, std::process::ExitCode::from))
}

/// Runs `command` to its end, with a message that names the program when it cannot start.
pub fn wait(command: &mut Command) -> Result<ExitStatus> {
    let status = command.status();
    status.map_err(|e| format!("{}: {e}", command.get_program().to_string_lossy()).into())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_child_is_returned() {
        let status = wait(Command::new("sh").args(["-c", "exit 37"])).unwrap();
        assert_eq!(status.code(), Some(37));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = wait(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(error.to_string().starts_with("no-such-program-here: "), "{error}");
    }
}
