//! Rules for every text that people write: encoding, white space, open notes, recipe headers.

use super::{Fault, rust_source};

/// Whether the file is source in the sense of these rules.
pub fn is_source(path: &str) -> bool {
    const ENDINGS: [&str; 8] = [".rs", ".toml", ".md", ".py", ".sh", ".yml", ".yaml", ".gitignore"];
    path == ".ci/run" || ENDINGS.iter().any(|ending| path.ends_with(ending))
}

/// The text of a file, or the fault of not being one.
pub fn decode<'a>(path: &str, bytes: &'a [u8]) -> Result<&'a str, Fault> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        Fault::new(path, line, "not UTF-8", "save the file as UTF-8")
    })
}

/// Faults of white space, notes without an issue, and recipes without a header.
pub fn faults(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (at, line) in text.split('\n').enumerate() {
        let mut fault = |what: &str, hint: &str| faults.push(Fault::new(path, at + 1, what, hint));
        if line.ends_with('\r') {
            fault("carriage return at the end of the line", "use line feeds alone");
        } else if line.ends_with([' ', '\t']) {
            fault("white space at the end of the line", "delete it");
        }
        if line.contains('\t') {
            fault("tab", "indent with spaces");
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        let last = text.split('\n').count();
        faults.push(Fault::new(path, last, "no line feed at the end of the file", "add one"));
    }
    faults.extend(notes(path, text));
    let is_recipe = path.starts_with("crates/trainer/recipes/") && path.ends_with(".toml");
    if is_recipe && !text.trim_start().starts_with('#') {
        let hint = "open with the paper, what differs from it, hardware, time and expected score";
        faults.push(Fault::new(path, 1, "recipe without a header comment", hint));
    }
    faults
}

/// Open notes must name an issue, or nobody finds them again.
fn notes(path: &str, text: &str) -> Vec<Fault> {
    let comments: Vec<String> = if path.ends_with(".rs") {
        rust_source::lines(text).into_iter().map(|line| line.comment).collect()
    } else if path.ends_with(".md") {
        // Prose talks about such notes; it does not leave them.
        return Vec::new();
    } else {
        let after_hash = |line: &str| line.split_once('#').map_or("", |(_, rest)| rest).to_owned();
        text.lines().map(after_hash).collect()
    };
    let mut faults = Vec::new();
    for (at, comment) in comments.iter().enumerate() {
        for note in ["TODO", "FIXME"] {
            if rust_source::has_word(comment, note) && !names_issue(comment) {
                let what = format!("{note} without an issue number");
                let hint = format!("write {note}(#12), or do it now");
                faults.push(Fault::new(path, at + 1, what, hint));
            }
        }
    }
    faults
}

/// Whether the text holds `#` and a digit.
fn names_issue(text: &str) -> bool {
    text.match_indices('#').any(|(at, _)| text[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        faults(path, text).iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn white_space_faults_are_found_by_line() {
        assert_eq!(lines("a.md", "good\n"), [0; 0]);
        assert_eq!(lines("a.md", "bad \n\tbad\ngood\nbad\r\n"), [1, 2, 4]);
        assert_eq!(lines("a.toml", "[x]\nno end"), [2]);
        assert_eq!(lines("a.toml", ""), [0; 0]);
    }

    #[test]
    fn text_that_is_not_utf8_is_a_fault_of_its_line() {
        assert_eq!(decode("a.rs", b"ok\n"), Ok("ok\n"));
        assert_eq!(decode("a.rs", b"ok\nna\xefve\n").unwrap_err().line, 2);
    }

    #[test]
    fn a_note_needs_an_issue_and_strings_are_not_notes() {
        assert_eq!(lines("a.rs", "// TODO(#7): later\nlet x = \"TODO\";\n"), [0; 0]);
        assert_eq!(lines("a.rs", "fn f() {} // TODO later\n/* FIXME */\n"), [1, 2]);
        assert_eq!(lines("a.py", "x = 1  # FIXME\n"), [1]);
        assert_eq!(lines("a.py", "x = 'TODO'  # see #4, TODO\n"), [0; 0]);
        assert_eq!(lines("a.md", "A TODO needs a number.\n"), [0; 0]);
    }

    #[test]
    fn a_recipe_opens_with_its_story() {
        assert_eq!(lines("crates/trainer/recipes/a.toml", "# Paper.\n[model]\n"), [0; 0]);
        assert_eq!(lines("crates/trainer/recipes/a.toml", "[model]\n"), [1]);
        assert_eq!(lines("crates/trainer/Cargo.toml", "[package]\n"), [0; 0]);
    }
}
