//! `bench-models`: whole models at work, and with `--peers` the libraries beside them.
//!
//! The work is done by `models` of `consonance-benches`; here the peers get an environment.

use std::fs;

use crate::bench_kernels::run_bin;
use crate::peer_environment::environment;
use crate::{Result, spawn, workspace};

/// What `--help` says.
pub const OPTIONS: &str = "what
  transcribe       seconds of work for each second of sound, by Whisper
  generate         tokens a second, and memory, of a LLaMA model
  wer              word error rates of corpora, and every text that transformers writes otherwise
  long             ten minutes of joined utterances: nothing said twice, nothing left out

options
  --peers          transformers, openai-whisper, faster-whisper, whisper.cpp and llama.cpp too; the
                   first time, an environment with pinned versions is made under target/ by the
                   interpreter that PYTHON names (default: python3): pip downloads some gigabytes into
                   it and compiles llama.cpp
  --python PATH    an interpreter that has them, in place of --peers
  --data DIR       folder of models/ and corpora/ (default: what CONSONANCE_DATA names)
  --models A,B     folders of models/ (default: whisper-tiny,whisper-base.en; smollm2-135m)
  --beams A,B      beams of Whisper; 1 is greedy (default: 1,5; long: 1)
  --clips N        clips that are timed (default: 20); of each corpus (default: all)
  --turns N        turns of everybody (default: 3)
  --threads N      threads of everybody (default: 2)
  --only A,B       only sides whose names begin so, such as `ours,whisper.cpp`
  --texts DIR      wer: a folder where texts of transformers are kept from run to run
  --record         write a new file of today to benches/record
  --note TEXT      say in the record on what machine
";

const PEERS: &str = "--peers";

/// Runs the models; with `--peers`, after their environment is there.
pub fn run(args: &[String]) -> Result {
    let root = workspace::root();
    let mut rest: Vec<String> = args.iter().filter(|arg| *arg != PEERS).cloned().collect();
    let target = workspace::target_dir(&root);
    if rest.len() < args.len() {
        if rest.iter().any(|arg| arg == "--python") {
            return Err("--python: comes with --peers, expected one of them".into());
        }
        let requirements = root.join("benches/peers/requirements-models.txt");
        match environment(&target.join("bench-peers-models"), &requirements) {
            Ok(python) => rest.extend(["--python".into(), python.display().to_string()]),
            Err(error) => println!("peers: not run, {error}"),
        }
    }
    let converted = target.join("bench-models");
    fs::create_dir_all(&converted)?;
    rest.extend(["--converted".into(), converted.display().to_string()]);
    spawn::become_command(run_bin(&root, "models", &rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_is_not_to_be_named_twice() {
        let args = ["wer", "--peers", "--python", "x"].map(String::from);
        let error = run(&args).unwrap_err().to_string();
        assert_eq!(error, "--python: comes with --peers, expected one of them");
    }
}
