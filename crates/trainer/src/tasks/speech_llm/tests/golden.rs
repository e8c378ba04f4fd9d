//! Losses and gradients against those of `transformers` and GeomLoss.

use serde_json::Value;
use tensor_core::Context;

use super::fixture::{Fixture, assert_near, loss};
use crate::tasks::Task;

/// Golden numbers are those of f64. The same formulas in f32 are off by at most 1.2e-5, at the
/// embedding under a blur of 0.05, where a slope is a difference of nearly equal plans; four times that.
const TOLERANCE: f64 = 5e-5;

/// The options of every case, by name.
fn cases(fixture: &Fixture) -> Vec<(String, Value)> {
    let metadata = fixture.file.metadata();
    let options = metadata.iter().map(|(name, text)| (name.clone(), text));
    options
        .map(|(name, text)| (name, serde_json::from_str::<Value>(text).unwrap()))
        .filter(|(_, options)| options.get("objective").is_some())
        .collect()
}

#[test]
fn value_and_gradients_are_those_of_transformers_and_geomloss() {
    let fixture = Fixture::new();
    let cases = cases(&fixture);
    assert_eq!(cases.len(), 13);
    for (name, case) in cases {
        let number = |key: &str| case[key].as_f64().unwrap();
        assert!(4.0 * number("f32") <= TOLERANCE, "{name}: its yardstick");
        let mut recipe = fixture.recipe(case["objective"].as_str().unwrap());
        recipe.pretrain.blur = number("blur");
        recipe.pretrain.temperature = number("temperature");
        recipe.pretrain.learn_temperature = case["learn_temperature"].as_bool().unwrap();
        recipe.pretrain.direction = serde_json::from_value(case["direction"].clone()).unwrap();
        let mixed = recipe.pretrain.objective.contains("mixed");
        let mut task = fixture.task(&recipe);
        let mut batch = fixture.batch(&task, if mixed { &[0, 1] } else { &[0, 1, 2, 3] });
        batch.shifts = serde_json::from_value(case["shifts"].clone()).unwrap();
        batch.shifts.truncate(batch.texts.len());
        batch.mixed = mixed.then(|| fixture.mixed());

        let (parts, total) = loss(&mut task, &Context::grad(), &batch);
        let stored = |field: String| fixture.file.tensor(&format!("{name}.{field}")).unwrap();
        for (part, value) in parts {
            let want = stored(format!("loss.{part}")).item().unwrap();
            assert!((value - want).abs() <= TOLERANCE * want, "{name} {part}: {value}, {want}");
        }
        let gradients = total.backward().unwrap();
        let (mut got, mut want) = (Vec::new(), Vec::new());
        for (parameter, var) in task.parameters().iter() {
            let short = parameter.strip_prefix("projector.").unwrap_or(parameter);
            let field = stored(format!("grad.{short}")).to_vec_f64().unwrap();
            let label = format!("{name} {parameter}");
            got.push((label.clone(), gradients.get(var).unwrap().to_vec_f64().unwrap()));
            want.push((label, field));
        }
        let below = format!("{name}.grad.");
        let names = fixture.file.names();
        assert_eq!(got.len(), names.iter().filter(|name| name.starts_with(&below)).count());
        assert_near(&got, &want, TOLERANCE);
    }
}

#[test]
fn tokens_of_texts_and_questions_are_those_of_the_golden_files() {
    let fixture = Fixture::new();
    let task = fixture.task(&fixture.recipe("asr"));
    let batch = fixture.batch(&task, &[0, 1, 2, 3]);
    let ids = |value: &Value| serde_json::from_value::<Vec<u32>>(value.clone()).unwrap();
    let (texts, chat) = (fixture.remark("texts"), fixture.remark("chat"));
    let end = chat["end"].as_u64().unwrap() as u32;
    for (b, conversation) in batch.conversations.iter().enumerate() {
        let text = ids(&texts[b]["ids"]);
        assert_eq!(batch.texts[b], text);
        assert_eq!(conversation.before, ids(&chat["before"]));
        assert_eq!(conversation.question, ids(&chat["question"]));
        assert_eq!(conversation.answer, [&text[..], &[end]].concat());
    }
}
