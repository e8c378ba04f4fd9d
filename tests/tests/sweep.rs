//! Comparing objectives, and looking at what was learned.

use std::fs;

use serde_json::Value;

use crate::folder::{files, read_json};
use crate::program::{fail, stdout, succeed};
use crate::speech_llm::world;

const SMALL: [&str; 10] = [
    "--set",
    "schedule.max_steps=3",
    "--set",
    "instruct.steps=2",
    "--set",
    "train.probe_every=1",
    "--set",
    "eval.probe_fields=[\"mood\"]",
    "--set",
    "sweep.objectives=[\"none\", \"contr-cos-all\", \"mixed-nwp\"]",
];

#[test]
fn a_sweep_compares_objectives_over_seeds_and_repeats_nothing() {
    let world = world();
    let sweep = ["sweep", "llm.toml", "--out", "s", "--quiet", "--set", "sweep.seeds=[1, 2]"];
    let run = |more: &[&str]| {
        let mut command = world.command(&sweep);
        command.args(SMALL).args(more);
        command
    };
    let cosine = ["--only", "none", "--only", "contr-cos-all"];
    let page = stdout(&succeed(&mut run(&cosine)));
    assert!(page.contains("Fine-tuned on 50 % of the data"), "{page}");
    assert!(page.lines().any(|line| line.trim_start().starts_with("contr-cos-all")), "{page}");

    let rows = read_json(&world.path("s/sweep.json"))["rows"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 4, "two objectives on two shares");
    for row in &rows {
        assert_eq!(row["seeds"], 2);
        assert!(row["scores"]["WER"]["deviation"].is_f64(), "{row}");
    }
    let summary = read_json(&world.path("s/contr-cos-all/seed-2/summary.json"));
    assert!(summary["finetune"]["100"]["probes"]["mood"]["encoder"]["accuracy"].is_f64());
    assert!(summary["pretrain"]["nearness"]["retrieval_last"]["speech_to_text"]["r1"].is_f64());
    let metrics = fs::read_to_string(world.path("s/contr-cos-all/seed-1/pretrain/metrics.jsonl"));
    let probed = metrics.unwrap().lines().filter(|line| line.contains("shuffled.contrast")).count();
    assert_eq!(probed, 3);

    // A second sweep leaves finished runs as they are and adds what is missing.
    let before = files(&world.path("s/none"));
    let message = fail(&mut run(&["--only", "mixed-nwp"]));
    assert!(message.contains("no word_ends") && message.contains("data align"), "{message}");
    succeed(&mut run(&cosine));
    assert!(files(&world.path("s/none")) == before);

    let message = fail(run(&cosine).args(["--set", "optim.lr=1"]));
    assert!(message.contains("a run of another recipe"), "{message}");
    let message = fail(&mut run(&["--only", "asr"]));
    assert!(message.contains("--only names objectives of sweep.objectives"), "{message}");
    let message = fail(&mut world.command(&["sweep", &world.ctc_recipe()]));
    assert!(message.contains("a recipe of the task ctc, expected speech-llm"), "{message}");
}

#[test]
fn plans_and_layers_of_a_run_are_drawn() {
    let world = world();
    let train = ["train", "llm.toml", "--out", "r", "--quiet"];
    succeed(world.command(&train).args(&SMALL[..4]));
    let plan = ["inspect", "plan", "--run", "r", "--id", "u04", "--layer", "2"];
    let path = stdout(&succeed(&mut world.command(&plan)));
    let svg = fs::read_to_string(world.path(path.trim())).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("fill-opacity"), "{svg}");
    let numbers = read_json(&world.path("r/inspect/plan-u04-2.json"));
    let rows = numbers["plan"].as_array().unwrap();
    assert_eq!(rows.len(), numbers["tokens"].as_array().unwrap().len());
    let sum =
        |row: &Value| row.as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).sum::<f64>();
    let total: f64 = rows.iter().map(sum).sum();
    // The plan is the one that the loss has, whose temperatures end before its sums are met.
    let error = numbers["marginal_error"].as_f64().unwrap();
    assert!((total - 1.0).abs() < error + 1e-6 && error < 0.5, "{total}, sums met within {error}");
    succeed(world.command(&plan).args(["--share", "50"]));

    let page = stdout(&succeed(&mut world.command(&["inspect", "layers", "--run", "r"])));
    assert!(fs::read_to_string(world.path(page.trim())).unwrap().contains("fine-tuned on 50 %"));
    let layers = read_json(&world.path("r/inspect/layers.json"));
    let stages = layers["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 3, "pretrained and two shares");
    let n_layers = stages[0]["contrast_cos"].as_array().unwrap().len();
    assert_eq!(stages[2]["contrast_wasser"].as_array().unwrap().len(), n_layers);

    let probes = ["inspect", "probes", "--run", "r", "--field", "mood"];
    let data = ["--train", "told.jsonl#split=train", "--test", "told.jsonl#split=dev"];
    let found = stdout(&succeed(world.command(&probes).args(data)));
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["mood"]["classes"].as_array().unwrap().len(), 2);

    for (args, said) in [
        (&["inspect", "plan", "--run", "r", "--id", "none"][..], "no utterance `none`"),
        (&["inspect", "plan", "--run", "r", "--id", "u04", "--layer", "9"], "hidden state 9"),
        (&["inspect", "layers", "--run", "speech"], "expected a run folder"),
    ] {
        let message = fail(&mut world.command(args));
        assert!(message.contains(said), "{message}");
    }
}
