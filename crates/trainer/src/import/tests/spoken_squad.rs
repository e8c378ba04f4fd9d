use super::*;

const SQUAD: &str = r#"{"version": "1.1", "data": [
 {"title": "Rome", "paragraphs": [
  {"context": "rome was not built in a day", "qas": [
    {"id": "q1", "question": "What was not built?", "answers": [{"text": "rome", "answer_start": 0}]},
    {"id": "q2", "question": "In what?", "answers": [{"text": "a day", "answer_start": 22}]},
    {"id": "q3", "question": "What was not built?",
     "answers": [{"text": "rome", "answer_start": 0}, {"text": "Rome", "answer_start": 0}]},
    {"id": "q4", "question": "Who?", "answers": []}]},
  {"context": "cats", "qas": [
    {"id": 5, "question": "What?", "answers": [{"text": "cats", "answer_start": 0}]}]}]}]}"#;

fn corpus() -> World {
    let world = World::new();
    world.write("test.json", SQUAD);
    world.sound("wav/0_0_0.wav", 16_000, 0.125);
    world.sound("wav/0_0_1.wav", 8_000, 0.25);
    world.sound("wav/0_1.wav", 4_000, 0.5);
    world.write("wav/notes.txt", "0");
    world
}

fn with_audio(world: &World) -> ImportOptions {
    ImportOptions { audio: Some(world.path("wav")), ..ImportOptions::default() }
}

#[test]
fn sentences_are_joined_and_equal_questions_share_a_line() {
    let world = corpus();
    let summary =
        world.import(Corpus::SpokenSquad, "test.json", &with_audio(&world), "squad").unwrap();
    assert_eq!(summary.to_string(), "3 utterances, 0.00 h, left out: 1 (no answer)");
    let audio = world.path("wav/0_1.wav");
    assert_eq!(world.lines("squad/manifest.jsonl"), [
        r#"{"id":"q1","audio":"audio/0_0.wav","duration":1.5,"question":"What was not built?","answer":"rome","answers":["rome","Rome"],"context":"rome was not built in a day","paragraph":"0_0","title":"Rome"}"#.to_owned(),
        r#"{"id":"q2","audio":"audio/0_0.wav","duration":1.5,"question":"In what?","answer":"a day","answers":["a day"],"context":"rome was not built in a day","paragraph":"0_0","title":"Rome"}"#.to_owned(),
        format!(
            r#"{{"id":"5","audio":"{}","duration":0.25,"question":"What?","answer":"cats","answers":["cats"],"context":"cats","paragraph":"0_1","title":"Rome"}}"#,
            audio.display()
        ),
    ]);
    let joined = samples(&world.path("squad/audio/0_0.wav"));
    assert_eq!(joined, [vec![0.125; 16_000], vec![0.25; 8_000]].concat());
}

#[test]
fn missing_sentences_and_paragraphs_are_named() {
    let world = corpus();
    let refused =
        |options: &ImportOptions| world.refusal(Corpus::SpokenSquad, "test.json", options, "squad");
    let error = refused(&ImportOptions::default());
    assert_eq!(error, "test.json: expected --audio DIR, the folder with 0_0_0.wav");
    fs::rename(world.path("wav/0_0_0.wav"), world.path("wav/0_0_2.wav")).unwrap();
    assert_eq!(
        refused(&with_audio(&world)),
        "test.json: data[0].paragraphs[0]: 0_0_0.wav is missing, expected every sentence from 0 to 2"
    );
    for sentence in [1, 2] {
        fs::remove_file(world.path(&format!("wav/0_0_{sentence}.wav"))).unwrap();
    }
    let error = refused(&with_audio(&world));
    assert!(error.starts_with("test.json: data[0].paragraphs[0]: no 0_0_0.wav in wav"), "{error}");
    let options = ImportOptions { skip_missing: true, ..with_audio(&world) };
    let summary = world.import(Corpus::SpokenSquad, "test.json", &options, "squad").unwrap();
    assert_eq!((summary.n_utterances, summary.left_out["no sound file"]), (1, 2));

    world.write("test.json", "{\"data\": [{\"paragraphs\": [{\"qas\": []}]}]}");
    let error = world.refusal(Corpus::SpokenSquad, "test.json", &with_audio(&world), "other");
    assert!(
        error.starts_with("test.json:1: not as SQuAD v1.1 has it: missing field `context`"),
        "{error}"
    );
}
