//! The page for people: faults first, then a line a case, then what was left out.

use std::fmt::Write;

use super::findings::Findings;
use super::machine::Machine;
use super::options::Options;
use super::record::Row;
use crate::kernels::record::today;

/// Peers shown of each case: the fastest.
const PEERS: usize = 3;

/// The whole page, as far as the check has come.
pub(super) fn page(
    options: &Options,
    machine: &Machine,
    rows: &[Row],
    stages: &[(&str, Findings)],
) -> String {
    let mut text = format!("# gpu-check on {}, {}\n\n", machine.product, today());
    if options.emulate {
        text +=
            "**A rehearsal on the PTX interpreter: no number on this page is a measurement.**\n\n";
    }
    let _ = writeln!(text, "{}\n", machine.line());
    let faults: Vec<_> = stages.iter().flat_map(|(_, found)| &found.faults).collect();
    let _ = match faults.len() {
        0 => writeln!(text, "No faults in the stages {}.\n", names(stages)),
        count => writeln!(text, "{count} faults:\n"),
    };
    list(&mut text, faults.into_iter());
    times(&mut text, rows);
    for (name, findings) in stages.iter().filter(|(_, found)| !found.lines.is_empty()) {
        let _ = writeln!(text, "## {name}\n\n{}\n", findings.lines.join("\n"));
    }
    let left_out: Vec<_> = stages.iter().flat_map(|(_, found)| &found.left_out).collect();
    if !left_out.is_empty() {
        text += "## Left out\n\n";
        list(&mut text, left_out.into_iter());
    }
    text += "## Machine\n\n| fact | value |\n|---|---|\n";
    for (name, value) in &machine.facts {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    if let Some(card) = machine.card {
        let _ = writeln!(text, "\nFloors are of the rates of {}: {}.", card.name, card.source);
    }
    text
}

fn names(stages: &[(&str, Findings)]) -> String {
    stages.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn list<'a>(text: &mut String, items: impl Iterator<Item = &'a String>) {
    let before = text.len();
    items.for_each(|item| {
        let _ = writeln!(text, "- {item}");
    });
    if text.len() > before {
        text.push('\n');
    }
}

/// A line a case of ours, with its fastest peers.
fn times(text: &mut String, rows: &[Row]) {
    let is_case = |row: &&Row| row.who == "ours" && row.what == "call, warm L2";
    if !rows.iter().any(|row| is_case(&row)) {
        return;
    }
    *text += "## Times in microseconds\n\n\
              Medians of a call: `warm` back to back, `cold` after the second-level cache was overwritten; \
              `kernels` is the sum of the launches alone. `floor` is the least that the operation can take \
              on this card.\n\n\
              | case | warm | cold | kernels | floor | of floor | expected of the design | peers, fastest first |\n\
              |---|---|---|---|---|---|---|---|\n";
    for row in rows.iter().filter(is_case) {
        let same = |other: &&Row| {
            (&other.op, &other.shape, &other.variant) == (&row.op, &row.shape, &row.variant)
        };
        let ours = |what: &str| {
            let found = rows.iter().filter(same).find(|r| r.who == "ours" && r.what == what);
            found.map_or(String::new(), |row| format!("{:.1}", row.us[1]))
        };
        let mut peers: Vec<&Row> = rows
            .iter()
            .filter(|r| r.who != "ours" && (&r.op, &r.shape) == (&row.op, &row.shape))
            .filter(|r| r.variant.contains("gradients") == row.variant.contains("gradients"))
            .collect();
        peers.sort_by(|a, b| a.us[1].total_cmp(&b.us[1]));
        let peers: Vec<String> = peers
            .iter()
            .take(PEERS)
            .map(|peer| format!("{} {:.0} ({:.1}x)", peer.who, peer.us[1], peer.us[1] / row.us[1]))
            .collect();
        let floor = row.floor_us.map_or(String::new(), |floor| format!("{floor:.1}"));
        let share = row
            .floor_us
            .map_or(String::new(), |floor| format!("{:.0} %", 100.0 * floor / row.us[1]));
        let _ = writeln!(
            text,
            "| {} {}, {}, {} | {:.1} | {} | {} | {floor} | {share} | {} | {} |",
            row.op,
            row.shape,
            row.extents,
            row.variant,
            row.us[1],
            ours("call, cold L2"),
            ours("all kernels"),
            row.expected,
            peers.join("; ")
        );
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(who: &str, what: &str, us: f64) -> Row {
        Row {
            op: "sinkhorn".into(),
            shape: "S2".into(),
            variant: "bf16".into(),
            who: who.into(),
            what: what.into(),
            us: [us; 3],
            floor_us: Some(1.0),
            ..Row::default()
        }
    }

    #[test]
    fn faults_come_first_and_peers_stand_beside_ours() {
        let machine = Machine {
            product: "NVIDIA H200".into(),
            card: None,
            driver: "580".into(),
            commit: "abc".into(),
            facts: vec![("power.limit".into(), "700 W".into())],
        };
        let rows = [
            row("ours", "call, warm L2", 2.0),
            row("ours", "call, cold L2", 3.0),
            row("ours", "all kernels", 1.5),
            row("torch log", "call, warm L2", 20.0),
        ];
        let findings = Findings { faults: vec!["t: failed".into()], ..Findings::default() };
        let options = Options::parse(std::iter::empty()).unwrap();
        let text = page(&options, &machine, &rows, &[("tests", findings)]);
        assert!(text.find("- t: failed").unwrap() < text.find("## Times").unwrap());
        assert!(
            text.contains("| 2.0 | 3.0 | 1.5 | 1.0 | 50 % |  | torch log 20 (10.0x) |"),
            "{text}"
        );
        assert!(text.contains("| power.limit | 700 W |") && !text.contains("rehearsal"));
        let rehearsal = Options::parse(["--emulate".to_owned()].into_iter()).unwrap();
        assert!(page(&rehearsal, &machine, &[], &[]).contains("no number on this page"));
    }
}
