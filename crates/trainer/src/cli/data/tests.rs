use clap::Parser;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: DataCommand,
}

/// Runs `data ARGS`; the page, and the error if there is one.
fn run(args: &[&str]) -> (String, Option<String>) {
    let cli = Cli::try_parse_from([&["data"], args].concat()).unwrap();
    let mut out = Vec::new();
    let error = cli.command.run(&mut out).err().map(|error| format!("{error:#}"));
    (String::from_utf8(out).unwrap(), error)
}

/// A manifest of three texts, one of them with a character that the others lack.
fn texts() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.jsonl");
    let lines = ["the cat sat on the mat", "the cat and the hat", "the mat ø"];
    let lines: Vec<String> = lines.iter().map(|l| format!("{{\"text\": \"{l}\"}}\n")).collect();
    std::fs::write(&path, lines.concat()).unwrap();
    let path = path.to_str().unwrap().to_string();
    (folder, path)
}

/// A WAV file of `n` zeros at 8 kHz, one channel of 16 bits.
fn silence(n: u32) -> Vec<u8> {
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + 2 * n).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16u32.to_le_bytes());
    wav.extend([1, 0, 1, 0]);
    wav.extend(8000u32.to_le_bytes());
    wav.extend(16000u32.to_le_bytes());
    wav.extend([2, 0, 16, 0]);
    wav.extend(b"data");
    wav.extend((2 * n).to_le_bytes());
    wav.resize(wav.len() + 2 * n as usize, 0);
    wav
}

#[test]
fn validate_reads_headers_lists_problems_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.wav"), silence(8000)).unwrap();
    std::fs::write(folder.path().join("b.wav"), b"not sound").unwrap();
    let path = folder.path().join("t.jsonl");
    let good = "{\"audio\": \"a.wav\", \"duration\": 1.0, \"text\": \"x\"}\n";
    std::fs::write(&path, good).unwrap();
    let path_text = path.to_str().unwrap();
    let (page, error) = run(&["validate", path_text]);
    assert_eq!((page.as_str(), error), ("1 lines, 1 sound files, 0 errors, 0 warnings\n", None));

    let bad = "{\"id\": 2, \"audio\": \"a.wav\", \"duration\": 1.5}\n{\"audio\": \"b.wav\"}\nx\n";
    std::fs::write(&path, format!("{good}{bad}")).unwrap();
    let (page, error) = run(&["validate", path_text, "--max-errors", "2"]);
    assert!(page.contains("t.jsonl:2: segment ends at 1.500 s, expected within the 1.000 s"));
    assert!(page.contains("t.jsonl:3: audio: ") && page.contains("b.wav"), "{page}");
    assert!(page.contains("error   and 1 more (hint: --max-errors 3)"), "{page}");
    assert!(page.ends_with("4 lines, 2 sound files, 3 errors, 2 warnings\n"), "{page}");
    assert!(error.unwrap().ends_with("t.jsonl: 3 errors, expected none"));
}

#[test]
fn a_tokenizer_is_trained_and_its_alphabet_checked() {
    let (folder, manifest) = texts();
    let out = folder.path().join("tokenizer");
    let out = out.to_str().unwrap();
    let known = format!("{manifest}#id=line-1|line-2");
    let args = ["--kind", "wordpiece", "--vocab-size", "60", "--manifest", &known, "--out", out];
    let (page, error) = run(&[&["tokenizer"], &args[..]].concat());
    assert_eq!(error, None);
    assert!(page.contains("tokenizer.json: ") && page.contains(" from 2 texts, "), "{page}");
    let (page, error) = run(&["describe", &manifest, "--tokenizer", out]);
    assert_eq!(error, None);
    assert!(page.contains("outside the tokenizer's alphabet: 'ø' x1\n"), "{page}");
}

#[test]
fn a_missing_tokenizer_or_field_is_named() {
    let (folder, manifest) = texts();
    let absent = folder.path().join("absent");
    let absent = absent.to_str().unwrap();
    let (_, error) = run(&["describe", &manifest, "--tokenizer", absent]);
    let expected = "no such tokenizer, expected a tokenizer.json or a folder with one";
    assert!(error.unwrap().ends_with(expected));
    let args = ["--kind", "bpe", "--vocab-size", "300", "--manifest", &manifest, "--out", absent];
    let field = ["--template", "{text_de}"];
    let (_, error) = run(&[&["tokenizer"], &args[..], &field].concat());
    let error = error.unwrap();
    assert!(error.contains("no line fits (hint: --template)"), "{error}");
    assert!(error.contains("t.jsonl:1: no field `text_de`"), "{error}");
}
