//! `bench`: criterion benchmarks of `consonance-benches`, and the same work by PyTorch.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::{Result, spawn, workspace};

const PEERS: &str = "--peers";

/// Runs the benchmarks; `--peers` then runs `benches/peers/*.py`, all else goes to `cargo bench`.
pub fn run(args: &[String]) -> Result {
    let root = workspace::root();
    let (with_peers, rest) = split(args);
    let mut cargo = workspace::cargo();
    cargo.args(["bench", "--package", "consonance-benches", "--manifest-path"]);
    cargo.arg(root.join("Cargo.toml")).args(rest);
    if !with_peers {
        return spawn::become_command(cargo);
    }
    let status = spawn::wait(&mut cargo)?;
    if !status.success() {
        return Ok(spawn::exit_code(status));
    }
    run_peers(&root)
}

/// Takes `--peers` out of the arguments, wherever it stands before a `--`.
fn split(args: &[String]) -> (bool, Vec<String>) {
    let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let (ours, theirs) = args.split_at(end);
    let rest = ours.iter().filter(|arg| *arg != PEERS).chain(theirs).cloned().collect();
    (ours.iter().any(|arg| arg == PEERS), rest)
}

fn run_peers(root: &Path) -> Result {
    let scripts = peer_scripts(&root.join("benches").join("peers"))?;
    if scripts.is_empty() {
        println!("peers: no script in benches/peers");
        return Ok(ExitCode::SUCCESS);
    }
    let python = env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    if !has_torch(&python) {
        println!(
            "peers: not run, `{python}` cannot import torch (hint: pip install torch, or set \
             PYTHON to an interpreter that has it)"
        );
        return Ok(ExitCode::SUCCESS);
    }
    for script in scripts {
        println!("peers: {}", script.strip_prefix(root).unwrap_or(&script).display());
        let status = spawn::wait(Command::new(&python).arg(&script))?;
        if !status.success() {
            return Ok(spawn::exit_code(status));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The Python files of the folder in order of name; none where there is no folder.
fn peer_scripts(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut scripts = Vec::new();
    for entry in dir.read_dir().map_err(|error| format!("{}: {error}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "py") {
            scripts.push(path);
        }
    }
    scripts.sort();
    Ok(scripts)
}

fn has_torch(python: &str) -> bool {
    let mut probe = Command::new(python);
    probe.args(["-c", "import torch"]).stdout(Stdio::null()).stderr(Stdio::null());
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
