use std::path::PathBuf;

use super::*;

/// A library of one temporary folder with the given recipes.
fn library(files: &[(&str, &str)]) -> (tempfile::TempDir, Library) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
    }
    let library = Library::new(vec![folder.path().to_path_buf()]);
    (folder, library)
}

fn load(text: &str, sets: &[&str]) -> anyhow::Result<Resolved> {
    let (_folder, library) = library(&[("r", text)]);
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    Recipe::load_from(&library, "r", &sets)
}

/// The message with the folder taken out of its places.
fn message(text: &str, sets: &[&str]) -> String {
    let error = format!("{:#}", load(text, sets).unwrap_err());
    let strip = |line: &str| match line.find("r.toml") {
        Some(at) => line[at..].to_string(),
        None => line.to_string(),
    };
    error.lines().map(strip).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_empty_recipe_is_the_defaults() {
    let resolved = load("", &[]).unwrap();
    assert_eq!(resolved.recipe, Recipe::default());
    assert!(resolved.origins.values().all(|origin| *origin == Origin::Default));
    assert_eq!(resolved.recipe.run_name(&resolved.path), "r");
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    for (text, expected) in [
        (
            "[optim]\nlearning_rate = 1e-4",
            "r.toml:2: recipe: no key optim.learning_rate (hint: did you mean optim.lr)",
        ),
        (
            "[optim]\nweight_decy = 0.1",
            "r.toml:2: recipe: no key optim.weight_decy (hint: did you mean optim.weight_decay)",
        ),
        ("lr = 1", "r.toml:1: recipe: no key lr (hint: did you mean optim.lr)"),
        (
            "[trian]\nthreads = 1",
            "r.toml:2: recipe: no key trian.threads (hint: did you mean train.threads)",
        ),
        (
            "[loss.crd]\ntau = 1.0",
            "r.toml:2: recipe: no key loss.crd.tau (hint: did you mean loss.crd.temperature)",
        ),
        ("banana_split = 1", "r.toml:1: recipe: no key banana_split"),
    ] {
        assert_eq!(message(text, &[]), expected);
    }
    assert_eq!(
        message("", &["batch.batch_size=4"]),
        "--set: recipe: no key batch.batch_size (hint: did you mean batch.max_items)"
    );
}

#[test]
fn wrong_kinds_and_choices_name_the_key_and_the_line() {
    for (text, expected) in [
        ("\n[optim]\nlr = \"fast\"", "r.toml:3: optim.lr is the string `fast`, expected a number"),
        ("[optim]\nbetas = [0.9]", "r.toml:2: optim.betas has 1 values, expected 2"),
        ("seed = -1", "r.toml:1: seed is -1, expected 0 or more"),
        ("seed = 1.5", "r.toml:1: seed is 1.5, expected a whole number"),
        ("[data]\nlowercase = 1", "r.toml:2: data.lowercase is 1, expected true or false"),
        ("[data]\ntrain = [1]", "r.toml:2: data.train is 1, expected a string"),
        (
            "optim = 3",
            "r.toml:1: optim is a section, expected one of its keys: lr, betas, eps, weight_decay, clip_norm",
        ),
        (
            "[loss]\nobjective = \"nst_gaus\"",
            "r.toml:2: loss.objective is `nst_gaus`, expected one of mlm, nst_gauss, nst_poly, nst_gram, crd, crd_bank (hint: did you mean nst_gauss)",
        ),
        (
            "[teacher]\nlayer = \"first\"",
            "r.toml:2: teacher.layer is the string `first`, expected \"last\" or an index from 0",
        ),
        ("inherits = 3", "r.toml:1: inherits is 3, expected the name or path of a recipe"),
    ] {
        assert_eq!(message(text, &[]), expected);
    }
    let broken = message("seed = 1\n[optim\nlr = 1", &[]);
    assert!(broken.starts_with("r.toml:2: not valid TOML: "), "{broken}");
}

#[test]
fn values_out_of_range_are_refused_where_they_were_written() {
    for (text, sets, expected) in [
        ("[optim]\nlr = 0", vec![], "r.toml:2: optim.lr is 0, expected > 0"),
        ("", vec!["optim.lr=nan"], "--set: optim.lr is NaN, expected > 0"),
        (
            "",
            vec!["loss.mlm_probability=1"],
            "--set: loss.mlm_probability is 1, expected more than 0 and less than 1",
        ),
        (
            "",
            vec!["augment.speed=[0.9, 3]"],
            "--set: augment.speed is 3, expected factors from 0.5 to 2",
        ),
        (
            "",
            vec!["schedule.max_steps=5"],
            "recipe: schedule.warmup_steps is 100, expected at most schedule.max_steps = 5",
        ),
        (
            "[schedule]\nkind = \"wsd\"",
            vec![],
            "recipe: schedule.decay_steps is 0, expected 1 to 900, the steps after the warm-up",
        ),
        (
            "[batch]\nmax_items = 0",
            vec![],
            "r.toml:2: batch.max_items is 0, expected a cap here or in batch.max_seconds or batch.max_tokens",
        ),
        (
            "[data]\nmin_duration_s = 40",
            vec![],
            "r.toml:2: data.min_duration_s is 40, expected less than data.max_duration_s = 30",
        ),
        (
            "[lora]\nr = 8",
            vec!["task=lm", "lm.templates=['{text}']"],
            "r.toml:2: lora.r is 8, expected 0 but for speech-llm, and for lm with a model.dir, beside \
             whose weights an adapter is trained",
        ),
        (
            "[lora]\nr = 8\ntarget_modules = []",
            vec!["task=lm", "lm.templates=['{text}']", "model.dir=base"],
            "r.toml:3: lora.target_modules is [], expected names of linear layers (hint: \
             [\"q_proj\", \"v_proj\"])",
        ),
        (
            "[instruct]\ntasks = [\"asr\", \"st\"]",
            vec![],
            "r.toml:2: instruct.tasks: `st`, expected `asr`, `st-XX` or `sqa`",
        ),
        (
            "",
            vec!["instruct.fractions=[0]"],
            "--set: instruct.fractions is 0, expected more than 0 and at most 1",
        ),
        (
            "",
            vec!["encoder.layer=mid"],
            "--set: encoder.layer: `mid`, expected `last`, `weighted` or the index of a state",
        ),
        (
            "",
            vec!["mixed.text_words=[5,4]"],
            "--set: mixed.text_words is [5, 4], expected fewest and most, from 1 on",
        ),
        (
            "",
            vec!["pretrain.objective=mixed-nwp", "pretrain.cached_items=4"],
            "--set: pretrain.cached_items is 4, expected 0 for mixed sequences, which are made at once",
        ),
        (
            "",
            vec!["output.merge=true"],
            "--set: output.merge is true, expected false where lora.r is 0: there is no adapter to \
             merge",
        ),
    ] {
        assert_eq!(message(text, &sets), expected);
    }
}

#[test]
fn all_problems_are_reported_at_once_up_to_ten() {
    let text = "[optim]\nlrr = 1\nepss = 1";
    assert_eq!(message(text, &["nonsense_key=1"]).lines().count(), 3);
    let many: String = (0..13).map(|i| format!("zzzzzzzzzz{i} = 1\n")).collect();
    let lines = message(&many, &[]);
    assert_eq!(lines.lines().last(), Some("and 3 more"));
}

#[test]
fn set_values_are_toml_and_fall_back_to_strings() {
    let sets = [
        "optim.lr=1e-4",
        "data.train=a.jsonl#split=train",
        "data.dev=[\"x.jsonl\", \"y.jsonl\"]",
        "name=7",
        "teacher.layer=3",
        "train.freeze=encoder.**",
        "loss.kd_head=true",
        "model.dir=a b=c",
        "data.max_duration_s=20",
        "loss.crd={ dim = 64, temperature = 1 }",
    ];
    let recipe = load("", &sets).unwrap().recipe;
    assert_eq!(recipe.optim.lr, 1e-4);
    assert_eq!(recipe.data.train, ["a.jsonl#split=train"]);
    assert_eq!(recipe.data.dev, ["x.jsonl", "y.jsonl"]);
    assert_eq!(recipe.name, "7");
    assert_eq!(recipe.teacher.layer, TeacherLayer::Index(3));
    assert_eq!(recipe.train.freeze, ["encoder.**"]);
    assert!(recipe.loss.kd_head);
    assert_eq!(recipe.model.dir, "a b=c");
    assert_eq!(recipe.data.max_duration_s, 20.0);
    assert_eq!((recipe.loss.crd.dim, recipe.loss.crd.temperature), (64, 1.0));
    assert_eq!(
        message("", &["optim.lr"]),
        "--set `optim.lr`: expected key=value (hint: --set optim.lr=1e-4)"
    );
}

#[test]
fn later_layers_win_and_each_value_knows_its_layer() {
    let base = "seed = 5\n[optim]\nlr = 1e-3\nweight_decay = 0.1";
    let child = "inherits = \"base\"\n[optim]\nlr = 2e-3";
    let (folder, library) = library(&[("base", base), ("child", child)]);
    let resolved =
        Recipe::load_from(&library, "child", &["optim.weight_decay=0.2".into()]).unwrap();
    assert_eq!(resolved.recipe.seed, 5);
    assert_eq!(resolved.recipe.optim.lr, 2e-3);
    assert_eq!(resolved.recipe.optim.weight_decay, 0.2);
    let file = |name: &str, line| Origin::File { path: folder.path().join(name), line };
    assert_eq!(resolved.origins["seed"], file("base.toml", 1));
    assert_eq!(resolved.origins["optim.lr"], file("child.toml", 3));
    assert_eq!(resolved.origins["optim.weight_decay"], Origin::CommandLine);
    assert_eq!(resolved.origins["optim.eps"], Origin::Default);
}

#[test]
fn a_recipe_cannot_inherit_from_itself() {
    let (_folder, library) = library(&[("a", "inherits = \"b\""), ("b", "inherits = \"a\"")]);
    let error = Recipe::load_from(&library, "a", &[]).unwrap_err().to_string();
    assert!(error.ends_with("a.toml: inherits from itself, expected a chain that ends"), "{error}");
}

#[test]
fn printed_config_is_toml_that_reads_back_to_the_same_recipe() {
    let text = "[optim]\nlr = 3e-5\neps = 1e-9\n[model]\ndir = \"a \\\"b\\\" \\\\ # c\"\n[loss.crd]\ntemperature = 0.1";
    let resolved = load(text, &["train.freeze=[\"a.**\", \"b\"]", "teacher.layer=2"]).unwrap();
    let printed = resolved.render_with_origins();
    assert_eq!(Recipe::from_text(&printed).unwrap(), resolved.recipe);
    assert_eq!(Recipe::from_text(&resolved.text).unwrap(), resolved.recipe);
    assert!(printed.contains("r.toml:2\n"), "{printed}");
    assert!(printed.contains("# --set\n") && printed.contains("# default\n"));
    assert_eq!(printed.lines().filter(|line| line.contains(" = ")).count(), known_keys().len());
}

#[test]
fn changes_lists_exactly_the_keys_that_differ() {
    let a = load("", &["optim.lr=1e-3"]).unwrap().text;
    let b = load("", &["optim.lr=2e-3", "loss.crd.dim=64"]).unwrap().text;
    assert_eq!(changes(&a, &a).unwrap(), []);
    let keys: Vec<String> = changes(&a, &b).unwrap().into_iter().map(|c| c.key).collect();
    assert_eq!(keys, ["loss.crd.dim", "optim.lr"]);
    let gone = changes("old = 1", "").unwrap();
    assert_eq!(gone, [Change { key: "old".into(), before: Some("1".into()), after: None }]);
}

#[test]
fn recipes_are_listed_with_their_first_line_and_copied_once() {
    let (folder, library) =
        library(&[("zeta", "# Last of all\n"), ("alpha", "\n#First.\nseed = 1")]);
    let listed = library.list().unwrap();
    let rows: Vec<(&str, &str)> =
        listed.iter().map(|l| (l.name.as_str(), l.about.as_str())).collect();
    assert_eq!(rows, [("alpha", "First."), ("zeta", "Last of all")]);
    let to = folder.path().join("mine.toml");
    library.copy("alpha", &to).unwrap();
    let error = library.copy("alpha", &to).unwrap_err().to_string();
    assert!(error.contains("file exists, expected a new name"), "{error}");
    let error = library.find("zeto").unwrap_err().to_string();
    assert_eq!(error, "recipe: no file and no shipped recipe `zeto` (hint: did you mean zeta)");
}

#[test]
fn every_choice_reads_back_from_its_own_name() {
    for key in known_keys() {
        for name in schema::choices(&key).unwrap_or_default() {
            let sets = [
                &format!("{key}={name}") as &str,
                "schedule.decay_steps=10",
                "schedule.min_lr_ratio=0.1",
                "lm.templates=['{text}']",
            ];
            let resolved = load("", &sets).unwrap();
            assert!(resolved.text.contains(&format!("\"{name}\"")), "{key} = {name}");
        }
    }
}

#[test]
fn a_path_that_is_nowhere_stays_as_written() {
    assert_eq!(resolve_path("no/such/file.jsonl"), PathBuf::from("no/such/file.jsonl"));
    assert_eq!(resolve_path(""), PathBuf::new());
    assert_eq!(resolve_path("crates/trainer"), Path::new(env!("CARGO_MANIFEST_DIR")));
}
