//! `bench`: criterion benchmarks of `consonance-benches`, and the same work by PyTorch.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Result, spawn, workspace};

const PEERS: &str = "--peers";

/// What `--help` says.
pub const OPTIONS: &str = "options
  FILTER           part of a criterion benchmark's name; other options of `cargo bench` are passed
  --peers          our workloads and PyTorch's in one run, by the interpreter that PYTHON names

with --peers
  --threads N      threads of both sides (default: 2)
  --samples N      timed runs of each measurement (default: 12)
  --record FILE    write the rows to a new CSV file
  --note TEXT      say in each row on what machine
";

/// What the peers' scripts cannot do without.
const MODULES: [&str; 3] = ["numpy", "torch", "transformers"];

/// Runs the criterion benchmarks, or with `--peers` the comparison with PyTorch. All other
/// arguments go to `cargo bench`, or to the comparison.
pub fn run(args: &[String]) -> Result {
    let root = workspace::root();
    let (with_peers, rest) = split(args);
    if with_peers {
        return compare(&root, &rest);
    }
    let mut cargo = workspace::cargo();
    cargo.args(["bench", "--package", "consonance-benches", "--manifest-path"]);
    cargo.arg(root.join("Cargo.toml")).args(rest);
    spawn::become_command(cargo)
}

/// Takes `--peers` out of the arguments, wherever it stands before a `--`.
fn split(args: &[String]) -> (bool, Vec<String>) {
    let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let (ours, theirs) = args.split_at(end);
    let rest = ours.iter().filter(|arg| *arg != PEERS).chain(theirs).cloned().collect();
    (ours.iter().any(|arg| arg == PEERS), rest)
}

/// Our workloads and the peers' scripts in one run; ours alone where there is no PyTorch.
fn compare(root: &Path, args: &[String]) -> Result {
    let python = env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--release", "--package", "consonance-benches", "--bin", "compare"]);
    cargo.arg("--manifest-path").arg(root.join("Cargo.toml")).arg("--");
    if has_peers(&python) {
        cargo.args(["--python", &python]);
    } else {
        println!(
            "peers: not run, `{python}` cannot import {} (hint: pip install -r \
             benches/peers/requirements.txt, or set PYTHON to an interpreter that has them)",
            MODULES.join(", ")
        );
    }
    cargo.args(args);
    spawn::become_command(cargo)
}

/// Asked before anything is timed: the scripts run after minutes of our own work.
fn has_peers(python: &str) -> bool {
    let mut probe = Command::new(python);
    probe.arg("-c").arg(format!("import {}", MODULES.join(", ")));
    probe.stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_flag_is_taken_out() {
        let args = |text: &str| -> Vec<String> { text.split(' ').map(String::from).collect() };
        assert_eq!(split(&args("gemm --peers -- --quick")), (true, args("gemm -- --quick")));
        assert_eq!(split(&args("gemm -- --peers")), (false, args("gemm -- --peers")));
    }
}
