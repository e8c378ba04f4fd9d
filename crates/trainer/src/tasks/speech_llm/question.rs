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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::manifest::Place;

    fn utterance(text: &str, extra: &Value) -> Utterance {
        Utterance {
            id: "a".into(),
            audio: Some("a.wav".into()),
            offset_s: 0.0,
            duration_s: None,
            text: text.into(),
            extra: extra.as_object().unwrap().clone(),
            place: Place { file: Arc::from(Path::new("m.jsonl")), line: 7 },
        }
    }

    fn asked(text: &str, extra: &Value) -> anyhow::Result<Vec<Question>> {
        let tasks = [SpokenTask::Asr, SpokenTask::St("de".into()), SpokenTask::Sqa];
        questions(&tasks, 3, &utterance(text, extra), &Recipe::default())
    }

    #[test]
    fn a_line_is_asked_what_it_can_answer() {
        let all = json!({
            "text_de": " Hallo ", "question": "Who? ", "answers": ["Ida", "Ida Brown"], "answer": "x",
        });
        let found = asked("Hello", &all).unwrap();
        let shown: Vec<(usize, &str, Vec<String>)> =
            found.iter().map(|q| (q.task, q.prompts[0].as_str(), q.answers.clone())).collect();
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            shown,
            [
                (0, "Can you transcribe this audio?", texts(&["Hello"])),
                (1, "Can you translate this audio from english into german?", texts(&["Hallo"])),
                (
                    2,
                    "Listen to the audio and answer this question: Who?",
                    texts(&["Ida", "Ida Brown"])
                ),
            ]
        );
        assert!(found.iter().all(|question| question.item == 3));
        let tasks = |text: &str, extra: Value| {
            asked(text, &extra).unwrap().iter().map(|q| q.task).collect::<Vec<_>>()
        };
        assert_eq!(tasks("Hello", json!({})), [0]);
        assert_eq!(tasks("Hello", json!({ "question": "Who?" })), [0], "nobody knows the answer");
        assert_eq!(tasks("", json!({ "question": "Who?", "answer": "Ida" })), [2]);
    }

    #[test]
    fn what_is_empty_or_no_text_is_named_with_its_line() {
        for (text, extra, said) in [
            ("", json!({}), "m.jsonl:7: no field `text`"),
            ("  ", json!({}), "m.jsonl:7: text is empty, expected words"),
            ("a", json!({ "text_de": " " }), "m.jsonl:7: an answer of task st-de is empty"),
            (
                "a",
                json!({ "question": "?", "answers": "x" }),
                "m.jsonl:7: answers is \"x\", expected a list of texts",
            ),
            ("a", json!({ "question": "?", "answers": [1] }), "answers holds 1, expected texts"),
        ] {
            let error = asked(text, &extra).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
