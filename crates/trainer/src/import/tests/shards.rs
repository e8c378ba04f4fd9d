use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// A tar file of these entries.
fn tar_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn none() -> ImportOptions {
    ImportOptions::default()
}

#[test]
fn entries_of_a_key_become_a_line_and_a_file() {
    let world = World::new();
    let (one, two) = (wav(&[0.5; 800], 16_000), wav(&[0.25; 400], 8_000));
    let first = tar_of(&[
        ("a/1.wav", &one),
        ("a/1.json", br#"{"text": "One.", "id": 7, "speaker": "x", "tags": ["y"], "duration": 9}"#),
        ("a/2.json", br#"{"text": "Not this.", "noisy": true}"#),
        ("a/2.txt", b"Two.\n"),
        ("a/2.wav", &two),
    ]);
    world.write("s/000.tar", first);
    world.write("s/001.tar.gz", gzip(&tar_of(&[("3.txt", "Drei: ü".as_bytes()), ("3.wav", &one)])));
    world.write("s/README.md", "no shard");
    let summary = world.import(Corpus::Shards, "s", &none(), "out").unwrap();
    assert_eq!(summary.to_string(), "3 utterances, 0.00 h, none left out");
    assert_eq!(
        world.lines("out/manifest.jsonl"),
        [
            r#"{"id":"a/1","audio":"audio/a_1.wav","duration":0.05,"text":"One.","column_id":7,"speaker":"x"}"#,
            r#"{"id":"a/2","audio":"audio/a_2.wav","duration":0.05,"text":"Two.","column_text":"Not this.","noisy":true}"#,
            r#"{"id":"3","audio":"audio/3.wav","duration":0.05,"text":"Drei: ü"}"#,
        ]
    );
    assert_eq!(fs::read(world.path("out/audio/a_2.wav")).unwrap(), two);
    // A single shard is a corpus, too.
    let summary = world.import(Corpus::Shards, "s/001.tar.gz", &none(), "3").unwrap();
    assert_eq!(summary.n_utterances, 1);
}

#[test]
fn entries_without_a_partner_and_damage_are_named() {
    let sound = wav(&[0.5; 800], 16_000);
    let refused = |bytes: Vec<u8>| {
        let world = World::new();
        world.write("s.tar", bytes);
        world.refusal(Corpus::Shards, "s.tar", &none(), "out")
    };
    assert_eq!(
        refused(tar_of(&[("1.wav", &sound)])),
        "s.tar: key `1`: sound without text, expected 1.json or 1.txt beside it (hint: --manifest \
         names one of all shards)"
    );
    let error = refused(tar_of(&[("1.txt", b"One."), ("2.wav", &sound)]));
    assert!(error.starts_with("s.tar: key `1`: text without sound, expected 1.wav"), "{error}");
    let twice = [("1.wav", &sound[..]), ("1.txt", b"One.")];
    let other = [("2.wav", &sound[..]), ("2.txt", b"Two.")];
    let error = refused(tar_of(&[twice, other, twice].concat()));
    assert!(error.contains("key `1`: sound `1`: another one has this name"), "{error}");
    assert_eq!(
        refused(tar_of(&[("1.wav", &sound), ("1.json", b"{\"a\": 1}")])),
        "s.tar: key `1`: no text beside its sound, expected text or sentence or transcription or transcript \
         or normalized_text or raw_text among [a] (hint: --text-column)"
    );
    let error = refused(tar_of(&[("1.json", b"[1]"), ("1.wav", &sound)]));
    assert!(error.starts_with("s.tar: entry `1.json`: not a JSON object"), "{error}");
    let error = refused(tar_of(&[("1.wav", b"words"), ("1.txt", b"One.")]));
    assert!(error.starts_with("s.tar: key `1`: "), "{error}");

    let whole = tar_of(&[("1.wav", &sound), ("1.txt", b"One.")]);
    for cut in [whole[..700].to_vec(), gzip(&whole)[..120].to_vec()] {
        let error = refused(cut);
        assert!(error.ends_with("(hint: is the shard cut short, or no tar file)"), "{error}");
    }
    let error = refused(Vec::new());
    assert!(error.starts_with("import: no utterance is left of 0"), "{error}");
}

#[test]
fn another_field_may_hold_the_text() {
    let world = World::new();
    let sound = wav(&[0.5; 800], 16_000);
    world.write(
        "s.tar",
        tar_of(&[("1.wav", &sound), ("1.json", br#"{"said": "Hi", "text": "no"}"#)]),
    );
    let options = ImportOptions { text_column: Some("said".into()), ..none() };
    world.import(Corpus::Shards, "s.tar", &options, "out").unwrap();
    let line = &world.read("out/manifest.jsonl")[0];
    assert_eq!((line.text.as_str(), line.extra["column_text"].as_str()), ("Hi", Some("no")));
}

#[test]
fn a_manifest_may_tell_of_entries_that_are_sound_alone() {
    let world = World::new();
    let sound = wav(&[0.5; 800], 16_000);
    world.write("s/audio_0.tar", tar_of(&[("a.wav", &sound), ("b.wav", &sound)]));
    let line = |name: &str| {
        format!(
            "{{\"audio_filepath\": \"{name}\", \"duration\": 9, \"text\": \"{name}!\", \"shard_id\": 0}}\n"
        )
    };
    let manifest = world.write("m.json", [line("b.wav"), line("c.wav"), line("a.wav")].concat());
    let options = ImportOptions { manifest: Some(manifest), ..none() };
    let summary = world.import(Corpus::Shards, "s", &options, "out").unwrap();
    assert_eq!(summary.left_out["no sound in these shards"], 1);
    assert_eq!(
        world.lines("out/manifest.jsonl"),
        [
            r#"{"id":"a","audio":"audio/a.wav","duration":0.05,"text":"a.wav!","shard_id":0}"#,
            r#"{"id":"b","audio":"audio/b.wav","duration":0.05,"text":"b.wav!","shard_id":0}"#,
        ]
    );
    for (text, said) in [
        (line("b.wav"), "s/audio_0.tar: entry `a.wav`: no line of m.json has this audio_filepath"),
        (
            [line("a.wav"), line("a.wav")].concat(),
            "m.json:2: audio_filepath is `a.wav`, which a line",
        ),
        ("{}\n".into(), "m.json:1: no audio_filepath, expected the name of an entry"),
        ("\n[]".into(), "m.json:2: not a JSON object"),
    ] {
        world.write("m.json", text);
        let error = world.refusal(Corpus::Shards, "s", &options, "o");
        assert!(error.starts_with(said), "{error}");
    }
}
