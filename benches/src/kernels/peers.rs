//! A library of others in a Python process of its own, asked line by line.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use super::turns::Turn;

/// Variables that set the threads of the libraries below the libraries.
pub const THREADS: [&str; 3] = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"];

/// `peers/kernels/serve.py` with one library and one case in it.
pub struct Process {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the process; it imports nothing yet.
    ///
    /// # Errors
    ///
    /// When the interpreter cannot be started.
    pub fn start(python: &str, library: &str, threads: usize) -> anyhow::Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/kernels/serve.py");
        let mut command = Command::new(python);
        command.arg(script).arg(library).args(["--threads", &threads.to_string()]);
        command.envs(THREADS.map(|name| (name, threads.to_string())));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        Self::spawn(command)
    }

    /// Starts a program that answers requests.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn(mut command: Command) -> anyhow::Result<Self> {
        let program = command.get_program().display().to_string();
        // Its complaints come as replies; what else a library says would tear our progress apart.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("{program}: cannot start"))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(requests), Some(replies)) => {
                Ok(Self { child, requests, replies: BufReader::new(replies) })
            }
            _ => bail!("{program}: has no pipes"),
        }
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    ///
    /// What the peer reports, or that it has ended.
    pub fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        let mut line = String::new();
        writeln!(self.requests, "{request}").context("the peer has ended")?;
        self.requests.flush().context("the peer has ended")?;
        self.replies.read_line(&mut line).context("cannot read the peer's reply")?;
        if line.is_empty() {
            bail!("the peer ended without a reply (hint: was there memory enough)");
        }
        let reply: Value = serde_json::from_str(&line).context("the peer's reply is not JSON")?;
        match reply["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(reply),
        }
    }

    /// Times of one turn, in ms.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask), or when there are none in the reply.
    pub fn take(&mut self, turn: Turn) -> anyhow::Result<Vec<f64>> {
        let reply = self.ask(&turn.request())?;
        numbers(&reply["ms"]).context("the peer's reply has no times")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be computing, and nobody waits for the result; a process that has ended is fine too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A list of numbers; a number that is none in JSON (NaN) is refused.
pub fn numbers(list: &Value) -> Option<Vec<f64>> {
    list.as_array()?.iter().map(Value::as_f64).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_with_anything_else_in_it_is_no_list_of_numbers() {
        assert_eq!(numbers(&json!([1, 2.5])), Some(vec![1.0, 2.5]));
        assert_eq!(numbers(&json!([1, null])), None);
        assert_eq!(numbers(&json!(null)), None);
    }

    #[test]
    fn an_interpreter_that_is_not_there_is_named() {
        let error = Process::start("no-such-python-here", "torch", 1).err().unwrap();
        assert_eq!(error.to_string(), "no-such-python-here: cannot start");
    }
}
