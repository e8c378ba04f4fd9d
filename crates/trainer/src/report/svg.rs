//! A plot as inline SVG: two axes, one line a series, values on hover.
//!
//! Drawn in a small coordinate system (460 x 250) and scaled to its column, so that the labels
//! are still readable on a phone. Colours come from the page's style (`--series-1` ...), so the
//! plot follows the light or dark scheme.

use std::fmt::Write as _;

use super::Curve;
use super::axis::{Axis, short};
use super::escape::escape;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 36.0;

/// Colours that the page defines; later series use them again.
pub(super) const N_COLOURS: usize = 6;
/// Points of a line at most; a longer series keeps the extremes of each stretch.
const MAX_POINTS: usize = 600;
/// A stretch of more points is drawn pale, under a line of the means of short runs.
const MAX_PLAIN_POINTS: usize = 250;
/// Runs that the means of a long stretch are taken over.
const N_MEANS: usize = 80;
/// Points of a series that answer to the pointer at most.
const MAX_HOVER: usize = 120;

/// The plot, or a line of text when no series has a point to show.
pub(super) fn plot(curve: &Curve) -> String {
    let shown: Vec<Shown<'_>> = curve
        .series
        .iter()
        .enumerate()
        .map(|(k, (name, points))| Shown {
            colour: k % N_COLOURS + 1,
            name,
            parts: stretches(points, curve.log_y),
        })
        .collect();
    let all = || shown.iter().flat_map(|series| series.parts.iter().flatten().copied());
    let Some((x_range, y_range)) = range(all().map(|p| p.0)).zip(range(all().map(|p| p.1))) else {
        return "<p class=\"empty\">no values to plot</p>\n".into();
    };
    let x_axis = Axis::linear(x_range, 6).exact(x_range);
    let y_axis = if curve.log_y { Axis::log(y_range) } else { Axis::linear(y_range, 5) };
    let frame = Frame { x_axis, y_axis };

    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
        escape(&curve.title)
    );
    frame.draw_axes(&mut out, curve);
    for Shown { colour, parts, .. } in &shown {
        for part in parts.iter().filter(|part| is_long(part)) {
            frame.draw_line(&mut out, &format!("pale c{colour}"), &thin(part));
        }
    }
    for Shown { colour, parts, .. } in &shown {
        for part in parts {
            let line = if is_long(part) { means(part, curve.log_y) } else { part.clone() };
            frame.draw_line(&mut out, &format!("line c{colour}"), &line);
        }
    }
    for series in &shown {
        frame.draw_points(&mut out, curve, series);
    }
    out.push_str("</svg>\n");
    out
}

/// A series as it is drawn.
struct Shown<'a> {
    colour: usize,
    name: &'a str,
    /// Runs of points between gaps.
    parts: Vec<Vec<(f64, f64)>>,
}

/// Runs of points that can be drawn, split where values are missing.
fn stretches(points: &[(f64, f64)], log_y: bool) -> Vec<Vec<(f64, f64)>> {
    let drawable = |&(x, y): &(f64, f64)| x.is_finite() && y.is_finite() && (!log_y || y > 0.0);
    points
        .split(|point| !drawable(point))
        .filter(|run| !run.is_empty())
        .map(<[_]>::to_vec)
        .collect()
}

/// At most about [`MAX_POINTS`] points, with the lowest and highest of each stretch kept, so that
/// spikes stay visible.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MAX_POINTS {
        return points.to_vec();
    }
    let n_chunks = MAX_POINTS / 2 - 1;
    let mut kept = vec![0];
    for k in 0..n_chunks {
        let chunk = points.len() * k / n_chunks..points.len() * (k + 1) / n_chunks;
        let by_y = |a: &usize, b: &usize| points[*a].1.total_cmp(&points[*b].1);
        kept.extend(chunk.clone().min_by(by_y));
        kept.extend(chunk.max_by(by_y));
    }
    kept.push(points.len() - 1);
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|i| points[i]).collect()
}

/// Whether a curve has stretches that are drawn pale under their means.
pub(super) fn has_means(curve: &Curve) -> bool {
    curve.series.iter().any(|(_, points)| stretches(points, curve.log_y).iter().any(|s| is_long(s)))
}

fn is_long(points: &[(f64, f64)]) -> bool {
    points.len() > MAX_PLAIN_POINTS
}

/// Means of [`N_MEANS`] runs of equal count, between the first and the last point's x; geometric
/// means on a log axis, so that the line runs through the middle of what is seen.
fn means(points: &[(f64, f64)], log_y: bool) -> Vec<(f64, f64)> {
    let run = |k: usize| {
        let run = &points[points.len() * k / N_MEANS..points.len() * (k + 1) / N_MEANS];
        let mean = |value: &dyn Fn(&(f64, f64)) -> f64| {
            run.iter().map(value).sum::<f64>() / run.len() as f64
        };
        let y = if log_y { mean(&|p| p.1.ln()).exp() } else { mean(&|p| p.1) };
        (mean(&|p| p.0), y)
    };
    let mut line: Vec<(f64, f64)> = (0..N_MEANS).map(run).collect();
    line[0].0 = points[0].0;
    line[N_MEANS - 1].0 = points[points.len() - 1].0;
    line
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((low, high)) => Some((low.min(v), high.max(v))),
    })
}

/// Two axes over the plotting area.
struct Frame {
    x_axis: Axis,
    y_axis: Axis,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        LEFT + self.x_axis.at(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y_axis.at(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn draw_axes(&self, out: &mut String, curve: &Curve) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, label) in &self.y_axis.ticks {
            let y = self.y(*value);
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                LEFT - 7.0,
                y + 3.5
            );
        }
        for (value, label) in &self.x_axis.ticks {
            let x = self.x(*value);
            let _ = writeln!(
                out,
                "<path class=\"axis\" d=\"M{x:.1} {bottom}v4\"/>\
                 <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                bottom + 16.0
            );
        }
        let _ = writeln!(
            out,
            "<path class=\"axis\" d=\"M{LEFT} {bottom}H{right}\"/>\
             <text class=\"label\" x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <text class=\"label\" x=\"0\" y=\"11\">{}</text>",
            HEIGHT - 4.0,
            escape(&curve.x_label),
            escape(&match curve.log_y {
                true => format!("{}, log scale", curve.y_label),
                false => curve.y_label.clone(),
            })
        );
    }

    fn draw_line(&self, out: &mut String, class: &str, points: &[(f64, f64)]) {
        let _ = write!(out, "<path class=\"{class}\" d=\"");
        for (k, &(x, y)) in points.iter().enumerate() {
            let command = if k == 0 { 'M' } else { 'L' };
            let _ = write!(out, "{command}{:.1} {:.1}", self.x(x), self.y(y));
        }
        out.push_str("\"/>\n");
    }

    /// Invisible targets that show a value on hover, and a dot at the last value.
    fn draw_points(&self, out: &mut String, curve: &Curve, series: &Shown<'_>) {
        let Shown { colour, name, parts } = series;
        let points: Vec<(f64, f64)> = parts.iter().flatten().copied().collect();
        let dot_y = match parts.last() {
            Some(part) if is_long(part) => means(part, curve.log_y)[N_MEANS - 1].1,
            _ => points.last().map_or(0.0, |point| point.1),
        };
        let every = points.len().div_ceil(MAX_HOVER).max(1);
        for (k, &(x, y)) in points.iter().enumerate() {
            let is_last = k + 1 == points.len();
            if k % every != 0 && !is_last {
                continue;
            }
            let class = if is_last { format!("end c{colour}") } else { format!("hover c{colour}") };
            let _ = writeln!(
                out,
                "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{}\">\
                 <title>{} {}: {}</title></circle>",
                self.x(x),
                self.y(if is_last { dot_y } else { y }),
                if is_last { 3.5 } else { 6.0 },
                escape(name),
                escape(&format!("at {} {}", curve.x_label, short(x))),
                short(y),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_run_from_end_to_end_through_a_noisy_level() {
        let points: Vec<(f64, f64)> =
            (0..1601).map(|i| (f64::from(i), if i % 2 == 0 { 1.0 } else { 100.0 })).collect();
        let line = means(&points, false);
        assert_eq!((line[0].0, line[N_MEANS - 1].0, line.len()), (0.0, 1600.0, N_MEANS));
        assert!(line.iter().all(|&(_, y)| (y - 50.5).abs() < 3.0));
        assert!(means(&points, true).iter().all(|&(_, y)| (y - 10.0).abs() < 1.5));
    }

    #[test]
    fn thinning_keeps_the_ends_and_every_spike() {
        let mut points: Vec<(f64, f64)> = (0..50_000).map(|i| (f64::from(i), 1.0)).collect();
        points[31_234].1 = 9.0;
        points[31_300].1 = -9.0;
        let kept = thin(&points);
        assert!(kept.len() <= MAX_POINTS);
        assert_eq!((kept[0].0, kept[kept.len() - 1].0), (0.0, 49_999.0));
        assert!(kept.contains(&(31_234.0, 9.0)) && kept.contains(&(31_300.0, -9.0)));
        assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
    }
}
