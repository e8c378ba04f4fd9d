//! Scores of a test set as a whole, and by speakers heard and not heard in training.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use speech_metrics::{ErrorRate, Normalizer};

use crate::manifest::Utterance;
use crate::recipe::Recipe;
use crate::tasks::asr::word_error_rate;

/// `score` of all items, of those by speakers of `train`, and of the others; null where there is
/// none.
///
/// # Errors
///
/// Those of `score`.
pub(super) fn by_speakers(
    train: &[Utterance],
    test: &[Utterance],
    score: impl Fn(&[usize]) -> anyhow::Result<Value>,
) -> anyhow::Result<Value> {
    let speaker = |u: &Utterance| u.field("speaker").map(|s| s.into_owned());
    let known: BTreeSet<String> = train.iter().filter_map(speaker).collect();
    let all: Vec<usize> = (0..test.len()).collect();
    let is_known = |&item: &usize| speaker(&test[item]).is_some_and(|name| known.contains(&name));
    let (seen, unseen): (Vec<usize>, Vec<usize>) = all.iter().copied().partition(is_known);
    let of = |items: &[usize]| if items.is_empty() { Ok(Value::Null) } else { score(items) };
    Ok(json!({
        "all": of(&all)?,
        "seen_speakers": of(&seen)?,
        "unseen_speakers": of(&unseen)?,
    }))
}

/// Pooled word error rate of the transcripts of some items.
pub(super) fn error_rate_of(
    items: &[usize],
    utterances: &[Utterance],
    texts: &[String],
    recipe: &Recipe,
    normalizer: Normalizer,
) -> anyhow::Result<ErrorRate> {
    let chosen: Vec<Utterance> = items.iter().map(|&k| utterances[k].clone()).collect();
    let said: Vec<String> = items.iter().map(|&k| texts[k].clone()).collect();
    word_error_rate(&chosen, &said, recipe, normalizer)
}
