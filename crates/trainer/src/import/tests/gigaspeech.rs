use super::*;

fn corpus(segments: &str) -> World {
    let world = World::new();
    world.write(
        "g/GigaSpeech.json",
        format!(
            r#"{{"dataset": "GigaSpeech", "version": {{"a": [1]}}, "audios": [
  {{"aid": "POD1", "path": "audio/podcast/POD1.opus", "source": "podcast", "category": "N/A",
    "speaker": "N/A", "md5": "x", "segments": [{segments}]}}
], "subsets": []}}"#
        ),
    );
    world.sound("g/audio/podcast/POD1.flac", 160_000, 0.1);
    world
}

const SEGMENTS: &str = r#"
  {"sid": "POD1_S1", "speaker": "ann", "begin_time": 0.1, "end_time": 2.3,
   "text_tn": "WELL <COMMA> HELLO <PERIOD>", "subsets": ["{XL}", "{M}"]},
  {"sid": "POD1_S2", "speaker": "N/A", "begin_time": 3, "end_time": 4, "text_tn": "<MUSIC>",
   "subsets": ["{M}"]},
  {"sid": "POD1_S3", "begin_time": 4, "end_time": 5.5, "text_tn": "YES", "subsets": ["{XL}"]}"#;

fn options(subset: &str) -> ImportOptions {
    let subsets = if subset.is_empty() { Vec::new() } else { vec![subset.to_owned()] };
    ImportOptions { subsets, extension: Some("flac".into()), ..ImportOptions::default() }
}

#[test]
fn segments_of_a_subset_are_lines_with_punctuation() {
    let world = corpus(SEGMENTS);
    for name in ["M", "{M}"] {
        let out = format!("g/{name}.jsonl");
        let summary = world.import(Corpus::Gigaspeech, "g", &options(name), &out).unwrap();
        assert_eq!(
            summary.to_string(),
            "1 utterances, 0.00 h, left out: 1 (in other subsets), 1 (no speech)"
        );
        assert_eq!(
            world.lines(&out),
            [
                r#"{"id":"POD1_S1","audio":"audio/podcast/POD1.flac","offset":0.1,"duration":2.2,"text":"WELL, HELLO.","speaker":"ann","domain":"podcast"}"#
            ]
        );
    }
    let summary =
        world.import(Corpus::Gigaspeech, "g/GigaSpeech.json", &options(""), "all.jsonl").unwrap();
    assert_eq!((summary.n_utterances, summary.seconds), (2, 2.2 + 1.5));
}

#[test]
fn what_is_wrong_is_named_by_segment_or_line() {
    let two = |second: &str| corpus(&format!("{SEGMENTS}, {second}"));
    let refused = |world: &World, options: &ImportOptions| {
        world.refusal(Corpus::Gigaspeech, "g", options, "o.jsonl")
    };
    let again = two(r#"{"sid": "POD1_S3", "begin_time": 1, "end_time": 2, "text_tn": "A"}"#);
    assert_eq!(
        refused(&again, &options("")),
        "g/GigaSpeech.json: segment POD1_S3: id is `POD1_S3`, expected a new one, line 2 of the \
         manifest has it"
    );
    let backwards = two(r#"{"sid": "S", "begin_time": 2, "end_time": 1, "text_tn": "A"}"#);
    assert_eq!(
        refused(&backwards, &options("")),
        "g/GigaSpeech.json: segment S: from 2 s to 1 s, expected an end after its begin"
    );
    let lacking = two(r#"{"sid": "S", "begin_time": 2, "text_tn": "A"}"#);
    let error = refused(&lacking, &options(""));
    let said = "g/GigaSpeech.json:8: not as GigaSpeech has it: missing field `end_time` at column";
    assert!(error.starts_with(said), "{error}");

    let world = corpus(SEGMENTS);
    let error = refused(&world, &ImportOptions::default());
    assert!(error.starts_with("g/GigaSpeech.json: segment POD1_S1: path is `audio/podcast/POD1.opus`, no such file at g/audio/podcast/POD1.opus (hint: --audio"), "{error}");
    fs::rename(world.path("g/audio/podcast/POD1.flac"), world.path("g/audio/podcast/POD1.opus"))
        .unwrap();
    let error = refused(&world, &ImportOptions::default());
    assert!(error.contains("is Opus, which is not decoded here (hint: convert"), "{error}");

    let text = fs::read(world.path("g/GigaSpeech.json")).unwrap();
    world.write("g/GigaSpeech.json", &text[..text.len() - 40]);
    let error = refused(&world, &options("XXL"));
    assert!(error.contains(": not as GigaSpeech has it: EOF while parsing"), "{error}");
    world.write("g/GigaSpeech.json", "{}");
    let error = refused(&world, &options(""));
    assert!(error.contains("missing field `audios`"), "{error}");
}
