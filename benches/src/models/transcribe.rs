//! How fast Whisper is: the real-time factor of everybody on the same clips.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use tempfile::TempDir;

use super::options::Options;
use super::sides::{HEARING, Running, Side};
use super::sound::{self, Clip};
use crate::kernels::record::{expect_new, quoted};
use crate::percentiles;
use speech_metrics::{Normalizer, wer};

const HEADER: &str = "model,beam,threads,clips,audio_s,side,turns,min_s,p20_s,p50_s,p80_s,\
                      cpu_p50_s,real_time_factor,over_ours,load_s,peak_mb,own_mb,equal_texts,wer_percent,\
                      version,note\n";

/// What a side did.
struct Heard {
    running: Running,
    /// Seconds for all clips, turn by turn.
    turns: Vec<f64>,
    /// The same of all threads together.
    cpu: Vec<f64>,
    texts: Vec<String>,
}

/// Times every model with every number of beams, prints a table and writes the record.
///
/// A side that cannot start says so and is left out; the rest goes on.
///
/// # Errors
///
/// When the sound cannot be read, a side fails half way, or the record cannot be written.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let clips = sound::timed_clips(&options.data, options.clips, &folder)?;
    let audio_s: f64 = clips.iter().map(|clip| clip.seconds).sum();
    println!(
        "{} threads, {} clips of {audio_s:.1} s together, heard one by one, {} turns; real-time \
         factor: seconds of work over seconds of sound",
        options.threads,
        clips.len(),
        options.turns
    );
    let mut rows = HEADER.to_owned();
    for model in &options.models {
        for &beam in &options.beams {
            rows += &case(model, beam, &clips, audio_s, options)?;
        }
    }
    if let Some(path) = &options.record {
        expect_new(path)?;
        std::fs::write(path, rows).with_context(|| format!("{}: cannot write", path.display()))?;
        println!("recorded: {}", path.display());
    }
    Ok(())
}

fn case(
    model: &str,
    beam: usize,
    clips: &[Clip],
    audio_s: f64,
    options: &Options,
) -> anyhow::Result<String> {
    let dir = options.data.join("models").join(model);
    let paths: Vec<&Path> = clips.iter().map(|clip| clip.path.as_path()).collect();
    let mut sides = Vec::new();
    for side in Side::chosen(HEARING, options) {
        match side.start("hear", &dir, beam, options) {
            Ok(mut running) => {
                // Once before the clock starts: threads, caches and buffers are there then.
                running.hear(&paths[..1])?;
                sides.push(Heard {
                    running,
                    turns: Vec::new(),
                    cpu: Vec::new(),
                    texts: Vec::new(),
                });
            }
            Err(error) => eprintln!("left out: {error:#}"),
        }
    }
    for turn in 0..options.turns {
        for heard in &mut sides {
            eprintln!("{model}, {beam} beams, turn {}: {}", turn + 1, heard.running.side.name);
            let (mut texts, mut seconds, mut cpu) = (Vec::new(), 0.0, 0.0);
            for path in &paths {
                let (text, [wall_s, cpu_s]) = heard.running.hear(&[path])?;
                texts.extend(text);
                seconds += wall_s;
                cpu += cpu_s;
            }
            heard.turns.push(seconds);
            heard.cpu.push(cpu);
            heard.texts = texts;
        }
    }
    report(model, beam, clips, audio_s, options, sides)
}

fn report(
    model: &str,
    beam: usize,
    clips: &[Clip],
    audio_s: f64,
    options: &Options,
    mut sides: Vec<Heard>,
) -> anyhow::Result<String> {
    let references: Vec<&str> = clips.iter().map(|clip| clip.text.as_str()).collect();
    let first = sides.first().map(|heard| (median(&heard.turns), heard.texts.clone()));
    let (ours_s, ours) = first.context("nobody takes part")?;
    let mut rows = String::new();
    println!("\n{model}, {}", if beam > 1 { format!("{beam} beams") } else { "greedy".into() });
    for heard in &mut sides {
        let [peak_mb, own_mb] = heard.running.memory_mb()?;
        let [p20, p50, p80] = percentiles(&heard.turns);
        let least = heard.turns.iter().copied().fold(f64::INFINITY, f64::min);
        let equal = heard.texts.iter().zip(&ours).filter(|(a, b)| a == b).count();
        let errors = 100.0 * wer(&references, &heard.texts, Normalizer::Basic)?.corpus;
        let cpu_s = median(&heard.cpu);
        let Running { side, version, load_s, .. } = &heard.running;
        println!(
            "  {:20} {:8.3} s ({cpu_s:.2} s of threads)  real-time factor {:.4}  {:5.2} x ours  peak {peak_mb:6.0} MB  \
             {equal} of {} texts equal  WER {errors:.2} %",
            side.name,
            p50,
            p50 / audio_s,
            p50 / ours_s,
            clips.len()
        );
        rows += &format!(
            "{model},{beam},{},{},{audio_s:.2},{},{},{least:.4},{p20:.4},{p50:.4},{p80:.4},{cpu_s:.2},{:.5},\
             {:.3},{load_s:.3},{peak_mb:.1},{own_mb:.1},{equal},{errors:.2},{},{}\n",
            options.threads,
            clips.len(),
            side.name,
            heard.turns.len(),
            p50 / audio_s,
            p50 / ours_s,
            quoted(version),
            quoted(&options.note)
        );
    }
    for (clip, differing) in differences(&sides, &ours) {
        println!("  clip {clip}: {differing}");
    }
    Ok(rows)
}

/// Clips whose texts are not the same everywhere, ours first.
fn differences(sides: &[Heard], ours: &[String]) -> BTreeMap<usize, String> {
    let mut found = BTreeMap::new();
    for (k, own) in ours.iter().enumerate() {
        let others = sides.iter().filter(|heard| &heard.texts[k] != own);
        let told: Vec<String> = others
            .map(|heard| format!("{}: {:?}", heard.running.side.name, heard.texts[k]))
            .collect();
        if !told.is_empty() {
            found.insert(k, format!("{own:?}; {}", told.join("; ")));
        }
    }
    found
}

pub(super) fn median(samples: &[f64]) -> f64 {
    percentiles(samples)[1]
}
