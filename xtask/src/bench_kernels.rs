//! `bench-kernels`: the alignment kernels, and with `--peers` the Python libraries beside them.
//!
//! The work is done by `kernels` of `consonance-benches`; here the peers get an environment.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use crate::peer_environment::{environment, is_current};
use crate::{Result, emulate, gpu_check, spawn, workspace};

const PEERS: &str = "--peers";

/// What `--help` says.
pub const OPTIONS: &str = "options
  --op NAME        only this operation (crd, info-nce, mmd, nst, sinkhorn, wasserstein-info-nce)
  --shape NAME     only this shape
  --list           say which cases there are and why, and time nothing
  --device cpu     where the kernels run. cpu is timed. emu: the GPU kernels run on the PTX
                   interpreter; bytes, operations and the roofline of a card are printed as estimates
                   (takes --op, --shape, --list, --gpu h200|a100, and --record, which writes
                   benches/record/emulated/DATE_roofline.csv: without --gpu, all cases for an H200
                   and those that take other kernels for an A100). cuda: they are timed by events on this
                   machine's GPU (takes --op, --shape, --list, and --record, which writes
                   benches/record/CARD/)
  --peers          time GeomLoss, POT, OTT-JAX and PyTorch too, in turn with ours; the first time, an
                   environment with pinned versions is made under target/ by the interpreter that
                   PYTHON names (default: python3), and pip downloads some gigabytes into it
  --threads N      threads of both sides (default: 2)
  --rounds N       turns of each side (default: 5)
  --seconds N      a peer that has run so long gets no turn after its third (default: 30)
  --json FILE      write all samples
  --record         write a new benches/record/DATE_kernels.csv and, when every case ran with --peers,
                   the table in README.md
  --note TEXT      say in each row of the record on what machine
";

/// Runs the kernels; with `--peers`, after their environment is there.
pub fn run(args: &[String]) -> Result {
    let root = workspace::root();
    if let Some(rest) = without_device(args, "emu") {
        return roofline(&root, &rest);
    }
    if let Some(rest) = without_device(args, "cuda") {
        return gpu_check::times(&rest);
    }
    let (with_peers, mut rest) = split(args);
    if with_peers {
        if rest.iter().any(|arg| arg == "--python") {
            return Err("--python: comes with --peers, expected PYTHON=... instead".into());
        }
        let folder = workspace::target_dir(&root).join("bench-peers");
        let requirements = root.join("benches/peers/requirements-kernels.txt");
        if !is_current(&folder, &requirements)? {
            // Bad arguments show now, not after minutes of downloads.
            let mut list = kernels(&root, &rest);
            if !spawn::wait(list.arg("--list").stdout(Stdio::null()))?.success() {
                return Ok(ExitCode::FAILURE);
            }
        }
        match environment(&folder, &requirements) {
            Ok(python) => rest.extend(["--python".into(), python.display().to_string()]),
            Err(error) => println!("peers: not run, {error}"),
        }
    }
    spawn::become_command(kernels(&root, &rest))
}

/// The other arguments, where the device is this one.
fn without_device(args: &[String], device: &str) -> Option<Vec<String>> {
    let at = args.windows(2).position(|pair| pair == ["--device", device])?;
    Some([&args[..at], &args[at + 2..]].concat())
}

/// Counts what the GPU kernels do, on the interpreter.
fn roofline(root: &Path, args: &[String]) -> Result {
    let folder = emulate::library(root)?;
    let counters = folder.join(format!("counters-{}.jsonl", std::process::id()));
    let mut command = run_bin(root, "roofline", args);
    emulate::point(&mut command, &folder, emulate::ROUNDS[0]);
    // The estimate is of the kernels that this card would be given.
    if let Some(pair) = args.windows(2).find(|pair| pair[0] == "--gpu") {
        command.env("PTX_EMU_DEVICE", &pair[1]);
    }
    let status = spawn::wait(command.env("PTX_EMU_COUNTERS", &counters));
    // Nothing to take away where nothing was counted.
    let _ = fs::remove_file(&counters);
    Ok(if status?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Takes `--peers` out of the arguments.
fn split(args: &[String]) -> (bool, Vec<String>) {
    let rest = args.iter().filter(|arg| *arg != PEERS).cloned().collect();
    (args.iter().any(|arg| arg == PEERS), rest)
}

fn kernels(root: &Path, args: &[String]) -> Command {
    run_bin(root, "kernels", args)
}

/// A program of the benches, in release mode.
pub fn run_bin(root: &Path, bin: &str, args: &[String]) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--release", "--package", "consonance-benches", "--bin", bin]);
    cargo.arg("--manifest-path").arg(root.join("Cargo.toml")).arg("--").args(args);
    // An incremental build is cut so finely that vector code is not inlined, and runs several times
    // slower than what users build.
    cargo.env("CARGO_INCREMENTAL", "0");
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<String> {
        text.split(' ').map(String::from).collect()
    }

    #[test]
    fn only_our_own_flag_is_taken_out() {
        assert_eq!(split(&args("--op mmd --peers --record")), (true, args("--op mmd --record")));
        assert_eq!(split(&args("--op mmd")), (false, args("--op mmd")));
    }

    #[test]
    fn a_device_takes_the_rest_of_the_arguments() {
        let rest = without_device(&args("--op sinkhorn --device emu --gpu a100"), "emu");
        assert_eq!(rest, Some(args("--op sinkhorn --gpu a100")));
        assert_eq!(without_device(&args("--device cpu"), "emu"), None);
        assert_eq!(without_device(&args("--device cuda"), "cuda"), Some(Vec::new()));
    }

    #[test]
    fn an_interpreter_is_not_to_be_named_twice() {
        let error = run(&args("--peers --python x")).unwrap_err().to_string();
        assert_eq!(error, "--python: comes with --peers, expected PYTHON=... instead");
    }
}
