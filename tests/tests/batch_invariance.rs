//! The text of a file does not depend on the files it is decoded with.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::folder::read_json;
use crate::program::{stdout, succeed};
use crate::world::World;

/// Hypotheses by line of output.
fn hypotheses(output: &str) -> Vec<(String, String)> {
    let line = |line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        (text("id"), text("hypothesis"))
    };
    output.lines().map(line).collect()
}

#[test]
fn transcripts_are_the_same_alone_and_in_batches_of_any_size() {
    let world = World::new();
    let recipe = world.asr_recipe();
    // Long enough that texts follow the sound.
    let sets = [
        "schedule.max_steps=400",
        "schedule.warmup_steps=20",
        "augment.speed=[1.0]",
        "augment.time_masks=0",
        "augment.freq_masks=0",
        "model.dropout=0.0",
        "train.eval_every=200",
        "checkpoint.every=200",
        "loss.label_smoothing=0.0",
    ];
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    succeed(world.command(&["train", &recipe, "--quiet", "--out", "run"]).args(sets));
    // Clips at their own length, and clips in a window filled up with silence.
    for padded in [false, true] {
        let config = "run/model/preprocessor_config.json";
        let mut fields = read_json(&world.path(config));
        fields["pad_to_window"] = padded.into();
        world.write_json(config, &fields);
        let transcribe = |inputs: &[&str], batch_items: &str| {
            let args = ["transcribe", "--model", "run/model", "--max-new-tokens", "12"];
            let mut command = world.command(&args);
            command.args(["--batch-items", batch_items]).args(inputs);
            hypotheses(&stdout(&succeed(&mut command)))
        };
        let alone = transcribe(&["manifest.jsonl"], "1");
        let texts: BTreeSet<&String> = alone.iter().map(|(_, text)| text).collect();
        assert!(texts.len() > 3, "{padded}: too few texts to tell apart: {texts:?}");
        for batch_items in ["2", "7", "64"] {
            assert_eq!(
                transcribe(&["manifest.jsonl"], batch_items),
                alone,
                "{padded} {batch_items}"
            );
        }
        let files = ["audio/u03.wav", "audio/u00.wav", "audio/u29.wav"];
        let expected: Vec<_> = [3, 0, 29].map(|at: usize| alone[at].clone()).into();
        assert_eq!(transcribe(&files, "2"), expected, "{padded}");
    }
}
