//! A recording of ten minutes: nothing is said twice, and nothing is left out.

use std::ops::Range;

use anyhow::Context as _;
use serde_json::{Value, json};
use speech_metrics::edit::distance;
use speech_metrics::{Normalizer, wer};
use tempfile::TempDir;

use super::options::Options;
use super::sides::{RECORDINGS, Side};
use super::sound::{self, Clip};
use super::text::{longest_echo, longest_gap, longest_omission};
use crate::kernels::record::{expect_new, today};

/// Length of the recording, in seconds.
const SECONDS: f64 = 600.0;

/// Hears utterances of one speaker, joined with silence between, window after window.
///
/// # Errors
///
/// When sound cannot be read, a side fails half way, or the record cannot be written.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let utterances = sound::corpus(&options.data, "kathleen", None)?;
    let recording = Clip::joined(&folder, "recording", &utterances, SECONDS)?;
    let mut results = Vec::new();
    for model in &options.models {
        for &beam in &options.beams {
            let mut first: Option<String> = None;
            for side in Side::chosen(RECORDINGS, options) {
                let dir = options.data.join("models").join(model);
                let mut running = match side.start("hear", &dir, beam, options) {
                    Ok(running) => running,
                    Err(error) => {
                        eprintln!("left out: {error:#}");
                        continue;
                    }
                };
                let reply = running.ask(&json!({ "recording": recording.path }))?;
                let (mut result, text) = verdict(&recording, &reply)?;
                let first = first.get_or_insert_with(|| text.clone());
                result["model"] = model.as_str().into();
                result["beam"] = beam.into();
                result["side"] = side.name.into();
                result["version"] = running.version.into();
                result["words_unlike_the_first_side"] = unlike(first, &text).into();
                println!("{result:#}");
                result["text"] = text.into();
                results.push(result);
            }
        }
    }
    if let Some(path) = &options.record {
        expect_new(path)?;
        let record = json!({
            "date": today(), "note": options.note, "reference": recording.text, "results": results,
        });
        std::fs::write(path, format!("{record:#}\n"))
            .with_context(|| format!("{}: cannot write", path.display()))?;
        println!("recorded: {}", path.display());
    }
    Ok(())
}

/// What there is to say about what was heard, and its text.
fn verdict(recording: &Clip, reply: &Value) -> anyhow::Result<(Value, String)> {
    let segments = segments(&reply["segments"]).context("reply without segments")?;
    let text: Vec<&str> = segments.iter().map(|(_, text)| text.as_str()).collect();
    let text = text.join(" ");
    let [said, heard] =
        [&recording.text, &text].map(|text| Normalizer::Basic.apply(text).into_owned());
    let times: Vec<Range<f64>> = segments.iter().map(|(at, _)| at.clone()).collect();
    let gap = longest_gap(&times, recording.seconds);
    let rate = wer(&[&recording.text], &[&text], Normalizer::Basic)?;
    let counts = &rate.counts;
    let seconds = reply["seconds"].as_f64().unwrap_or(f64::NAN);
    let backwards = times.windows(2).filter(|pair| pair[1].start < pair[0].end).count();
    let result = json!({
        "recording_s": recording.seconds,
        "taken_s": seconds,
        "real_time_factor": seconds / recording.seconds,
        "segments": segments.len(),
        "wer_percent": (1e4 * rate.corpus).round() / 100.0,
        "substitutions": counts.substitutions,
        "deletions": counts.deletions,
        "insertions": counts.insertions,
        "words": counts.reference_len(),
        "longest_omission_words": longest_omission(&said, &heard),
        "longest_echo_words": longest_echo(&heard),
        "longest_echo_words_of_reference": longest_echo(&said),
        "longest_gap_s": gap.end - gap.start,
        "longest_gap_at_s": gap.start,
        "segments_before_the_last_end": backwards,
    });
    Ok((result, text))
}

/// Words by which two texts differ.
fn unlike(a: &str, b: &str) -> usize {
    let words =
        |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    distance(&words(a), &words(b))
}

fn segments(list: &Value) -> Option<Vec<(Range<f64>, String)>> {
    let one = |s: &Value| Some((s[0].as_f64()?..s[1].as_f64()?, s[2].as_str()?.to_owned()));
    list.as_array()?.iter().map(one).collect()
}
