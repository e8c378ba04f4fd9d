//! The page round the plots: style, facts, tables, recipe.

use std::fmt::Write as _;

use super::escape::escape;
use super::svg::{N_COLOURS, has_means, plot};
use super::{Curve, Report, Table};

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut out = String::new();
    let title = escape(&report.title);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{STYLE}{}</style>\n</head>\n<body>\n<main>\n<header>\n<h1>{title}</h1>\n",
        series_style()
    );
    if !report.subtitle.is_empty() {
        let _ = writeln!(out, "<p class=\"subtitle\">{}</p>", escape(&report.subtitle));
    }
    out.push_str("</header>\n");
    facts(&mut out, &report.facts);
    let tables: Vec<&Table> = report.tables.iter().filter(|table| !table.rows.is_empty()).collect();
    if !tables.is_empty() {
        out.push_str("<section>\n");
        for one in tables {
            table(&mut out, one);
        }
        out.push_str("</section>\n");
    }
    if !report.curves.is_empty() {
        out.push_str("<section class=\"plots\">\n");
        for curve in &report.curves {
            figure(&mut out, curve);
        }
        out.push_str("</section>\n");
    }
    if !report.notes.is_empty() {
        out.push_str("<section class=\"notes\">\n<h2>Notes</h2>\n");
        for note in &report.notes {
            let _ = writeln!(out, "<p>{}</p>", escape(note));
        }
        out.push_str("</section>\n");
    }
    if !report.config_toml.is_empty() {
        let _ = writeln!(
            out,
            "<section>\n<details>\n<summary>Recipe</summary>\n<pre>{}</pre>\n</details>\n</section>",
            escape(&report.config_toml)
        );
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn facts(out: &mut String, facts: &[(String, String)]) {
    if facts.is_empty() {
        return;
    }
    out.push_str("<dl class=\"facts\">\n");
    for (name, value) in facts {
        let _ = writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
    }
    out.push_str("</dl>\n");
}

fn figure(out: &mut String, curve: &Curve) {
    let _ = writeln!(out, "<figure>\n<figcaption>{}</figcaption>", escape(&curve.title));
    // One series is named by the title; a legend would only repeat it.
    if curve.series.len() > 1 {
        out.push_str("<ul class=\"legend\">");
        for (k, (name, _)) in curve.series.iter().enumerate() {
            let _ = write!(out, "<li class=\"c{}\">{}</li>", k % N_COLOURS + 1, escape(name));
        }
        out.push_str("</ul>\n");
    }
    if has_means(curve) {
        out.push_str("<p class=\"key\">pale: logged values; line: running mean</p>\n");
    }
    out.push_str(&plot(curve));
    out.push_str("</figure>\n");
}

fn table(out: &mut String, table: &Table) {
    let _ = writeln!(out, "<h2>{}</h2>", escape(&table.title));
    if !table.caption.is_empty() {
        let _ = writeln!(out, "<p class=\"caption\">{}</p>", escape(&table.caption));
    }
    // A column is aligned as numbers when every cell that says anything is one.
    let numeric: Vec<bool> = (0..table.header.len())
        .map(|column| {
            let mut cells =
                table.rows.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty());
            cells.all(|cell| is_number(cell))
        })
        .collect();
    let class = |column: usize| match numeric.get(column) {
        Some(true) => " class=\"number\"",
        _ => "",
    };
    out.push_str("<div class=\"scroll\">\n<table>\n<thead><tr>");
    for (column, name) in table.header.iter().enumerate() {
        let _ = write!(out, "<th scope=\"col\"{}>{}</th>", class(column), escape(name));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (i, row) in table.rows.iter().enumerate() {
        out.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let text = match table.stressed.contains(&(i, column)) {
                true => format!("<strong>{}</strong>", escape(cell)),
                false => escape(cell),
            };
            let _ = write!(out, "<td{}>{text}</td>", class(column));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

/// A number, with a sign, a spread or a percent sign allowed; a dash stands for none.
fn is_number(cell: &str) -> bool {
    let cell = cell.trim();
    let bare = cell.trim_end_matches(|c: char| c == '%' || c.is_whitespace());
    let number = |text: &str| text.trim().replace(['±', '−'], "-").parse::<f64>().is_ok();
    let spread = bare.split_once(" ± ");
    matches!(cell, "-" | "–")
        || spread.map_or_else(|| number(bare), |(mean, spread)| number(mean) && number(spread))
}

/// One class a colour: sets the colour that lines, dots and legend marks take.
fn series_style() -> String {
    (1..=N_COLOURS).map(|k| format!(".c{k} {{ color: var(--series-{k}); }}\n")).collect()
}

/// Colours are picked to differ in lightness as well as hue, for readers who cannot tell hues.
const STYLE: &str = "\
:root {
  --paper: #fbfaf8; --panel: #ffffff; --ink: #1c1f23; --quiet: #5f666e; --rule: #e2e0db;
  --series-1: #1f5fa6; --series-2: #c8551b; --series-3: #23835a;
  --series-4: #7d4aa0; --series-5: #9a7a12; --series-6: #59626d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --panel: #1c1f23; --ink: #e7e6e3; --quiet: #9aa2ab; --rule: #30353b;
    --series-1: #78aeea; --series-2: #f29a62; --series-3: #63c79b;
    --series-4: #c594e0; --series-5: #dcbf63; --series-6: #aab3bd;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 56px; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; letter-spacing: -0.015em; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 36px 0 4px; }
p { max-width: 68ch; }
.subtitle { margin: 6px 0 0; color: var(--quiet); }
.caption, .empty { margin: 0 0 10px; color: var(--quiet); font-size: 0.875rem; }
.facts {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 18px 24px;
  margin: 26px 0 0; padding: 18px 0; border: solid var(--rule); border-width: 1px 0;
}
.facts dt { color: var(--quiet); font-size: 0.8125rem; }
.facts dd {
  margin: 0; font-size: 1.1875rem; font-weight: 600; line-height: 1.3;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
.plots {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
  gap: 20px; margin-top: 36px;
}
figure {
  display: flex; flex-direction: column; margin: 0; padding: 16px 16px 10px;
  background: var(--panel); border: 1px solid var(--rule); border-radius: 8px;
}
figcaption { font-weight: 600; font-size: 0.9375rem; }
figure svg { display: block; width: 100%; height: auto; margin-top: auto; padding-top: 8px; overflow: visible; }
.legend {
  display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 2px 0 0; padding: 0;
  list-style: none; font-size: 0.8125rem;
}
.legend li::before {
  content: ''; display: inline-block; width: 16px; height: 0; margin-right: 6px;
  border-top: 2.5px solid currentColor; border-radius: 2px; vertical-align: 0.25em;
}
.key { margin: 0; color: var(--quiet); font-size: 0.75rem; }
svg text { font-size: 11px; fill: var(--quiet); font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .axis { stroke: var(--quiet); stroke-width: 1; fill: none; }
svg .line { fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linejoin: round; stroke-linecap: round; }
svg .pale { fill: none; stroke: currentColor; stroke-width: 1; stroke-opacity: 0.28; stroke-linejoin: round; }
svg .end { fill: currentColor; stroke: var(--panel); stroke-width: 1.5; }
svg .hover { fill: transparent; }
svg .hover:hover { fill: currentColor; fill-opacity: 0.35; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9375rem; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 22px 7px 0; text-align: left; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { color: var(--quiet); font-weight: 500; font-size: 0.8125rem; vertical-align: bottom; }
th:last-child, td:last-child { padding-right: 2px; }
.number { text-align: right; }
td strong { font-weight: 700; }
details { margin-top: 36px; }
summary { cursor: pointer; font-weight: 600; font-size: 1.05rem; }
pre {
  margin: 12px 0 0; padding: 16px; overflow-x: auto; background: var(--panel);
  border: 1px solid var(--rule); border-radius: 8px;
  font: 0.8125rem/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
}
@media (max-width: 480px) {
  main { padding: 20px 14px 40px; }
  h1 { font-size: 1.4rem; }
  .facts { grid-template-columns: repeat(2, 1fr); gap: 14px 16px; }
  figure { padding: 12px 10px 8px; }
  svg text { font-size: 13px; }
  th, td { padding-right: 16px; }
}
@media print {
  body { background: none; }
  figure, tr { break-inside: avoid; }
}
";
