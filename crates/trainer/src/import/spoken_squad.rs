//! Spoken-SQuAD: questions in writing on paragraphs that are read aloud.
//!
//! The JSON has the form of SQuAD v1.1 (`data[].paragraphs[].{context, qas[]}`). Sound files are
//! named by place: `TOPIC_PARAGRAPH_SENTENCE.wav`, each number counted from 0 in the JSON. A
//! question gets its whole paragraph: `TOPIC_PARAGRAPH.wav` where there is such a file, else its
//! sentences are joined into one, mono at 16 kHz.
//!
//! A question that is asked more than once about the same paragraph is one line with all answers.
//! The paragraph's words are the field `context`, not `text`: they were recognised, with a fifth of
//! them wrong, and nobody should learn to transcribe from them.
//!
//! # Source
//!
//! Li et al. 2018, arXiv:1804.00320. The README of the release does not name the sound files; the
//! pattern is that of public programs that read them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use audio_frontend::{LoadOptions, SAMPLE_RATE};
use serde::Deserialize;
use serde_json::Value;

use super::line::Line;
use super::output::Output;
use super::{ImportOptions, sound, text};

#[derive(Deserialize)]
struct Squad {
    data: Vec<Topic>,
}

#[derive(Deserialize)]
struct Topic {
    #[serde(default)]
    title: String,
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    id: Value,
    question: String,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    text: String,
}

/// Sound files of a paragraph: its own, and those of its sentences by number.
#[derive(Default)]
struct Spoken {
    whole: Option<PathBuf>,
    sentences: BTreeMap<usize, PathBuf>,
}

/// Reads every question with a sound file.
pub(super) fn import(
    source: &Path,
    options: &ImportOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let Some(folder) = &options.audio else {
        bail!("{}: expected --audio DIR, the folder with 0_0_0.wav", source.display());
    };
    let squad: Squad = read(source)?;
    let mut spoken = sounds(folder)?;
    for (topic_index, topic) in squad.data.iter().enumerate() {
        for (paragraph_index, paragraph) in topic.paragraphs.iter().enumerate() {
            let name = format!("{topic_index}_{paragraph_index}");
            let place =
                format!("{}: data[{topic_index}].paragraphs[{paragraph_index}]", source.display());
            let questions = questions(paragraph, &place, output)?;
            if questions.is_empty() {
                continue;
            }
            let Some(files) = spoken.remove(&(topic_index, paragraph_index)) else {
                ensure!(
                    options.skip_missing,
                    "{place}: no {name}_0.wav in {} (hint: is it the sound of this file; \
                     --skip-missing leaves out what is not there)",
                    folder.display()
                );
                questions.iter().for_each(|_| output.leave_out("no sound file"));
                continue;
            };
            let (audio, seconds) = paragraph_sound(&name, files, output).context(place.clone())?;
            for line in questions {
                let mut line = Line { audio: audio.clone(), duration_s: Some(seconds), ..line };
                line.set("paragraph", name.as_str());
                if !topic.title.is_empty() {
                    line.set("title", topic.title.as_str());
                }
                output.push(&place, &line)?;
            }
        }
    }
    Ok(())
}

fn read(source: &Path) -> anyhow::Result<Squad> {
    let read = serde_json::from_str(&text::read(source)?);
    read.map_err(|error| text::json_error(source, &error, "SQuAD v1.1"))
}

/// A line for each question of a paragraph, without its sound.
fn questions(
    paragraph: &Paragraph,
    place: &str,
    output: &mut Output<'_>,
) -> anyhow::Result<Vec<Line>> {
    let mut asked: Vec<(&str, Line, Vec<String>)> = Vec::new();
    let mut at: HashMap<&str, usize> = HashMap::new();
    for question in &paragraph.qas {
        let id = match &question.id {
            Value::String(id) => id.clone(),
            Value::Number(id) => id.to_string(),
            other => bail!("{place}: id is {other}, expected a string"),
        };
        let words = question.question.trim();
        let index = *at.entry(words).or_insert_with(|| {
            asked.push((words, Line { id, ..Line::default() }, Vec::new()));
            asked.len() - 1
        });
        let answers = &mut asked[index].2;
        for text in question.answers.iter().map(|answer| answer.text.trim()) {
            if !text.is_empty() && !answers.iter().any(|known| known == text) {
                answers.push(text.to_owned());
            }
        }
    }
    let mut with_answers = Vec::new();
    for (question, mut line, answers) in asked {
        let Some(first) = answers.first() else {
            output.leave_out("no answer");
            continue;
        };
        line.set("question", question);
        line.set("answer", first.as_str());
        line.set("answers", answers);
        line.set("context", paragraph.context.trim());
        with_answers.push(line);
    }
    Ok(with_answers)
}

/// The sound files of a folder by topic and paragraph; other files are passed over.
fn sounds(folder: &Path) -> anyhow::Result<HashMap<(usize, usize), Spoken>> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("{}: cannot read folder", folder.display()))?;
    let mut found: HashMap<(usize, usize), Spoken> = HashMap::new();
    for entry in entries {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
        if !sound::EXTENSIONS.contains(&ending) {
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
        let numbers: Option<Vec<usize>> = stem.split('_').map(|part| part.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[topic, paragraph]) => {
                found.entry((topic, paragraph)).or_default().whole = Some(path);
            }
            Some(&[topic, paragraph, sentence]) => {
                let sentences = &mut found.entry((topic, paragraph)).or_default().sentences;
                if let Some(other) = sentences.insert(sentence, path.clone()) {
                    bail!("{}: is also there as {}", path.display(), other.display());
                }
            }
            _ => {}
        }
    }
    ensure!(
        !found.is_empty(),
        "{}: no sound file named TOPIC_PARAGRAPH_SENTENCE, expected 0_0_0.wav (hint: --audio)",
        folder.display()
    );
    Ok(found)
}

/// The sound of a paragraph and its length in seconds.
fn paragraph_sound(
    name: &str,
    files: Spoken,
    output: &mut Output<'_>,
) -> anyhow::Result<(PathBuf, f64)> {
    if let Some(path) = files.whole {
        let seconds = sound::duration(&path)?;
        return Ok((path, seconds));
    }
    let n = files.sentences.last_key_value().map_or(0, |(&last, _)| last + 1);
    if let Some(missing) = (0..n).find(|sentence| !files.sentences.contains_key(sentence)) {
        bail!("{name}_{missing}.wav is missing, expected every sentence from 0 to {}", n - 1);
    }
    let mut samples = Vec::new();
    for path in files.sentences.values() {
        samples.extend(audio_frontend::load(path, &LoadOptions::default())?.samples);
    }
    ensure!(!samples.is_empty(), "{name}: its sentences hold no sound, expected some");
    let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE);
    Ok((output.save_sound(name, "wav", &sound::wav(&samples, SAMPLE_RATE))?, seconds))
}
