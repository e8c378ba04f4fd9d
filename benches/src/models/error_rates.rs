//! Word error rates of corpora, and every text that is not the same as that of `transformers`.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use speech_metrics::{Normalizer, wer};
use tempfile::TempDir;

use super::options::Options;
use super::sides::{HEARING, Running, Side, TRANSFORMERS, strings};
use super::sound::{self, CORPORA, Clip, Utterance};
use crate::kernels::record::{expect_new, today};

/// Clips that are heard together.
const BATCH: usize = 8;

/// One table: a model, its beams, a corpus.
struct Case<'a> {
    model: &'a str,
    beam: usize,
    corpus: &'a str,
    utterances: &'a [Utterance],
    options: &'a Options,
}

/// Hears every corpus with every model and number of beams, prints a table and writes the record.
///
/// # Errors
///
/// When sound cannot be read, a side fails, or the record cannot be written.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut tables = Vec::new();
    for (corpus, split) in CORPORA {
        let mut utterances = sound::corpus(&options.data, corpus, split)?;
        if options.clips > 0 {
            utterances.truncate(options.clips);
        }
        for model in &options.models {
            for &beam in &options.beams {
                let utterances = &utterances;
                tables.push(Case { model, beam, corpus, utterances, options }.table()?);
            }
        }
    }
    if let Some(path) = &options.record {
        expect_new(path)?;
        let record = json!({ "date": today(), "note": options.note, "tables": tables });
        std::fs::write(path, format!("{record:#}\n"))
            .with_context(|| format!("{}: cannot write", path.display()))?;
        println!("recorded: {}", path.display());
    }
    Ok(())
}

impl Case<'_> {
    fn table(&self) -> anyhow::Result<Value> {
        let Self { model, beam, corpus, .. } = *self;
        let side = Side::chosen(HEARING, self.options).into_iter().find(Side::is_ours);
        let (mut ours, _) = self.texts(side.context("ours take no part")?)?;
        let references: Vec<String> = self.utterances.iter().map(|u| u.text.clone()).collect();
        let mut table = json!({
            "corpus": corpus, "model": model, "beam": beam, "utterances": references.len(),
        });
        let mut told = format!("{corpus:10} {model:16} beam {beam}");
        let peers = Side::chosen(&[TRANSFORMERS], self.options);
        let mut normalizer = Normalizer::Basic.to_string();
        if let Some(&side) = peers.first() {
            let (theirs, running) = self.texts(side)?;
            let mut running = match running {
                Some(running) => running,
                None => self.start(side)?,
            };
            table["differences"] = self.differences(&mut running, &ours, &theirs)?;
            let equal = ours.iter().zip(&theirs).filter(|(a, b)| a == b).count();
            table["equal_to_transformers"] = equal.into();
            told += &format!("  {equal} of {} texts equal", ours.len());
            normalizer = "english of transformers, then basic".to_owned();
            let mut english = |texts: &[String]| -> anyhow::Result<Vec<String>> {
                let reply = running.ask(&json!({ "normalize": texts }))?;
                strings(&reply["texts"]).context("reply without texts")
            };
            let said = english(&references)?;
            let theirs = english(&theirs)?;
            ours = english(&ours)?;
            table["transformers"] = rate(&said, &theirs)?;
            table["ours"] = rate(&said, &ours)?;
        } else {
            table["ours"] = rate(&references, &ours)?;
        }
        table["normalizer"] = normalizer.into();
        for who in ["ours", "transformers"] {
            if let Some(percent) = table[who]["wer_percent"].as_f64() {
                told += &format!("  {who} WER {percent:.2} %");
            }
        }
        println!("{told}");
        Ok(table)
    }

    fn start(&self, side: Side) -> anyhow::Result<Running> {
        let dir = self.options.data.join("models").join(self.model);
        side.start("hear", &dir, self.beam, self.options)
    }

    /// What a side hears; a peer's texts of earlier runs are read again, and its process is not
    /// started when there are all.
    fn texts(&self, side: Side) -> anyhow::Result<(Vec<String>, Option<Running>)> {
        let file = format!("{}_{}_{}_beam{}.jsonl", side.name, self.corpus, self.model, self.beam);
        let kept = self.options.texts.as_ref().filter(|_| !side.is_ours());
        let kept = kept.map(|folder| folder.join(file.replace(' ', "-")));
        let mut known = kept.as_deref().map(read_texts).transpose()?.unwrap_or_default();
        let unknown: Vec<&Utterance> =
            self.utterances.iter().filter(|u| !known.contains_key(&u.id)).collect();
        let mut running = None;
        for batch in unknown.chunks(BATCH) {
            let running = match &mut running {
                Some(running) => running,
                none => none.insert(self.start(side)?),
            };
            let folder = TempDir::new()?;
            let clips = batch
                .iter()
                .enumerate()
                .map(|(k, utterance)| Clip::of(&folder, &format!("clip{k}"), utterance))
                .collect::<anyhow::Result<Vec<_>>>()?;
            let paths: Vec<&Path> = clips.iter().map(|clip| clip.path.as_path()).collect();
            let (texts, _) = running.hear(&paths)?;
            for (utterance, text) in batch.iter().zip(texts) {
                if let Some(path) = &kept {
                    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
                    writeln!(file, "{}", json!({ "id": utterance.id, "text": text }))?;
                }
                known.insert(utterance.id.clone(), text);
            }
            eprintln!("{file}: {} of {}", known.len(), self.utterances.len());
        }
        let texts = self.utterances.iter().map(|u| known.remove(&u.id).unwrap_or_default());
        Ok((texts.collect(), running))
    }

    /// Utterances whose texts differ, with both, and what `transformers` in f64 thinks of them.
    fn differences(
        &self,
        running: &mut Running,
        ours: &[String],
        theirs: &[String],
    ) -> anyhow::Result<Value> {
        let mut found = Vec::new();
        let folder = TempDir::new()?;
        for (utterance, (ours, theirs)) in self.utterances.iter().zip(ours.iter().zip(theirs)) {
            if ours == theirs {
                continue;
            }
            let clip = Clip::of(&folder, "clip", utterance)?;
            let judged = running.ask(&json!({ "judge": clip.path, "texts": [ours, theirs] }))?;
            found.push(json!({
                "id": utterance.id,
                "reference": utterance.text,
                "ours": ours,
                "transformers": theirs,
                "sum_logprob_f64": judged["sum_logprob"],
                "tokens": judged["tokens"],
                "first_differing_token_gap_f64": judged["gap"],
            }));
        }
        Ok(found.into())
    }
}

fn rate(references: &[String], texts: &[String]) -> anyhow::Result<Value> {
    let rate = wer(references, texts, Normalizer::Basic)?;
    let counts = &rate.counts;
    Ok(json!({
        "wer_percent": (1e4 * rate.corpus).round() / 100.0,
        "substitutions": counts.substitutions,
        "deletions": counts.deletions,
        "insertions": counts.insertions,
        "words": counts.reference_len(),
    }))
}

fn read_texts(path: &Path) -> anyhow::Result<HashMap<String, String>> {
    let mut texts = HashMap::new();
    if path.exists() {
        for line in std::fs::read_to_string(path)?.lines() {
            let line: Value =
                serde_json::from_str(line).with_context(|| path.display().to_string())?;
            if let (Some(id), Some(text)) = (line["id"].as_str(), line["text"].as_str()) {
                texts.insert(id.to_owned(), text.to_owned());
            }
        }
    }
    Ok(texts)
}
