//! A matrix as SVG: a row an entry of one side, a column an entry of the other, dark where it is large.

use std::fmt::Write as _;

use super::escape::escape;

/// Height of a row and width of the labels before it.
const ROW: f64 = 18.0;
const LABELS: f64 = 130.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 46.0;
/// Width of all columns together.
const COLUMNS: f64 = 860.0;

/// A matrix to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct Heatmap {
    /// Heading.
    pub title: String,
    /// A label a row, top to bottom.
    pub rows: Vec<String>,
    /// Where columns begin and the last one ends, ascending, in the unit of `x_label`.
    pub edges: Vec<f64>,
    /// Name and unit of the horizontal axis.
    pub x_label: String,
    /// A value a row and column, 0 or more.
    pub values: Vec<Vec<f64>>,
}

impl Heatmap {
    /// The drawing as a file of its own, readable on light and dark grounds.
    pub fn to_svg(&self) -> String {
        let width = LABELS + COLUMNS + 20.0;
        let height = TOP + ROW * self.rows.len() as f64 + BOTTOM;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
             <text x=\"{LABELS}\" y=\"22\" font-size=\"14\">{}</text>\n",
            escape(&self.title)
        );
        let (start, end) = match (self.edges.first(), self.edges.last()) {
            (Some(&start), Some(&end)) if end > start => (start, end),
            _ => (0.0, 1.0),
        };
        let x = |value: f64| LABELS + COLUMNS * (value - start) / (end - start);
        let largest = self.values.iter().flatten().copied().fold(0.0, f64::max);
        for (k, (label, values)) in self.rows.iter().zip(&self.values).enumerate() {
            let y = TOP + ROW * k as f64;
            let _ = writeln!(
                out,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                LABELS - 8.0,
                y + 13.0,
                escape(label)
            );
            for (edges, &value) in self.edges.windows(2).zip(values) {
                // What would be white is not drawn.
                if value.is_nan() || value <= largest * 0.004 {
                    continue;
                }
                let _ = writeln!(
                    out,
                    "<rect x=\"{:.2}\" y=\"{y:.1}\" width=\"{:.2}\" height=\"{}\" fill=\"#1d4e89\" \
                     fill-opacity=\"{:.3}\"><title>{}, {:.2} to {:.2}: {value:.5}</title></rect>",
                    x(edges[0]),
                    (x(edges[1]) - x(edges[0])).max(0.5),
                    ROW - 1.0,
                    value / largest,
                    escape(label),
                    edges[0],
                    edges[1],
                );
            }
        }
        self.draw_axis(&mut out, (start, end), x);
        out.push_str("</svg>\n");
        out
    }

    fn draw_axis(&self, out: &mut String, ends: (f64, f64), x: impl Fn(f64) -> f64) {
        let y = TOP + ROW * self.rows.len() as f64;
        let axis = super::axis::Axis::linear(ends, 10).exact(ends);
        for (at, label) in &axis.ticks {
            let _ = writeln!(
                out,
                "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{TOP}\" y2=\"{1}\" stroke=\"#c8ccd2\" \
                 stroke-width=\"0.5\"/>\n<text x=\"{0:.1}\" y=\"{2}\" text-anchor=\"middle\">{3}</text>",
                x(*at),
                y + 4.0,
                y + 18.0,
                escape(label)
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            LABELS + COLUMNS / 2.0,
            y + 36.0,
            escape(&self.x_label)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_lie_at_their_times_and_labels_are_escaped() {
        let map = Heatmap {
            title: "a < b".into(),
            rows: vec!["<s>".into(), "x".into()],
            edges: vec![0.0, 1.0, 4.0],
            x_label: "seconds".into(),
            values: vec![vec![0.5, 0.0], vec![f64::NAN, 0.25]],
        };
        let svg = map.to_svg();
        assert!(svg.contains("a &lt; b") && svg.contains("&lt;s&gt;") && !svg.contains("<s>"));
        let cells: Vec<&str> = svg.lines().filter(|line| line.contains("fill-opacity")).collect();
        assert_eq!(cells.len(), 2, "nothing is drawn for 0 and NaN");
        assert!(cells[0].contains("x=\"130.00\"") && cells[0].contains("width=\"215.00\""));
        assert!(cells[1].contains("x=\"345.00\"") && cells[1].contains("fill-opacity=\"0.500\""));
        // No columns and no rows are drawn, too.
        let none = Heatmap { rows: vec![], edges: vec![], values: vec![], ..map };
        assert!(none.to_svg().ends_with("</svg>\n"));
    }
}
