//! Columns of text for the terminal.

/// Lays out rows below their titles; columns of numbers go to the right.
pub fn render(titles: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |row: &[String], at: usize| row.get(at).cloned().unwrap_or_default();
    let widths: Vec<usize> = titles
        .iter()
        .enumerate()
        .map(|(at, title)| {
            let cells = rows.iter().map(|row| cell(row, at).chars().count());
            cells.max().unwrap_or(0).max(title.chars().count())
        })
        .collect();
    let is_number: Vec<bool> = (0..titles.len())
        .map(|at| rows.iter().all(|row| cell(row, at).parse::<u64>().is_ok()))
        .collect();
    let line = |cells: Vec<String>| {
        let laid = cells.iter().enumerate().map(|(at, cell)| match is_number[at] {
            true => format!("{cell:>width$}", width = widths[at]),
            false => format!("{cell:<width$}", width = widths[at]),
        });
        let line = laid.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    let mut text = line(titles.iter().map(|title| (*title).to_owned()).collect());
    for row in rows {
        text.push_str(&line((0..titles.len()).map(|at| cell(row, at)).collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_words_left() {
        let row = |cells: [&str; 3]| cells.map(String::from).to_vec();
        let rows = [row(["a_v1", "8", "x"]), row(["b", "128", ""])];
        assert_eq!(
            render(&["kernel", "regs", "note"], &rows),
            "kernel  regs  note\na_v1       8  x\nb        128\n"
        );
    }
}
