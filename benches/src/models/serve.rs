//! Our side of the pipe: what `peers/models/serve.py` is for the others.
//!
//! ```text
//! models --serve hear|say --model DIR --form f32|stored|int8 --beam N
//! ```
//!
//! A request and its reply are one JSON object on one line each; `serve.py` says which there are.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use model_zoo::WeightForm;
use model_zoo::llama::Llama;
use serde_json::{Value, json};
use tensor_core::DType;

use super::hear::Ear;
use super::{say, sound};
use crate::kernels::memory::{cpu_seconds, status_kb};

/// What a side was started for.
enum Model {
    Hears(Box<Ear>),
    Says(Box<Llama>),
}

/// Answers requests until standard input ends.
///
/// # Errors
///
/// When the arguments are wrong or a pipe breaks; what goes wrong with a request is its reply.
pub fn serve(args: &[String]) -> anyhow::Result<()> {
    let value = |flag: &str| {
        let at = args.iter().position(|arg| arg == flag);
        let value = at.and_then(|at| args.get(at + 1));
        value.with_context(|| format!("{flag}: expected a value, got none"))
    };
    let (task, model) = (value("--serve")?.clone(), PathBuf::from(value("--model")?));
    let beam = value("--beam")?.parse().context("--beam: expected a number")?;
    let form = match value("--form")?.as_str() {
        "f32" => WeightForm::DType(DType::F32),
        "stored" => WeightForm::AsStored,
        "int8" => WeightForm::Int8,
        other => bail!("--form: expected f32, stored or int8, got `{other}`"),
    };
    let mut opened = None;
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let (began, cpu) = (Instant::now(), cpu_seconds());
        let reply = match &opened {
            None => open(&task, &model, form, beam).map(|model| {
                opened = Some(model);
                json!({ "version": env!("CARGO_PKG_VERSION") })
            }),
            Some(model) => answer(model, &request),
        };
        let mut reply = reply.unwrap_or_else(|error| json!({ "error": format!("{error:#}") }));
        if reply["seconds"].is_null() {
            reply["seconds"] = began.elapsed().as_secs_f64().into();
        }
        reply["cpu_s"] = (cpu_seconds() - cpu).into();
        writeln!(out, "{reply}")?;
        out.flush()?;
    }
    Ok(())
}

fn open(task: &str, dir: &Path, form: WeightForm, beam: usize) -> anyhow::Result<Model> {
    match task {
        "hear" => Ok(Model::Hears(Box::new(Ear::open(dir, form, beam)?))),
        "say" => Ok(Model::Says(Box::new(say::open(dir, form)?))),
        _ => bail!("--serve: expected hear or say, got `{task}`"),
    }
}

fn answer(model: &Model, request: &Value) -> anyhow::Result<Value> {
    if request["peak"] == true {
        let mb = |field: &str| status_kb(field).map(|kb| kb as f64 / 1024.0);
        return Ok(json!({ "peak_mb": mb("VmHWM"), "own_mb": mb("RssAnon") }));
    }
    match (model, &request["clips"], &request["recording"], &request["prompt"]) {
        (Model::Hears(ear), Value::Array(paths), ..) => {
            let paths = paths.iter().map(|path| path.as_str().context("clips: expected paths"));
            let clips =
                paths.map(|path| sound::read_samples(path?)).collect::<anyhow::Result<Vec<_>>>()?;
            let began = Instant::now();
            let texts = ear.clips(&clips)?;
            Ok(json!({ "seconds": began.elapsed().as_secs_f64(), "texts": texts }))
        }
        (Model::Hears(ear), _, Value::String(path), _) => {
            let samples = sound::read_samples(path)?;
            let began = Instant::now();
            let heard = ear.recording(&samples)?;
            let seconds = began.elapsed().as_secs_f64();
            let segments: Vec<Value> =
                heard.iter().map(|s| json!([s.start, s.end, s.text.trim()])).collect();
            Ok(json!({ "seconds": seconds, "segments": segments }))
        }
        (Model::Says(llama), .., Value::Array(ids)) => {
            let ids: Option<Vec<u32>> =
                ids.iter().map(|id| u32::try_from(id.as_u64()?).ok()).collect();
            let (ids, new) = (ids.context("prompt: expected ids")?, request["new"].as_u64());
            ensure!(!ids.is_empty(), "prompt: expected ids, got none");
            let new = new.context("new: expected a number")? as usize;
            let began = Instant::now();
            let said = say::continued(llama, &ids, new)?;
            Ok(json!({ "seconds": began.elapsed().as_secs_f64(), "ids": said }))
        }
        _ => bail!("request {request} is none that this side answers"),
    }
}
