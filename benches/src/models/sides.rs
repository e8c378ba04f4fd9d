//! Who takes part: a process each, ours like the others.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::options::Options;
use crate::kernels::peers::{Process, THREADS};

/// One way of doing the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Side {
    /// Name in tables; begins with the library.
    pub(super) name: &'static str,
    /// Module of `peers/models`; `None` is ours.
    library: Option<&'static str>,
    /// How the weights are kept, in that library's word.
    form: &'static str,
}

const fn ours(name: &'static str, form: &'static str) -> Side {
    Side { name, library: None, form }
}

const fn peer(name: &'static str, library: &'static str, form: &'static str) -> Side {
    Side { name, library: Some(library), form }
}

/// For sound; the first one is whom the others are compared with.
pub(super) const HEARING: &[Side] = &[
    ours("ours f32", "f32"),
    ours("ours f16 weights", "stored"),
    TRANSFORMERS,
    peer("faster-whisper f32", "faster_whisper", "float32"),
    peer("faster-whisper int8", "faster_whisper", "int8"),
    peer("whisper.cpp f16", "whisper_cpp", "f16"),
];

/// For recordings of any length; the first one is whom the other is compared with.
pub(super) const RECORDINGS: &[Side] =
    &[ours("ours f16 weights", "stored"), peer("openai-whisper f32", "openai_whisper", "float32")];

/// The reference of texts.
pub(super) const TRANSFORMERS: Side = peer("transformers f32", "transformers", "float32");

/// For tokens.
pub(super) const SAYING: &[Side] = &[
    ours("ours f16 weights", "stored"),
    ours("ours int8 weights", "int8"),
    ours("ours f32", "f32"),
    peer("transformers f32", "transformers", "float32"),
    peer("transformers bf16", "transformers", "bfloat16"),
    peer("llama.cpp f16", "llama_cpp", "f16"),
];

impl Side {
    /// Whether it is this crate's.
    pub(super) fn is_ours(&self) -> bool {
        self.library.is_none()
    }

    /// Those of `all` that were asked for and can be had.
    pub(super) fn chosen(all: &[Self], options: &Options) -> Vec<Self> {
        let asked = |side: &Self| {
            options.only.is_empty() || options.only.iter().any(|name| side.name.starts_with(name))
        };
        let had = |side: &Self| side.is_ours() || options.python.is_some();
        all.iter().copied().filter(|side| asked(side) && had(side)).collect()
    }

    /// Starts its process for `task`, `hear` or `say`, and loads the folder `model`.
    ///
    /// # Errors
    ///
    /// When it cannot be started or says that it cannot serve.
    pub(super) fn start(
        &self,
        task: &str,
        model: &Path,
        beam: usize,
        options: &Options,
    ) -> anyhow::Result<Running> {
        let threads = options.threads.to_string();
        let mut command = match (self.library, &options.python) {
            (Some(library), Some(python)) => {
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/models/serve.py");
                let mut command = Command::new(python);
                command.arg(script).args([task, library, "--threads", &threads, "--converted"]);
                command.arg(&options.converted).env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
            _ => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["--serve", task]);
                command
            }
        };
        command.envs(THREADS.map(|name| (name, &threads))).env("RAYON_NUM_THREADS", &threads);
        command.args(["--form", self.form, "--beam", &beam.to_string(), "--model"]).arg(model);
        let mut process = Process::spawn(command)?;
        let place = || format!("{}: {}", self.name, model.display());
        let loaded = process.ask(&json!({})).with_context(place)?;
        let version = loaded["version"].as_str().unwrap_or_default().to_owned();
        Ok(Running { side: *self, process, version, load_s: seconds(&loaded) })
    }
}

/// A side with a model in it.
pub(super) struct Running {
    pub(super) side: Side,
    process: Process,
    pub(super) version: String,
    pub(super) load_s: f64,
}

impl Running {
    /// A request and its reply.
    ///
    /// # Errors
    ///
    /// What the side reports.
    pub(super) fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        self.process.ask(request).with_context(|| self.side.name)
    }

    /// Texts of clips, given as files of samples, and the seconds that they took: by the clock, and
    /// of all threads together.
    pub(super) fn hear(&mut self, clips: &[&Path]) -> anyhow::Result<(Vec<String>, [f64; 2])> {
        let reply = self.ask(&json!({ "clips": clips }))?;
        let cpu_s = reply["cpu_s"].as_f64().unwrap_or(f64::NAN);
        Ok((strings(&reply["texts"]).context("reply without texts")?, [seconds(&reply), cpu_s]))
    }

    /// The tokens that follow `prompt`, and the seconds that they took.
    pub(super) fn say(&mut self, prompt: &[u64], new: usize) -> anyhow::Result<(Vec<u64>, f64)> {
        let reply = self.ask(&json!({ "prompt": prompt, "new": new }))?;
        let ids = reply["ids"].as_array().context("reply without ids")?;
        Ok((ids.iter().filter_map(Value::as_u64).collect(), seconds(&reply)))
    }

    /// Most memory so far, and what is not a file's now, in MB; NaN where the system does not say.
    pub(super) fn memory_mb(&mut self) -> anyhow::Result<[f64; 2]> {
        let reply = self.ask(&json!({ "peak": true }))?;
        Ok(["peak_mb", "own_mb"].map(|name| reply[name].as_f64().unwrap_or(f64::NAN)))
    }
}

fn seconds(reply: &Value) -> f64 {
    reply["seconds"].as_f64().unwrap_or(f64::NAN)
}

/// A list of texts.
pub(super) fn strings(list: &Value) -> Option<Vec<String>> {
    list.as_array()?.iter().map(|text| Some(text.as_str()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_chosen_by_the_beginning_of_their_names() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("models")).unwrap();
        let chosen = |line: &str| -> Vec<&str> {
            let data = ["--data".to_owned(), data.path().display().to_string()];
            let args = line.split_whitespace().map(str::to_owned).chain(data);
            let options = Options::parse(args).unwrap();
            Side::chosen(HEARING, &options).iter().map(|side| side.name).collect()
        };
        assert_eq!(chosen("transcribe"), ["ours f32", "ours f16 weights"]);
        assert_eq!(chosen("transcribe --python p").len(), HEARING.len());
        let some = "transcribe --python p --only ours,whisper.cpp";
        assert_eq!(chosen(some), ["ours f32", "ours f16 weights", "whisper.cpp f16"]);
    }
}
