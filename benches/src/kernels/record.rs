//! What a run leaves in the repository: a new file in `benches/record/`, and the table in README.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};

/// Around the table that a record replaces.
const MARKERS: [&str; 2] = ["<!-- bench-kernels -->", "<!-- /bench-kernels -->"];

/// Where records are kept.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("record")
}

/// Today in UTC, `YYYY-MM-DD`.
pub fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    date(since.as_secs() / 86_400)
}

/// The date of a day since 1970-01-01, in the Gregorian calendar.
fn date(mut days: u64) -> String {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

/// A file of today in `folder` that is not there yet: `DATE_NAME.csv`, then `DATEb_NAME.csv` and on.
pub fn fresh(folder: &Path, name: &str, extension: &str) -> PathBuf {
    let today = today();
    let letters = std::iter::once(String::new()).chain(('b'..='z').map(String::from));
    let mut paths =
        letters.map(|letter| folder.join(format!("{today}{letter}_{name}.{extension}")));
    let last = folder.join(format!("{today}z_{name}.{extension}"));
    paths.find(|path| !path.exists()).unwrap_or(last)
}

/// Refuses a file that is there, or whose folder is not: after minutes of timing is too late.
///
/// # Errors
///
/// In these cases.
pub fn expect_new(path: &Path) -> anyhow::Result<()> {
    ensure!(!path.exists(), "{}: file exists, expected a new name", path.display());
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    ensure!(parent.is_none_or(Path::is_dir), "{}: its folder is not there", path.display());
    Ok(())
}

/// A field of CSV that may hold commas and quotes.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")
}

/// README with `table` between its markers.
///
/// # Errors
///
/// When it cannot be read, or does not hold both markers once, in order.
pub fn readme_with(table: &str) -> anyhow::Result<String> {
    let path = readme();
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{}: cannot read", path.display()))?;
    between_markers(&text, table).with_context(|| path.display().to_string())
}

/// Puts `table` into README.
///
/// # Errors
///
/// As [`readme_with`], or when it cannot be written.
pub fn fill_readme(table: &str) -> anyhow::Result<()> {
    let path = readme();
    std::fs::write(&path, readme_with(table)?)
        .with_context(|| format!("{}: cannot write", path.display()))
}

fn between_markers(text: &str, table: &str) -> anyhow::Result<String> {
    let [begin, end] = MARKERS;
    for marker in MARKERS {
        let found = text.matches(marker).count();
        ensure!(found == 1, "`{marker}` is there {found} times, expected once");
    }
    let split = text.split_once(begin).and_then(|(before, rest)| {
        rest.split_once(end).map(|(_, after)| format!("{before}{begin}\n{table}{end}{after}"))
    });
    split.with_context(|| format!("`{end}` stands before `{begin}`, expected after"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_record_of_a_day_has_a_letter() {
        let folder = tempfile::tempdir().unwrap();
        let first = fresh(folder.path(), "kernels", "csv");
        assert!(first.ends_with(format!("{}_kernels.csv", today())));
        std::fs::write(first, "").unwrap();
        let second = fresh(folder.path(), "kernels", "csv");
        assert!(second.ends_with(format!("{}b_kernels.csv", today())));
        std::fs::write(second, "").unwrap();
        assert!(
            fresh(folder.path(), "kernels", "csv").ends_with(format!("{}c_kernels.csv", today()))
        );
    }

    #[test]
    fn days_become_dates() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (11_016, "2000-02-29"),
            (20_453, "2025-12-31"),
            (20_454, "2026-01-01"),
        ] {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = "a\n<!-- bench-kernels -->\nold\n<!-- /bench-kernels -->\nb\n";
        let new = between_markers(text, "| x |\n").unwrap();
        assert_eq!(new, "a\n<!-- bench-kernels -->\n| x |\n<!-- /bench-kernels -->\nb\n");
        assert_eq!(between_markers(&new, "| x |\n").unwrap(), new);
    }

    #[test]
    fn markers_that_are_missing_doubled_or_turned_are_told() {
        let error = |text: &str| between_markers(text, "").unwrap_err().to_string();
        assert_eq!(error("a"), "`<!-- bench-kernels -->` is there 0 times, expected once");
        let [begin, end] = MARKERS;
        assert!(error(&format!("{begin}{begin}{end}")).contains("is there 2 times"));
        assert!(error(&format!("{end}{begin}")).contains("stands before"));
    }

    #[test]
    fn records_are_never_overwritten() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let said = |path: &Path| expect_new(path).unwrap_err().to_string();
        assert!(said(&here).ends_with("file exists, expected a new name"));
        assert!(said(&here.join("none/a.csv")).ends_with("its folder is not there"));
        assert!(expect_new(Path::new("surely-new.csv")).is_ok());
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quoted("a, \"b\""), "\"a, \"\"b\"\"\"");
    }
}
