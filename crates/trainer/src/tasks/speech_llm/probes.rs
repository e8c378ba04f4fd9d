//! What can be told of a speaker from averaged states: linear probes on the encoder's states and on the
//! projector's vectors, arXiv 2412.15712 (section 5.5).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use speech_metrics::Confusion;
use tensor_core::{Context, Tensor};

use super::data::Clips;
use super::model::SpeechLlm;
use super::states::Heard;
use crate::manifest::{Utterance, read_all};
use crate::tasks::ridge::Ridge;

/// An utterance in averages.
struct Averages {
    encoder: Vec<f64>,
    projector: Vec<f64>,
}

/// Accuracies of probes for each of `fields`, manifest fields, fitted on the manifests `train` and scored on
/// `test`.
///
/// # Errors
///
/// When an utterance cannot be read.
pub fn probes(
    model: &SpeechLlm,
    fields: &[String],
    [train, test]: [&[String]; 2],
    batch_items: usize,
) -> anyhow::Result<Value> {
    let of = |specs: &[String]| -> anyhow::Result<Set> {
        let utterances = read_all(specs)?;
        let averages = averages(model, &utterances, batch_items)?;
        Ok((utterances, averages))
    };
    let (train, test) = (of(train)?, of(test)?);
    let mut found = Map::new();
    for field in fields {
        found.insert(field.clone(), probe(field, &train, &test)?);
    }
    Ok(Value::Object(found))
}

type Set = (Vec<Utterance>, Vec<Averages>);

/// Accuracies for one field; null where train or test has fewer than two of its values.
fn probe(field: &str, train: &Set, test: &Set) -> anyhow::Result<Value> {
    let labelled = |(utterances, averages): &Set| -> Vec<(String, usize)> {
        let of = |k: usize| Some((utterances[k].field(field)?.into_owned(), k));
        (0..averages.len()).filter_map(of).collect()
    };
    let (known, asked) = (labelled(train), labelled(test));
    let classes: Vec<&String> =
        known.iter().map(|(label, _)| label).collect::<BTreeSet<_>>().into_iter().collect();
    // A value that training never had cannot be told.
    let class_of = |label: &String| classes.binary_search(&label).ok();
    let asked: Vec<(usize, usize)> =
        asked.iter().filter_map(|(label, k)| Some((class_of(label)?, *k))).collect();
    if classes.len() < 2 || asked.is_empty() {
        return Ok(Value::Null);
    }
    let targets: Vec<Vec<f64>> = known
        .iter()
        .map(|(label, _)| {
            classes.iter().map(|class| f64::from(u8::from(*class == label))).collect()
        })
        .collect();
    let truth: Vec<usize> = asked.iter().map(|(class, _)| *class).collect();
    let accuracy = |rows: &dyn Fn(&Averages) -> &Vec<f64>| -> anyhow::Result<Value> {
        let x: Vec<Vec<f64>> = known.iter().map(|(_, k)| rows(&train.1[*k]).clone()).collect();
        let Some(fit) = Ridge::fit(&x, &targets) else { return Ok(Value::Null) };
        let told: Vec<usize> = asked.iter().map(|(_, k)| fit.class(rows(&test.1[*k]))).collect();
        let confusion = Confusion::new(&truth, &told, classes.len())?;
        Ok(json!({
            "accuracy": confusion.accuracy() * 100.0,
            "macro_f1": confusion.macro_f1() * 100.0,
        }))
    };
    let count = |class: usize| truth.iter().filter(|&&own| own == class).count();
    let most = (0..classes.len()).map(count).max().unwrap_or(0);
    Ok(json!({
        "classes": classes,
        "utterances": truth.len(),
        "most_frequent": most as f64 / truth.len() as f64 * 100.0,
        "encoder": accuracy(&|averages| &averages.encoder)?,
        "projector": accuracy(&|averages| &averages.projector)?,
    }))
}

/// Averages over frames of the encoder's states, one behind the other where several are read, and over the
/// projector's vectors.
fn averages(
    model: &SpeechLlm,
    utterances: &[Utterance],
    batch_items: usize,
) -> anyhow::Result<Vec<Averages>> {
    let heard = Heard::new(utterances.to_vec(), model.states.clone());
    let ctx = Context::eval();
    let mut found = Vec::with_capacity(utterances.len());
    let items: Vec<usize> = (0..utterances.len()).collect();
    for chunk in items.chunks(batch_items.max(1)) {
        let clips = Clips::of(&heard, chunk, true)?;
        let (frames, lengths) = clips.frames(&ctx, &model.states)?;
        let speech = model.project(&ctx, &frames, &lengths)?;
        for (b, &length) in lengths.iter().enumerate() {
            // (states, F, width) to (states, width)
            let own = frames.select(0, b)?.narrow(1, 0, length)?.mean(&[1], false)?;
            found.push(Averages {
                encoder: own.to_vec_f64()?,
                projector: mean_of_rows(&speech.item(b)?)?,
            });
        }
    }
    Ok(found)
}

fn mean_of_rows(rows: &Tensor) -> anyhow::Result<Vec<f64>> {
    Ok(rows.mean(&[0], false)?.to_vec_f64()?)
}
