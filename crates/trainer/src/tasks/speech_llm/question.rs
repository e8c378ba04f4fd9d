//! Spoken tasks: what is asked about an utterance, and the answers that count as right.

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::data::{needs_transcript, transcript};
use crate::manifest::Utterance;
use crate::recipe::{Instruct, Recipe, SpokenTask, language};

/// A question about an utterance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Number of its utterance.
    pub item: usize,
    /// Number of its task.
    pub task: usize,
    /// Prompts to draw from; tests take the first.
    pub prompts: Vec<String>,
    /// Right answers; the first is learned.
    pub answers: Vec<String>,
}

/// The questions of `tasks` about utterance number `item`, where it has what they need.
///
/// # Errors
///
/// Names the line whose field is empty or of another kind.
pub fn questions(
    tasks: &[SpokenTask],
    item: usize,
    utterance: &Utterance,
    recipe: &Recipe,
) -> anyhow::Result<Vec<Question>> {
    let Instruct { asr_prompts, st_prompts, sqa_prompts, source, .. } = &recipe.instruct;
    let mut questions = Vec::new();
    for (number, task) in tasks.iter().enumerate() {
        let (prompts, answers) = match task {
            SpokenTask::Asr if !needs_transcript(utterance, recipe) => continue,
            SpokenTask::Asr => (asr_prompts.clone(), vec![transcript(utterance, recipe)?]),
            SpokenTask::St(code) => {
                let field = format!("text_{code}");
                let Some(text) = utterance.field(&field) else { continue };
                let prompt = |prompt: &String| -> anyhow::Result<String> {
                    let prompt = prompt.replace("{source}", language(source)?);
                    Ok(prompt.replace("{target}", language(code)?))
                };
                let prompts = st_prompts.iter().map(prompt).collect::<anyhow::Result<_>>()?;
                (prompts, vec![text.into_owned()])
            }
            SpokenTask::Sqa => {
                let Some(question) = utterance.field("question") else { continue };
                let answers = gold_answers(utterance)?;
                if answers.is_empty() {
                    continue;
                }
                let prompt = |prompt: &String| prompt.replace("{question}", question.trim());
                (sqa_prompts.iter().map(prompt).collect(), answers)
            }
        };
        let answers: Vec<String> =
            answers.into_iter().map(|answer| answer.trim().to_owned()).collect();
        ensure!(
            answers.iter().all(|answer| !answer.is_empty()),
            "{}: an answer of task {task} is empty, expected a text (hint: leave the field out)",
            utterance.place
        );
        questions.push(Question { item, task: number, prompts, answers });
    }
    Ok(questions)
}

/// `answers`, a list of texts, else `answer`.
fn gold_answers(utterance: &Utterance) -> anyhow::Result<Vec<String>> {
    match utterance.extra.get("answers") {
        None | Some(Value::Null) => {
            Ok(utterance.field("answer").map(|text| text.into_owned()).into_iter().collect())
        }
        Some(Value::Array(list)) => list
            .iter()
            .map(|text| {
                let text = text.as_str().with_context(|| {
                    format!("{}: answers holds {text}, expected texts", utterance.place)
                })?;
                Ok(text.to_owned())
            })
            .collect(),
        Some(other) => bail!("{}: answers is {other}, expected a list of texts", utterance.place),
    }
}
