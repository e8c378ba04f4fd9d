use super::*;

/// Two pairs with one talk: three utterances of en-de, and of en-fr one that is the same, one that
/// is spelt otherwise and one that en-de lacks.
fn corpus() -> World {
    let world = World::new();
    let entry = |offset: f64, duration: f64| {
        format!(
            "- {{duration: {duration}, offset: {offset}, rW: 2, uW: 0, speaker_id: spk.7, wav: \
             ted_1.wav}}\n"
        )
    };
    let pair = |language: &str, entries: &[(f64, f64)], english: &str, translated: &str| {
        let folder = format!("must-c/en-{language}/data/dev");
        let list: String = entries.iter().map(|&(offset, length)| entry(offset, length)).collect();
        world.write(&format!("{folder}/txt/dev.yaml"), list);
        world.write(&format!("{folder}/txt/dev.en"), english);
        world.write(&format!("{folder}/txt/dev.{language}"), translated);
        world.sound(&format!("{folder}/wav/ted_1.wav"), 80_000, 0.1);
    };
    pair(
        "de",
        &[(0.0, 1.5), (1.5, 0.0), (1.75, 1.25)],
        "Thank you.\nGone.\nGood bye.\n",
        "Danke.\nWeg.\nAuf Wiedersehen.\n",
    );
    pair(
        "fr",
        &[(0.0, 1.5), (1.75, 1.0), (3.0, 0.5)],
        "Thank you.\nGood-bye.\nYes.\n",
        "Merci.\nAu revoir.\nOui.\n",
    );
    world
}

#[test]
fn pairs_are_joined_by_talk_offset_and_transcript() {
    let world = corpus();
    let summary =
        world.import(Corpus::MustC, "must-c", &ImportOptions::default(), "must-c/all.jsonl");
    let summary = summary.unwrap();
    assert_eq!(summary.to_string(), "4 utterances, 0.00 h, left out: 1 (lasts 0 s)");
    assert_eq!(summary.seconds, 1.5 + 1.25 + 1.0 + 0.5);
    assert_eq!(
        world.lines("must-c/all.jsonl"),
        [
            r#"{"id":"ted_1@0","audio":"en-de/data/dev/wav/ted_1.wav","offset":0.0,"duration":1.5,"text":"Thank you.","text_de":"Danke.","speaker":"spk.7","split":"dev","text_fr":"Merci."}"#,
            r#"{"id":"ted_1@1.75","audio":"en-de/data/dev/wav/ted_1.wav","offset":1.75,"duration":1.25,"text":"Good bye.","text_de":"Auf Wiedersehen.","speaker":"spk.7","split":"dev"}"#,
            r#"{"id":"ted_1@1.75:fr","audio":"en-fr/data/dev/wav/ted_1.wav","offset":1.75,"duration":1.0,"text":"Good-bye.","text_fr":"Au revoir.","speaker":"spk.7","split":"dev"}"#,
            r#"{"id":"ted_1@3","audio":"en-fr/data/dev/wav/ted_1.wav","offset":3.0,"duration":0.5,"text":"Yes.","text_fr":"Oui.","speaker":"spk.7","split":"dev"}"#,
        ]
    );
    // What is read back is where it should be.
    let read = world.read("must-c/all.jsonl");
    assert!(read.iter().all(|utterance| utterance.audio.as_ref().unwrap().is_file()));
}

#[test]
fn one_pair_and_split_may_be_asked_for() {
    let world = corpus();
    let options = ImportOptions {
        languages: vec!["fr".into()],
        splits: vec!["dev".into()],
        ..ImportOptions::default()
    };
    world.import(Corpus::MustC, "must-c", &options, "fr.jsonl").unwrap();
    assert_eq!(world.read("fr.jsonl").len(), 3);
    // The pair's own folder is a corpus, too.
    world.import(Corpus::MustC, "must-c/en-fr", &ImportOptions::default(), "2.jsonl").unwrap();
    assert_eq!(world.lines("2.jsonl"), world.lines("fr.jsonl"));

    let refused =
        |options: &ImportOptions| world.refusal(Corpus::MustC, "must-c", options, "o.jsonl");
    let options = ImportOptions { languages: vec!["it".into()], ..ImportOptions::default() };
    assert_eq!(refused(&options), "must-c: no en-it, expected one of de, fr (hint: --language)");
    let options = ImportOptions { splits: vec!["tst-HE".into()], ..ImportOptions::default() };
    let error = refused(&options);
    assert!(error.starts_with("must-c/en-de/data/tst-HE/txt/tst-HE.yaml: cannot read"), "{error}");
    let error = world.refusal(Corpus::MustC, "", &ImportOptions::default(), "o.jsonl");
    assert!(error.contains(": no folder en-XX there, expected MuST-C (hint: name"), "{error}");
}

#[test]
fn bad_files_are_named_with_their_line() {
    let txt = "must-c/en-de/data/dev/txt";
    for (file, text, said) in [
        (
            "dev.de",
            &b"Danke.\n"[..],
            "dev.de: 1 lines, expected 3, one for each entry of must-c/en-de/data/dev/txt/dev.yaml",
        ),
        ("dev.en", b"Thank you.\n\xff\n.\n", "dev.en:2: not UTF-8 text (hint: convert the file)"),
        (
            "dev.yaml",
            b"- {duration: 1, offset: 0, wav: ted_1.wav}\n- {}\n- {}\n",
            "dev.yaml:1: no `speaker_id`, expected it beside [duration, offset, wav]",
        ),
        (
            "dev.yaml",
            b"- {duration: -1, offset: 0, wav: ted_1.wav}\n- {}\n- {}\n",
            "dev.yaml:1: duration is `-1`, expected a number, 0 or more",
        ),
        (
            "dev.yaml",
            b"- {duration: 1, offset: 0, wav: ted_2.wav, speaker_id: s}\n- {}\n- {}\n",
            "dev.yaml:1: wav is `ted_2.wav`, no such file at must-c/en-de/data/dev/wav/ted_2.wav \
             (hint: --skip-missing leaves out what is not there)",
        ),
    ] {
        let world = corpus();
        world.write(&format!("{txt}/{file}"), text);
        let error = world.refusal(Corpus::MustC, "must-c", &ImportOptions::default(), "o.jsonl");
        assert_eq!(error, format!("{txt}/{said}"));
    }
}

#[test]
fn missing_talks_are_left_out_and_counted_on_request() {
    let world = corpus();
    fs::remove_file(world.path("must-c/en-fr/data/dev/wav/ted_1.wav")).unwrap();
    let options = ImportOptions { skip_missing: true, ..ImportOptions::default() };
    let summary = world.import(Corpus::MustC, "must-c", &options, "o.jsonl").unwrap();
    assert_eq!(summary.left_out["no sound file"], 3);
    assert_eq!(summary.n_utterances, 2);
    fs::remove_file(world.path("must-c/en-de/data/dev/wav/ted_1.wav")).unwrap();
    let error = world.refusal(Corpus::MustC, "must-c", &options, "p.jsonl");
    assert!(
        error.starts_with("import: no utterance is left of 6, expected at least one"),
        "{error}"
    );
}
