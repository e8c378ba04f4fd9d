use std::sync::Arc;

use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;

use super::*;

/// A column of a table to write; `None` is null.
enum Column {
    Text(Vec<Option<&'static str>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Whole(Vec<i64>),
    Real(Vec<f64>),
}

/// A parquet file of these columns; what is of text or bytes may be null, `depth` deep.
fn table(schema: &str, columns: Vec<(i16, Column)>) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (depth, column) in columns {
        let mut out = group.next_column().unwrap().unwrap();
        let mut optional = |values: Vec<Option<ByteArray>>| {
            let levels: Vec<i16> =
                values.iter().map(|value| depth - i16::from(value.is_none())).collect();
            let values: Vec<ByteArray> = values.into_iter().flatten().collect();
            out.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        };
        match column {
            Column::Text(values) => {
                optional(values.into_iter().map(|value| value.map(ByteArray::from)).collect());
            }
            Column::Bytes(values) => {
                optional(values.into_iter().map(|value| value.map(ByteArray::from)).collect());
            }
            Column::Whole(values) => {
                out.typed::<Int64Type>().write_batch(&values, None, None).unwrap();
            }
            Column::Real(values) => {
                out.typed::<DoubleType>().write_batch(&values, None, None).unwrap();
            }
        }
        out.close().unwrap();
    }
    group.close().unwrap();
    writer.into_inner().unwrap()
}

/// Two rows of sound, text and fields.
fn sounds() -> Vec<u8> {
    let schema = "message schema {
        optional group audio { optional binary bytes; optional binary path (UTF8); }
        optional binary sentence (UTF8);
        optional binary accent (UTF8);
        required int64 speaker_id;
        required double snr;
    }";
    let bytes = [800, 1600].map(|n| Some(wav(&vec![0.5; n], 16_000))).to_vec();
    table(
        schema,
        vec![
            (2, Column::Bytes(bytes)),
            (2, Column::Text(vec![Some("clips/one.mp3"), None])),
            (1, Column::Text(vec![Some(" One. "), Some("Two.")])),
            (1, Column::Text(vec![None, Some("scots")])),
            (0, Column::Whole(vec![7, 8])),
            (0, Column::Real(vec![20.5, f64::NAN])),
        ],
    )
}

fn none() -> ImportOptions {
    ImportOptions::default()
}

#[test]
fn rows_become_lines_and_their_bytes_become_files() {
    let world = World::new();
    world.write("t/train.parquet", sounds());
    for (source, out) in [("t", "o"), ("t/train.parquet", "p")] {
        let summary = world.import(Corpus::Parquet, source, &none(), out).unwrap();
        assert_eq!((summary.n_utterances, summary.left_out.len()), (2, 0));
        assert!((summary.seconds - 0.15).abs() < 1e-12);
        assert_eq!(
            world.lines(&format!("{out}/manifest.jsonl")),
            [
                r#"{"id":"clips/one","audio":"audio/clips_one.wav","duration":0.05,"text":"One.","speaker":7,"snr":20.5}"#,
                r#"{"id":"train-1","audio":"audio/train-1.wav","duration":0.1,"text":"Two.","accent":"scots","speaker":8}"#,
            ]
        );
    }
    assert_eq!(samples(&world.path("o/audio/train-1.wav")), [0.5; 1600]);
    // As a repository of the Hub has them.
    for split in ["train", "test"] {
        world.write(&format!("hub/{split}-00000-of-00001.parquet"), sounds());
    }
    let error = world.refusal(Corpus::Parquet, "hub", &none(), "q");
    let said =
        "hub/train-00000-of-00001.parquet: row 0: sound `clips/one`: another one has this name";
    assert!(error.starts_with(said), "{error}");
    let one = "hub/test-00000-of-00001.parquet";
    world.import(Corpus::Parquet, one, &none(), "q").unwrap();
    assert!(world.read("q/manifest.jsonl").iter().all(|line| line.extra["split"] == "test"));
}

#[test]
fn columns_that_are_not_there_and_damage_are_named() {
    let world = World::new();
    let bytes = sounds();
    world.write("t.parquet", &bytes);
    let refused =
        |options: &ImportOptions| world.refusal(Corpus::Parquet, "t.parquet", options, "o");
    let all = "[audio, sentence, accent, speaker_id, snr]";
    let options = ImportOptions { audio_column: Some("sound".into()), ..none() };
    assert_eq!(
        refused(&options),
        format!("t.parquet: no column of sound, expected sound among {all} (hint: --audio-column)")
    );
    let options = ImportOptions { text_column: Some("words".into()), ..none() };
    assert_eq!(
        refused(&options),
        format!("t.parquet: no column of text, expected words among {all} (hint: --text-column)")
    );
    let options = ImportOptions { audio_column: Some("snr".into()), ..none() };
    assert_eq!(
        refused(&options),
        "t.parquet: row 0: sound is 20.5, expected {bytes, path} or bytes"
    );
    world.write("t.parquet", &bytes[..bytes.len() - 20]);
    let error = refused(&none());
    assert!(error.starts_with("t.parquet: not a whole parquet file, "), "{error}");
    // The footer is whole, the pages are not.
    let mut damaged = bytes.clone();
    damaged[8..60].fill(0xff);
    world.write("t.parquet", damaged);
    let error = refused(&none());
    assert!(error.starts_with("t.parquet: "), "{error}");
    fs::create_dir(world.path("none")).unwrap();
    let error = world.refusal(Corpus::Parquet, "none", &none(), "o");
    assert_eq!(error, "none: no .parquet there, expected some");
    let error = world.refusal(Corpus::Parquet, "none", &none(), "absent/o");
    assert!(error.starts_with("absent/.o.") && error.contains(": cannot make a folder"), "{error}");
}

#[test]
fn a_row_without_sound_is_named() {
    let world = World::new();
    let schema = "message schema {
        optional group audio { optional binary bytes; optional binary path (UTF8); }
        optional binary text (UTF8);
    }";
    let rows = |bytes: Option<Vec<u8>>, path: Option<&'static str>| {
        table(
            schema,
            vec![
                (2, Column::Bytes(vec![bytes])),
                (2, Column::Text(vec![path])),
                (1, Column::Text(vec![Some("x")])),
            ],
        )
    };
    for (bytes, path, said) in [
        (None, None, "sound has neither bytes nor a path"),
        (None, Some("a.wav"), "sound has no bytes and its path is `a.wav`, no such file at a.wav"),
        (
            Some(b"abc".to_vec()),
            None,
            "3 bytes begin like no sound file, expected wav, flac, ogg, mp3, m4a, aac",
        ),
    ] {
        world.write("t.parquet", rows(bytes, path));
        let error = world.refusal(Corpus::Parquet, "t.parquet", &none(), "o");
        assert_eq!(error, format!("t.parquet: row 0: {said}"));
    }
    world.sound("a.wav", 160, 0.5);
    world.write("t.parquet", rows(None, Some("a.wav")));
    world.import(Corpus::Parquet, "t.parquet", &none(), "o").unwrap();
    assert!(world.read("o/manifest.jsonl")[0].audio.as_ref().unwrap().is_file());
}

/// Descriptions of three utterances.
fn descriptions() -> Vec<u8> {
    let schema = "message schema {
        optional binary original_path (UTF8);
        required double begin_time;
        required double end_time;
        optional binary gender (UTF8);
        optional binary speaking_rate (UTF8);
        optional binary text_description (UTF8);
    }";
    table(
        schema,
        vec![
            (
                1,
                Column::Text(vec![
                    Some("http://a/1.mp3"),
                    Some("http://a/1.mp3"),
                    Some("http://b.mp3"),
                ]),
            ),
            (0, Column::Real(vec![10.0, 30.33, 10.0])),
            (0, Column::Real(vec![20.0, 40.0, 20.0])),
            (1, Column::Text(vec![Some("female"), Some("female"), Some("male")])),
            (1, Column::Text(vec![Some("slowly"), Some("fast"), Some("fast")])),
            (1, Column::Text(vec![Some("A woman."), Some("A woman."), Some("A man.")])),
        ],
    )
}

#[test]
fn descriptions_are_joined_with_a_folder_of_mls() {
    let world = World::new();
    world.write("d.parquet", descriptions());
    world.write(
        "mls/segments.txt",
        "4800_10_000001\thttp://a/1.mp3\t30.33\t40.0\n4800_10_000000\thttp://a/1.mp3\t10\t20\n",
    );
    world.write("mls/transcripts.txt", "4800_10_000000\tone\n4800_10_000001\ttwo\n");
    for number in 0..2 {
        world.sound(&format!("mls/audio/4800/10/4800_10_00000{number}.wav"), 1600, 0.5);
    }
    let options = ImportOptions { audio: Some(world.path("mls")), ..none() };
    let run = |options: &ImportOptions, out: &str| {
        world.import(Corpus::MlsSpeakerDescriptions, "d.parquet", options, out)
    };
    let error = world.refusal(Corpus::MlsSpeakerDescriptions, "d.parquet", &options, "o.jsonl");
    assert!(
        error.starts_with("d.parquet: row 2: no sound of http://b.mp3 from 10 s to 20 s (hint: "),
        "{error}"
    );
    let options = ImportOptions { skip_missing: true, ..options };
    let summary = run(&options, "o.jsonl").unwrap();
    assert_eq!((summary.n_utterances, summary.left_out["no sound file"]), (2, 1));
    assert_eq!(
        world.lines("o.jsonl")[1],
        r#"{"id":"4800_10_000001","audio":"mls/audio/4800/10/4800_10_000001.wav","duration":0.1,"text":"two","gender":"female","speaking_rate":"fast","text_description":"A woman.","speaker":"4800"}"#
    );
    world.write("mls/segments.txt", "4800_10_000001\thttp://a/1.mp3\t30.33\n");
    let error = world.refusal(Corpus::MlsSpeakerDescriptions, "d.parquet", &options, "p.jsonl");
    assert_eq!(
        error,
        "mls/segments.txt:1: expected id, recording, begin and end with tabs between them"
    );
}

#[test]
fn descriptions_are_joined_with_parquet_of_sound() {
    let world = World::new();
    world.write("d.parquet", descriptions());
    let schema = "message schema {
        optional group audio { optional binary bytes; optional binary path (UTF8); }
        optional binary original_path (UTF8);
        required double begin_time;
        required double end_time;
        optional binary transcript (UTF8);
        required int64 speaker_id;
    }";
    let bytes = [160, 320].map(|n| Some(wav(&vec![0.5; n], 16_000))).to_vec();
    let sounds = table(
        schema,
        vec![
            (2, Column::Bytes(bytes)),
            (2, Column::Text(vec![Some("x.wav"), Some("y.wav")])),
            (1, Column::Text(vec![Some("http://b.mp3"), Some("http://c.mp3")])),
            (0, Column::Real(vec![10.0, 1.0])),
            (0, Column::Real(vec![20.0, 2.0])),
            (1, Column::Text(vec![Some("three"), Some("four")])),
            (0, Column::Whole(vec![9, 9])),
        ],
    );
    let audio = world.write("mls.parquet", sounds);
    let options = ImportOptions { audio: Some(audio), skip_missing: true, ..none() };
    let summary = world.import(Corpus::MlsSpeakerDescriptions, "d.parquet", &options, "o").unwrap();
    assert_eq!(
        summary.to_string(),
        "1 utterances, 0.00 h, left out: 1 (no description), 2 (no sound file)"
    );
    assert_eq!(
        world.lines("o/manifest.jsonl"),
        [
            r#"{"id":"x","audio":"audio/x.wav","duration":0.01,"text":"three","speaker":9,"gender":"male","speaking_rate":"fast","text_description":"A man."}"#
        ]
    );
    let error = world.refusal(Corpus::MlsSpeakerDescriptions, "d.parquet", &none(), "p");
    assert!(
        error.starts_with("d.parquet: descriptions without sound, expected --audio"),
        "{error}"
    );
}

/// A table made by the `datasets` library of Python.
#[test]
fn a_table_of_hugging_face_datasets_is_read_as_python_reads_it() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/parquet");
    let world = World::new();
    let out = world.path("o");
    import(Corpus::Parquet, &golden.join("speech.parquet"), &none(), &out).unwrap();
    let expected = fs::read_to_string(golden.join("expected.jsonl")).unwrap();
    let expected: Vec<serde_json::Value> =
        expected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let got: Vec<serde_json::Value> =
        world.lines("o/manifest.jsonl").iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(got, expected);
    let sound = samples(&world.path("o").join(got[0]["audio"].as_str().unwrap()));
    assert_eq!(sound.len(), 320);
}
