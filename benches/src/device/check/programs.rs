//! Children with a time limit, their output in a file.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// By itself, well or not.
    Ended(bool),
    /// By us, since its time was over.
    OutOfTime,
}

/// Runs a command until it ends or its time is over; both of its streams go to `output`.
pub(super) fn run(command: &mut Command, output: &Path, until: Instant) -> anyhow::Result<Ending> {
    let program = command.get_program().to_string_lossy().into_owned();
    let file =
        File::create(output).with_context(|| format!("{}: cannot write", output.display()))?;
    let errors = file.try_clone()?;
    command.stdin(Stdio::null()).stdout(file).stderr(errors);
    let mut child = command.spawn().with_context(|| format!("{program}: cannot start"))?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ending::Ended(status.success()));
        }
        if Instant::now() >= until {
            // It may have ended this moment, which is as well.
            let _ = child.kill();
            child.wait()?;
            return Ok(Ending::OutOfTime);
        }
        sleep(Duration::from_millis(20));
    }
}

/// The last lines of a text, for a fault.
pub(super) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join(" / ")
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn a_child_ends_by_itself_or_by_us() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out");
        let later = Instant::now() + Duration::from_secs(60);
        let mut echo = Command::new("sh");
        let ended = run(echo.args(["-c", "echo a; echo b >&2; exit 3"]), &file, later).unwrap();
        assert_eq!(ended, Ending::Ended(false));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a\nb\n");
        let soon = Instant::now() + Duration::from_millis(50);
        let ended = run(Command::new("sleep").arg("60"), &file, soon).unwrap();
        assert_eq!(ended, Ending::OutOfTime);
        let missing = run(&mut Command::new("no-such-program"), &file, soon).unwrap_err();
        assert_eq!(missing.to_string(), "no-such-program: cannot start");
    }

    #[test]
    fn a_tail_has_the_last_lines_that_say_something() {
        assert_eq!(tail("a\nb\n\nc\n", 2), "b / c");
        assert_eq!(tail("", 2), "");
    }
}
