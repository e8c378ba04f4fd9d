//! `report.html`: one page that shows what a run did, from plain data.
//!
//! The page is self-contained (inline style, inline SVG, no script, no request to anywhere), so it
//! can be mailed, archived beside the checkpoint, and read on a phone, in light or dark.

mod axis;
mod escape;
mod heatmap;
mod html;
mod svg;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use self::heatmap::Heatmap;
use crate::atomic;

/// Everything a report shows, top to bottom.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// Heading, the run's name.
    pub title: String,
    /// One line below it.
    pub subtitle: String,
    /// (name, value) pairs shown as tiles: steps, time, the headline scores.
    pub facts: Vec<(String, String)>,
    /// Plots, in order.
    pub curves: Vec<Curve>,
    /// Tables, in order; one without rows is left out.
    pub tables: Vec<Table>,
    /// Paragraphs of text below the plots.
    pub notes: Vec<String>,
    /// The resolved recipe, shown folded.
    pub config_toml: String,
}

/// One plot of one or more series over the same axes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Curve {
    /// Heading of the plot.
    pub title: String,
    /// (name, points (x, y)) of each series, x rising; y that is not finite is a gap.
    pub series: Vec<(String, Vec<(f64, f64)>)>,
    /// Name and unit of the horizontal axis.
    pub x_label: String,
    /// Name and unit of the vertical axis.
    pub y_label: String,
    /// Logarithmic vertical axis; values of 0 or less are then gaps.
    pub log_y: bool,
}

/// One table. Cells that are numbers are aligned as numbers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Heading of the table.
    pub title: String,
    /// What the numbers are and which direction is better; may be empty.
    pub caption: String,
    /// Column names.
    pub header: Vec<String>,
    /// Cells, row by row.
    pub rows: Vec<Vec<String>>,
    /// (row, column) of cells to stress, such as the best of a column.
    pub stressed: Vec<(usize, usize)>,
}

impl Table {
    /// The table as aligned text, numbers to the right.
    pub fn to_text(&self) -> String {
        let lines: Vec<&[String]> =
            std::iter::once(&self.header).chain(&self.rows).map(Vec::as_slice).collect();
        let width = |column: usize| {
            lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max()
        };
        let mut text = format!("{}\n", self.title);
        for line in &lines {
            for (column, cell) in line.iter().enumerate() {
                let width = width(column).unwrap_or(0);
                text += &match column {
                    0 => format!("  {cell:width$}"),
                    _ => format!("  {cell:>width$}"),
                };
            }
            text += "\n";
        }
        text
    }
}

impl Report {
    /// The page as HTML. All text is escaped.
    pub fn to_html(&self) -> String {
        html::page(self)
    }

    /// Writes the page, atomically.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        atomic::write(path, |out| Ok(out.write_all(self.to_html().as_bytes())?))
    }
}
