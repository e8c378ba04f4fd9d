//! The commands that the documentation shows are understood as they stand.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::program::program;

/// Commands that the program runs; the others are `cargo xtask`'s own.
const COMMANDS: [&str; 9] =
    ["train", "sweep", "eval", "encode", "transcribe", "generate", "data", "inspect", "recipe"];

/// The words of every `cargo xtask COMMAND ...` in a text, quotes removed as a shell does.
fn commands(text: &str) -> Vec<Vec<String>> {
    // A line of a recipe's header goes on behind a backslash.
    let text = text.replace("\\\n#", " ");
    let mut found = Vec::new();
    for mention in text.split("cargo xtask ").skip(1) {
        // `#` inside a word belongs to it: manifest.jsonl#split=test.
        let end = ["\n", "`", " #"].iter().filter_map(|end| mention.find(end)).min();
        let words = words(&mention[..end.unwrap_or(mention.len())]);
        if words.first().is_some_and(|word| COMMANDS.contains(&word.as_str())) {
            found.push(words);
        }
    }
    found
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (String::new(), None);
    for c in line.chars().chain([' ']) {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == ' ' => {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
            }
            _ => word.push(c),
        }
    }
    words
}

#[test]
fn every_option_in_the_documentation_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let recipes = fs::read_dir(root.join("crates/trainer/recipes")).unwrap();
    let mut files: Vec<_> = recipes.map(|entry| entry.unwrap().path()).collect();
    let pages = [
        "README.md",
        "CONTRIBUTING.md",
        "assets/README.md",
        "assets/nano-whisper/README.md",
        "assets/nano-hubert/README.md",
        "assets/nano-llama/README.md",
    ];
    files.extend(pages.map(|page| root.join(page)));
    let mut checked = 0;
    for file in files {
        for args in commands(&fs::read_to_string(&file).unwrap()) {
            // `--help` stops the program, but only after all before it has been understood.
            let output = Command::new(program()).args(&args).arg("--help").output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {args:?}: {said}", file.display());
            checked += 1;
        }
    }
    assert!(checked > 15, "{checked} commands were found");
}

#[test]
fn an_option_that_does_not_exist_is_seen_before_help() {
    let output = Command::new(program()).args(["train", "x", "--epochs", "--help"]).output();
    assert_eq!(output.unwrap().status.code(), Some(2));
}

#[test]
fn words_are_split_as_a_shell_does() {
    let text = "```sh\ncargo xtask train a.toml --set x='[\"b.jsonl#s=t\"]'   # why\n```\n\
                `cargo xtask tidy` and `cargo xtask data describe 'm n'`\n";
    let expected: [&[&str]; 2] =
        [&["train", "a.toml", "--set", "x=[\"b.jsonl#s=t\"]"], &["data", "describe", "m n"]];
    assert_eq!(commands(text), expected);
    let recipe = "#   cargo xtask train a \\\n#     --set b=1\n";
    assert_eq!(commands(recipe), [["train", "a", "--set", "b=1"]]);
}
