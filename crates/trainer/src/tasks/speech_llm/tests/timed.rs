//! Words with times, and sequences of speech and text, by hand.

use std::path::Path;
use std::sync::Arc;

use model_zoo::Tokenizer;
use model_zoo::llama::Llama;
use serde_json::{Map, Value, json};
use tensor_core::Context;

use super::super::contrast::Side;
use super::super::conversation::ChatFormat;
use super::super::mixed::TimedText;
use super::fixture::{Fixture, golden_dir};
use crate::manifest::{Place, Utterance};
use crate::recipe::Mixed;

fn chat() -> ChatFormat {
    let dir = golden_dir().join("llm");
    let llm = Llama::open(&dir, model_zoo::LoadOptions::default()).unwrap();
    ChatFormat::new(Tokenizer::open(&dir).unwrap(), &llm, "").unwrap()
}

fn timed(text: &str, word_ends: &Value, no_punctuation: bool) -> anyhow::Result<TimedText> {
    let mut extra = Map::new();
    if !word_ends.is_null() {
        extra.insert("word_ends".into(), word_ends.clone());
    }
    let utterance = Utterance {
        id: "u".into(),
        audio: None,
        offset_s: 0.0,
        duration_s: None,
        text: text.into(),
        extra,
        place: Place { file: Arc::from(Path::new("m.jsonl")), line: 3 },
    };
    let settings = Mixed { no_punctuation, ..Mixed::default() };
    TimedText::new(&utterance, text, &chat(), &settings)
}

#[test]
fn a_word_begins_where_the_one_before_it_ends_and_has_the_space_before_it() {
    let chat = chat();
    let text = "Well -- it's no_one, said she.";
    let ends = json!([0.4, 0.4, 0.9, 1.5, 1.75, 2.0]);
    let plain = timed(text, &ends, false).unwrap();
    assert_eq!(plain.seconds(&(0..6)), 0.0..2.0);
    assert_eq!(plain.seconds(&(2..4)), 0.4..1.5);
    assert_eq!(plain.seconds(&(1..2)), 0.4..0.4);
    assert_eq!(plain.tokens_of(&(0..6)), chat.text(text).unwrap());
    assert_eq!(plain.tokens_of(&(3..5)), chat.text(" no_one, said").unwrap());

    // A word of punctuation alone keeps its sound and loses its text.
    let bare = timed(text, &ends, true).unwrap();
    assert_eq!(bare.tokens_of(&(0..6)), chat.text("Well its no_one said she").unwrap());
    assert!(bare.tokens_of(&(1..2)).is_empty());
    assert_eq!(bare.seconds(&(0..6)), 0.0..2.0);
}

#[test]
fn words_without_times_name_their_line() {
    for (ends, said) in [
        (Value::Null, "m.jsonl:3: no word_ends, expected the end of each word in seconds (hint: "),
        (json!([0.1]), "m.jsonl:3: word_ends has 1 times, expected one for each of 2 words"),
        (json!([0.1, "x"]), "m.jsonl:3: word_ends has 1 times, expected one for each of 2 words"),
    ] {
        let error = timed("two words", &ends, true).unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn a_mixed_sequence_foretells_its_text_and_its_end() {
    let fixture = Fixture::new();
    let task = fixture.task(&fixture.recipe("mixed-nwp"));
    let sequences = task.mixed_sequences(&Context::eval(), &fixture.mixed()).unwrap();
    let (chat, llm) = (&task.model.chat, &task.model.llm);
    // Three vectors a window of five frames: of 6, 4 and 11 frames.
    let vectors = [6, 3, 9];
    let of_text = |start: usize, text: &str| -> Vec<(usize, u32)> {
        (start..).zip(chat.text(text).unwrap()).collect()
    };
    // START "on" speech "e." END, and START speech " to you" speech END.
    let first = [of_text(1, "on"), of_text(3 + vectors[0], "e."), vec![(5 + vectors[0], chat.end)]];
    let last = 1 + vectors[1] + 7 + vectors[2];
    let second = [of_text(1 + vectors[1], " to you"), vec![(last, chat.end)]];
    for (sequence, labels) in sequences.iter().zip([first.concat(), second.concat()]) {
        assert_eq!(sequence.labels, labels);
        assert_eq!(sequence.vectors.shape(), [labels.last().unwrap().0 + 1, 16]);
        // What is foretold is what stands there.
        for &(at, token) in &labels {
            let found = sequence.vectors.narrow(0, at, 1).unwrap().to_vec_f32().unwrap();
            let side = Side::of_texts(&[vec![token]], &[0]).unwrap();
            let model_zoo::llama::LlamaTokens::InputIds(ids) = side.tokens else { panic!("ids") };
            assert_eq!(found, llm.embed(&Context::eval(), &ids).unwrap().to_vec_f32().unwrap());
        }
    }
}
