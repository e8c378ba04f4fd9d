use std::path::Path;

use super::*;

/// Writes a manifest into a temporary folder and returns both.
fn manifest(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.jsonl");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_string();
    (folder, path)
}

/// The error of reading `text`, from `train.jsonl` on.
fn read_error(text: &str) -> String {
    let (_folder, path) = manifest(text);
    let error = format!("{:#}", read(&path).unwrap_err());
    error[error.find("train.jsonl").unwrap()..].replace(path.as_str(), "train.jsonl")
}

#[test]
fn our_names_nemo_names_and_slam_names_read_alike() {
    for line in [
        r#"{"id": "a", "audio": "x/a.wav", "offset": 0.5, "duration": 2, "text": "hi"}"#,
        r#"{"id": "a", "audio_filepath": "x/a.wav", "offset": 0.5, "duration": 2.0, "text": "hi"}"#,
        r#"{"key": "a", "source": "x/a.wav", "target": "hi", "offset": 0.5, "duration": 2}"#,
    ] {
        let (folder, path) = manifest(line);
        let utterances = read(&path).unwrap();
        let [u] = &utterances[..] else { panic!("one line") };
        assert_eq!((u.id.as_str(), u.text.as_str()), ("a", "hi"), "{line}");
        assert_eq!(u.audio.as_deref(), Some(folder.path().join("x/a.wav").as_path()), "{line}");
        assert_eq!((u.offset_s, u.duration_s), (0.5, Some(2.0)), "{line}");
        assert!(u.extra.is_empty(), "{line}");
        assert_eq!(u.place.line, 1);
    }
}

#[test]
fn extra_fields_are_kept_in_order_and_readable_as_text() {
    let (_folder, path) =
        manifest(r#"{"z": 1.5, "text": "hi", "flag": true, "a": [1], "none": null, "s": "x"}"#);
    let u = &read(&path).unwrap()[0];
    assert_eq!(u.extra.keys().collect::<Vec<_>>(), ["z", "flag", "a", "none", "s"]);
    let values = ["z", "flag", "a", "none", "s", "text", "id", "absent"].map(|name| u.field(name));
    let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
    let expected =
        [Some("1.5"), Some("true"), None, None, Some("x"), Some("hi"), Some("line-1"), None];
    assert_eq!(values, expected);
}

#[test]
fn byte_order_mark_blank_lines_and_crlf_are_passed_over() {
    let (_folder, path) =
        manifest("\u{feff}{\"id\": 7, \"text\": \"a\"}\r\n\r\n  \n{\"text\":\"b\"}\r\n");
    let utterances = read(&path).unwrap();
    let rows: Vec<(&str, usize)> =
        utterances.iter().map(|u| (u.id.as_str(), u.place.line)).collect();
    assert_eq!(rows, [("7", 1), ("line-4", 4)]);
}

#[test]
fn a_line_without_an_id_is_named_after_its_audio() {
    let (_folder, path) = manifest(
        "{\"audio\": \"d/x.wav\", \"text\": \"\"}\n{\"audio\": \"d/x.wav\", \"offset\": 1.5}",
    );
    let ids: Vec<String> = read(&path).unwrap().into_iter().map(|u| u.id).collect();
    assert_eq!(ids, ["x", "x@1.5"]);
}

#[test]
fn bad_lines_are_refused_with_place_value_and_expectation() {
    let hint = "(hint: data validate FILE lists every bad line)";
    for (line, expected) in [
        (r#"{"text": "a", "duration": -0.4}"#, format!("train.jsonl:2: duration is -0.4, expected > 0 {hint}")),
        (r#"{"text": "a", "duration": 0}"#, format!("train.jsonl:2: duration is 0, expected > 0 {hint}")),
        (r#"{"text": "a", "offset": -1}"#, format!("train.jsonl:2: offset is -1, expected 0 or more {hint}")),
        (r#"{"text": "a", "duration": "3.1"}"#, "train.jsonl:2: duration is the string `3.1`, expected a number (hint: drop the quotes)".into()),
        (r#"{"text": 3}"#, "train.jsonl:2: text is 3, expected a string".into()),
        (r#"{"audio": ["x.wav"]}"#, "train.jsonl:2: audio is a list, expected a string".into()),
        (r#"["a"]"#, "train.jsonl:2: line is a list, expected a JSON object".into()),
        (r#"{"id": "", "text": "a"}"#, "train.jsonl:2: id is empty, expected a unique name".into()),
        (r#"{"id": "b", "path": "b.wav"}"#, "train.jsonl:2: line has neither audio nor text, expected one of them, got fields [path]".into()),
        (r#"{"id": "a", "text": "b"}"#, "train.jsonl:2: id is `a`, expected a new one, it is also at train.jsonl:1".into()),
        (r#"{"text": "a" "b"}"#, "train.jsonl:2: not JSON: expected `,` or `}` at column 14".into()),
        (r#"{"text": "a", "duration": NaN}"#, "train.jsonl:2: not JSON: expected value at column 27".into()),
    ] {
        let text = format!("{{\"id\": \"a\", \"text\": \"first\"}}\n{line}\n");
        assert_eq!(read_error(&text), expected);
    }
    assert_eq!(read_error("\n \n"), "train.jsonl: manifest is empty, expected at least one line");
}

#[test]
fn line_8812_is_named_line_8812() {
    let good = (1..8812).map(|i| format!("{{\"id\": {i}, \"text\": \"t\"}}\n")).collect::<String>();
    let error = read_error(&format!("{good}{{\"id\": 8812, \"text\": \"t\", \"duration\": -0.4}}"));
    assert!(error.starts_with("train.jsonl:8812: duration is -0.4, expected > 0"), "{error}");
}

#[test]
fn text_that_is_not_utf8_is_refused_with_its_line() {
    let (_folder, path) = manifest("");
    std::fs::write(&path, b"{\"text\": \"a\"}\n{\"text\": \"\xff\"}").unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(error.ends_with("train.jsonl:2: not UTF-8 text (hint: convert the file)"), "{error}");
}

const SPLITS: &str = r#"{"id": "a", "text": "x", "split": "train", "n": 1}
{"id": "b", "text": "x", "split": "dev", "n": 1}
{"id": "c", "text": "x", "split": "train", "n": 2}
{"id": "d", "text": "x"}
"#;

#[test]
fn filters_keep_the_lines_that_meet_every_condition() {
    let (_folder, path) = manifest(SPLITS);
    for (filter, expected) in [
        ("", "abcd"),
        ("#split=train", "ac"),
        ("#split=train|dev", "abc"),
        ("#split=train,n=2", "c"),
        ("#id=d", "d"),
    ] {
        let ids: String =
            read(&format!("{path}{filter}")).unwrap().into_iter().map(|u| u.id).collect();
        assert_eq!(ids, expected, "{filter}");
    }
    let error = read(&format!("{path}#split=trian")).unwrap_err().to_string();
    assert!(
        error.ends_with("no line has split=trian (hint: split is one of dev, train)"),
        "{error}"
    );
    let error = read(&format!("{path}#lang=en")).unwrap_err().to_string();
    assert!(error.ends_with("no line has lang=en (hint: no line has lang)"), "{error}");
    let error = read(&format!("{path}#split=a,b")).unwrap_err().to_string();
    assert!(error.contains("condition is `b`, expected field=value"), "{error}");
}

#[test]
fn several_manifests_share_one_space_of_ids() {
    let (_folder, path) = manifest(SPLITS);
    let parts = [format!("{path}#split=train"), format!("{path}#split=dev")];
    assert_eq!(read_all(&parts).unwrap().len(), 3);
    let twice = [format!("{path}#split=train"), format!("{path}#id=c")];
    let error = read_all(&twice).unwrap_err().to_string();
    assert!(error.contains("train.jsonl:3: id is `c`, expected a new one"), "{error}");
}

#[test]
fn a_hash_without_a_condition_belongs_to_the_path() {
    let spec = ManifestSpec::parse("take#2.jsonl").unwrap();
    assert_eq!((spec.path.as_path(), spec.filters.len()), (Path::new("take#2.jsonl"), 0));
}

#[test]
fn validate_lists_every_bad_line_and_goes_on() {
    let (folder, path) = manifest(concat!(
        "{\"id\": \"a\", \"audio\": \"ok.wav\", \"duration\": 2.0, \"text\": \"HI\"}\n",
        "{\"id\": \"b\", \"audio\": \"gone.wav\", \"text\": \"HI\"}\n",
        "{\"id\": \"c\", \"audio\": \"ok.wav\", \"offset\": 1.5, \"duration\": 1, \"text\": \"HI\"}\n",
        "not json\n",
        "{\"id\": \"a\", \"text\": \"HI\"}\n",
        "{\"id\": \"e\", \"audio\": \"bad.wav\", \"text\": \"\"}\n",
        "{\"id\": \"f\", \"audio\": \"own.wav\", \"duration\": 0.1, \"text\": \"Hello there.\"}\n",
    ));
    for name in ["ok.wav", "own.wav", "bad.wav"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let header = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
        Some("ok.wav" | "own.wav") => Ok(Header { duration_s: Some(2.0), sample_rate: 16_000 }),
        _ => Err("bad.wav: not a sound file".to_string()),
    };
    let found = validate(&path, ValidationOptions::default(), &header).unwrap();
    let strip = |problems: &[Problem]| -> Vec<String> {
        let folder = format!("{}/", folder.path().display());
        problems.iter().map(|problem| problem.message.replace(&folder, "")).collect()
    };
    assert_eq!(
        strip(&found.errors),
        [
            "train.jsonl:2: audio is `gone.wav`, no such file",
            "train.jsonl:3: segment ends at 2.500 s, expected within the 2.000 s of `ok.wav`",
            "train.jsonl:4: not JSON: expected ident at column 2",
            "train.jsonl:5: id is `a`, expected a new one, it is also at train.jsonl:1",
            "train.jsonl:6: audio: bad.wav: not a sound file",
        ]
    );
    assert_eq!(
        strip(&found.warnings),
        [
            "train.jsonl:6: text is empty",
            "train.jsonl:7: text has 120 characters a second, expected at most 40 (hint: does it belong to this audio)",
            "train.jsonl:7: duration is 0.1, `own.wav` holds 2.000 s, the rest is unused",
            "train.jsonl: 4 of 5 texts are all upper case (hint: data.lowercase = true)",
        ]
    );
    assert_eq!((found.n_lines, found.n_files, found.n_errors), (7, 4, 5));
    assert!(!found.is_ok());

    let few = ValidationOptions { max_errors: 2, ..ValidationOptions::default() };
    let found = validate(&path, few, &header).unwrap();
    assert_eq!((found.errors.len(), found.n_errors), (2, 5));
}

#[test]
fn lines_that_share_a_recording_leave_none_of_it_unused() {
    let (folder, path) = manifest(concat!(
        "{\"id\": \"a\", \"audio\": \"long.wav\", \"offset\": 0.0, \"duration\": 2, \"text\": \"One.\"}\n",
        "{\"id\": \"b\", \"audio\": \"long.wav\", \"offset\": 2.0, \"duration\": 2, \"text\": \"Two.\"}\n",
    ));
    std::fs::write(folder.path().join("long.wav"), "").unwrap();
    let header = |_: &Path| Ok(Header { duration_s: Some(60.0), sample_rate: 16_000 });
    let found = validate(&path, ValidationOptions::default(), &header).unwrap();
    assert_eq!((found.n_files, found.n_errors, found.warnings.len()), (1, 0, 0));
}

#[test]
fn mixed_sample_rates_and_long_utterances_are_warned_of_with_their_lines() {
    let (folder, path) = manifest(concat!(
        "{\"id\": \"a\", \"audio\": \"16k.wav\", \"text\": \"One.\"}\n",
        "{\"id\": \"b\", \"audio\": \"8k.wav\", \"offset\": 3, \"text\": \"Two.\"}\n",
        "{\"id\": \"c\", \"audio\": \"16k.wav\", \"duration\": 20, \"text\": \"Three.\"}\n",
        "{\"id\": \"d\", \"audio\": \"8k.wav\", \"duration\": 10, \"offset\": 1, \"text\": \" \"}\n",
    ));
    for name in ["16k.wav", "8k.wav"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let header = |path: &Path| {
        let sample_rate = if path.ends_with("8k.wav") { 8_000 } else { 16_000 };
        Ok(Header { duration_s: Some(20.0), sample_rate })
    };
    let warnings = |max_duration_s: Option<f64>, filter: &str| -> Vec<String> {
        let options = ValidationOptions { max_duration_s, ..ValidationOptions::default() };
        let found = validate(&format!("{path}{filter}"), options, &header).unwrap();
        assert!(found.is_ok());
        let folder = format!("{}/", folder.path().display());
        found.warnings.iter().map(|problem| problem.message.replace(&folder, "")).collect()
    };
    let hint = "(hint: data.max_duration_s leaves out what is known to be longer)";
    assert_eq!(
        warnings(Some(16.9), ""),
        [
            format!("train.jsonl:1: lasts 20.000 s, expected at most 16.9 s {hint}"),
            format!("train.jsonl:2: lasts 17.000 s, expected at most 16.9 s {hint}"),
            format!("train.jsonl:3: lasts 20.000 s, expected at most 16.9 s {hint}"),
            "train.jsonl:4: text is empty".into(),
            "train.jsonl: sound of 2 sample rates, expected one: 2 lines at 8000 Hz, the first \
             train.jsonl:2; 2 lines at 16000 Hz, the first train.jsonl:1 (hint: all of it is brought \
             to the model's rate, but what was sampled lower sounds duller)"
                .into(),
        ]
    );
    assert!(warnings(None, "#id=a|c").is_empty());
}

#[test]
fn a_manifest_of_which_no_line_is_left_is_not_valid() {
    let (_folder, path) = manifest(SPLITS);
    let header = |_: &Path| Ok(Header { duration_s: None, sample_rate: 16_000 });
    let options = ValidationOptions::default();
    let errors = |spec: &str| validate(spec, options, &header).unwrap().errors;
    assert_eq!(errors(&format!("{path}#split=dev")), []);
    let found = errors(&format!("{path}#split=trian"));
    assert!(found[0].message.ends_with("(hint: split is one of dev, train)"), "{found:?}");
    std::fs::write(&path, "\n").unwrap();
    assert!(errors(&path)[0].message.ends_with("manifest is empty, expected at least one line"));
}

#[test]
fn describe_counts_hours_casing_fields_and_unknown_characters() {
    let (_folder, path) = manifest(concat!(
        "{\"audio\": \"a.wav\", \"duration\": 1800, \"text\": \"AB C\", \"speaker\": \"x\"}\n",
        "{\"audio\": \"b.wav\", \"duration\": 3600, \"text\": \"ab é\", \"speaker\": \"x\"}\n",
        "{\"audio\": \"c.wav\", \"text\": \"Ab\", \"speaker\": \"y\"}\n",
        "{\"text\": \"12\", \"note\": \"once\"}\n",
    ));
    let known = |c: char| c.is_ascii();
    let got = describe(&read(&path).unwrap(), "text", Some(&known));
    assert_eq!((got.n_utterances, got.n_audio, got.n_unknown_duration), (4, 3, 1));
    assert_eq!(got.hours, 1.5);
    assert_eq!(got.duration_percentiles[0], (0, 1800.0));
    assert_eq!(got.duration_percentiles[3], (50, 1800.0));
    assert_eq!(got.duration_percentiles[6], (100, 3600.0));
    assert_eq!(got.casing, Casing { lower: 0.25, upper: 0.25, mixed: 0.25 });
    assert_eq!(got.unknown_chars, [('é', 1)]);
    assert_eq!(got.n_words, 6);
    assert_eq!(got.fields["speaker"].values, [("x".to_string(), 2), ("y".to_string(), 1)]);
    assert_eq!(got.fields["note"].values, [("once".to_string(), 1)]);
    let page = got.to_string();
    assert!(page.contains("speaker      3 lines, 2 distinct: x 2, y 1\n"), "{page}");
    assert!(
        page.contains("audio        3 with audio, 1.50 h, 1 more of unknown duration\n"),
        "{page}"
    );
    assert!(page.contains("outside the tokenizer's alphabet: 'é' x1\n"), "{page}");
}

#[test]
fn describe_of_nothing_is_zeros() {
    let got = describe(&[], "text", None);
    assert_eq!(got, Description::default());
    assert!(got.to_string().starts_with("utterances   0\n"));
}

#[test]
fn percentiles_of_one_value_are_that_value() {
    let (_folder, path) = manifest(r#"{"audio": "a.wav", "duration": 3, "text": "x"}"#);
    let got = describe(&read(&path).unwrap(), "text", None);
    assert!(got.duration_percentiles.iter().all(|&(_, seconds)| seconds == 3.0));
}
