//! Command-line helpers: refusing unknown words with the nearest known one, and hearing `--help`.

/// Whether `--help` stands before any `--`.
pub fn asks_for_help(args: &[String]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--help" || arg == "-h")
}

/// `what `word` (hint: did you mean `...`)`; lists all known words when none is near.
pub fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(near) => format!("{what} `{word}` (hint: did you mean `{near}`)"),
        None if known.is_empty() => format!("{what} `{word}` (hint: none is known here)"),
        None => format!("{what} `{word}` (hint: one of {})", known.join(", ")),
    }
}

/// Refuses any argument, for commands that take none.
pub fn no_arguments(command: &str, args: &[String]) -> Result<(), String> {
    match args.first() {
        None => Ok(()),
        Some(word) => Err(format!("{command}: takes no argument, got `{word}`")),
    }
}

/// The known word within a third of its own length in edits, if there is one.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (edits(word, candidate), *candidate))
        .filter(|(edits, candidate)| *edits <= candidate.chars().count().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance with a swap of neighbours counted as one edit.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let above = &rows[i - 1];
            let mut here = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            here = here.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                here = here.min(rows[i - 2][j - 2] + 1);
            }
            row.push(here);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_is_one_edit() {
        assert_eq!(edits("trian", "train"), 1);
        assert_eq!(edits("", "tidy"), 4);
        assert_eq!(edits("tidy", "tidy"), 0);
    }

    #[test]
    fn help_behind_the_dashes_is_for_another_program() {
        let asks = |text: &str| {
            let args: Vec<String> = text.split(' ').map(String::from).collect();
            asks_for_help(&args)
        };
        assert!(asks("--help") && asks("--stage fmt -h") && asks("-h -- x"));
        assert!(!asks("-- --help") && !asks("help"));
    }

    #[test]
    fn a_far_word_lists_what_is_known() {
        assert_eq!(
            unknown("no stage", "zzzz", &["fmt", "doc"]),
            "no stage `zzzz` (hint: one of fmt, doc)"
        );
        assert_eq!(
            unknown("no stage", "dco", &["fmt", "doc"]),
            "no stage `dco` (hint: did you mean `doc`)"
        );
    }
}
