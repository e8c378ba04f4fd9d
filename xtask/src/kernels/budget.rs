//! `kernels/budget.toml`: what each kernel may use, read, held against, and written back.
//!
//! The file explains its own form at its top. The reader takes that much TOML and no more, and
//! refuses everything else with the line.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::listing::Usage;
use crate::cli;

/// Path of the file, from the root.
pub const FILE: &str = "kernels/budget.toml";

/// The keys of a table, in the order of [`Limits`].
pub const KEYS: [&str; 5] = ["registers", "shared", "local", "spills", "doubles"];
/// How many of [`KEYS`] are written though they are 0.
const ALWAYS: usize = 4;
/// Place of `local` in [`KEYS`].
pub const LOCAL: usize = 2;
/// Place of `spills` in [`KEYS`].
pub const SPILLS: usize = 3;
/// Place of `doubles` in [`KEYS`].
pub const DOUBLES: usize = 4;

/// A number for each of [`KEYS`].
pub type Limits = [u32; KEYS.len()];

/// The limits that would just hold what was measured.
pub fn measured(usage: &Usage) -> Limits {
    let spills = usage.spill_stores + usage.spill_loads;
    [usage.registers, usage.shared, usage.local, spills, usage.doubles]
}

/// The whole file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Comments above the first table.
    head: String,
    kernels: BTreeMap<String, Entry>,
}

/// The tables of one kernel.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    all: Option<Table>,
    /// Tables of single targets, which say only what differs.
    targets: BTreeMap<String, Table>,
}

/// One table.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    line: usize,
    /// Comment lines right above its header.
    comment: String,
    values: [Option<u32>; KEYS.len()],
}

impl Budget {
    /// Reads the text; an error names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut budget = Self::default();
        // Comments since the last blank line or table.
        let mut comment = String::new();
        let mut open: Option<(String, Option<String>)> = None;
        for (at, line) in text.lines().enumerate() {
            let fault = |what: String| format!("{FILE}:{}: {what}", at + 1);
            if line.trim_start().starts_with('#') {
                comment.push_str(line.trim());
                comment.push('\n');
                continue;
            }
            let code = line.split('#').next().unwrap_or_default().trim();
            if let Some(header) = code.strip_prefix('[') {
                let (kernel, target) = name_of(header).map_err(fault)?;
                let table = Table { line: at + 1, comment: comment.clone(), ..Table::default() };
                comment.clear();
                let entry = budget.kernels.entry(kernel.clone()).or_default();
                let earlier = match &target {
                    None => entry.all.replace(table),
                    Some(target) => entry.targets.insert(target.clone(), table),
                };
                if let Some(earlier) = earlier {
                    let hint = "keep one of the two";
                    return Err(fault(format!(
                        "table stands at line {} already (hint: {hint})",
                        earlier.line
                    )));
                }
                open = Some((kernel, target));
                continue;
            }
            if open.is_none() {
                // The head: comments and blank lines, of which the last comment may turn out to
                // belong to the first table.
                budget.head.push_str(&std::mem::take(&mut comment));
                if !code.is_empty() {
                    return Err(fault(format!("`{code}` stands above the first [kernel]")));
                }
                budget.head.push('\n');
                continue;
            }
            comment.clear();
            if code.is_empty() {
                continue;
            }
            let table = open.as_ref().and_then(|(kernel, target)| budget.table(kernel, target));
            if let Some(table) = table {
                table.set(code).map_err(fault)?;
            }
        }
        if open.is_none() {
            budget.head.push_str(&comment);
        }
        budget.complete()?;
        Ok(budget)
    }

    fn table(&mut self, kernel: &str, target: &Option<String>) -> Option<&mut Table> {
        let entry = self.kernels.get_mut(kernel)?;
        match target {
            None => entry.all.as_mut(),
            Some(target) => entry.targets.get_mut(target),
        }
    }

    /// Every kernel has a table of its own.
    fn complete(&self) -> Result<(), String> {
        let mut alone = self.kernels.iter().filter(|(_, entry)| entry.all.is_none());
        let Some((kernel, entry)) = alone.next() else { return Ok(()) };
        let line = entry.targets.values().map(|table| table.line).min().unwrap_or(0);
        Err(format!(
            "{FILE}:{line}: a table of one target, expected [{kernel}] too (hint: it says what holds \
             for the others)"
        ))
    }

    /// What the kernel may use on the target; `None` when it has no entry.
    pub fn limits(&self, kernel: &str, target: &str) -> Option<Limits> {
        let entry = self.kernels.get(kernel)?;
        let all = entry.all.as_ref()?;
        let own = entry.targets.get(target);
        Some(std::array::from_fn(|key| {
            own.and_then(|table| table.values[key]).or(all.values[key]).unwrap_or(0)
        }))
    }

    /// Lines and names of the tables for which `is_known(kernel, target)` is false.
    pub fn strangers(&self, is_known: impl Fn(&str, Option<&str>) -> bool) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (kernel, entry) in &self.kernels {
            if !is_known(kernel, None) {
                let line = entry.all.as_ref().map_or(0, |table| table.line);
                found.push((line, kernel.clone()));
                continue;
            }
            for (target, table) in &entry.targets {
                if !is_known(kernel, Some(target)) {
                    found.push((table.line, format!("{kernel}.{target}")));
                }
            }
        }
        found.sort();
        found
    }

    /// The same head and comments with limits that just hold what was measured: `(kernel, target,
    /// limits)`, the targets of a kernel in order. The first target speaks for all that are like it.
    pub fn rewritten(&self, measured: &[(&str, &str, Limits)]) -> Self {
        let mut budget = Self { head: self.head.clone(), kernels: BTreeMap::new() };
        for &(kernel, target, limits) in measured {
            let old = self.kernels.get(kernel);
            let entry = budget.kernels.entry(kernel.to_owned()).or_default();
            let Some(all) = &entry.all else {
                let comment = old.and_then(|old| old.all.as_ref()).map(|table| &table.comment);
                let is_written = |key: usize| key < ALWAYS || limits[key] > 0;
                let values = std::array::from_fn(|key| is_written(key).then_some(limits[key]));
                entry.all = Some(Table::new(comment, values));
                continue;
            };
            let differing =
                |key: usize| (all.values[key].unwrap_or(0) != limits[key]).then_some(limits[key]);
            let values: [Option<u32>; KEYS.len()] = std::array::from_fn(differing);
            if values.iter().any(Option::is_some) {
                let comment = old.and_then(|old| old.targets.get(target)).map(|t| &t.comment);
                entry.targets.insert(target.to_owned(), Table::new(comment, values));
            }
        }
        budget
    }

    /// The file as it is written.
    pub fn text(&self) -> String {
        let mut text = self.head.trim_end().to_owned();
        let mut table = |name: &str, table: &Table| {
            let gap = if text.is_empty() { "" } else { "\n\n" };
            let _ = write!(text, "{gap}{}[{name}]", table.comment);
            for (key, value) in KEYS.iter().zip(table.values) {
                if let Some(value) = value {
                    let _ = write!(text, "\n{key} = {value}");
                }
            }
        };
        for (kernel, entry) in &self.kernels {
            if let Some(all) = &entry.all {
                table(kernel, all);
            }
            for (target, own) in &entry.targets {
                table(&format!("{kernel}.{target}"), own);
            }
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }
}

impl Table {
    fn new(comment: Option<&String>, values: [Option<u32>; KEYS.len()]) -> Self {
        Self { line: 0, comment: comment.cloned().unwrap_or_default(), values }
    }

    /// Takes `key = number`.
    fn set(&mut self, code: &str) -> Result<(), String> {
        let Some((key, value)) = code.split_once('=').map(|(k, v)| (k.trim(), v.trim())) else {
            return Err(format!("expected `key = number`, got `{code}`"));
        };
        let Some(at) = KEYS.iter().position(|known| *known == key) else {
            return Err(cli::unknown("no key", key, &KEYS));
        };
        let number = value.parse().map_err(|_| {
            format!("{key}, expected a whole number, got `{value}` (hint: bytes have no unit here)")
        })?;
        if at == SPILLS && number != 0 {
            return Err(format!(
                "spills, expected 0, got {number} (hint: a spill is an error whatever its size; \
                 keep fewer values alive, or allow more registers)"
            ));
        }
        if self.values[at].replace(number).is_some() {
            return Err(format!("{key} is given twice (hint: keep one of the two)"));
        }
        Ok(())
    }
}

/// Kernel and target of the header `kernel]` or `kernel.target]`.
fn name_of(header: &str) -> Result<(String, Option<String>), String> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let name = header.strip_suffix(']').unwrap_or_default().trim();
    let (kernel, target) = match name.split_once('.') {
        Some((kernel, target)) => (kernel, Some(target)),
        None => (name, None),
    };
    if !is_name(kernel) || target.is_some_and(|target| !is_name(target)) {
        return Err(format!("expected `[kernel]` or `[kernel.target]`, got `[{header}`"));
    }
    Ok((kernel.to_owned(), target.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
# What this is.
# registers = 3

# Why so many.
[a_v1]
registers = 40   # of a thread
shared = 1024
local = 0
spills = 0

[a_v1.sm_90]
registers = 44

[b_v1]
registers = 20
shared = 0
local = 64
spills = 0
doubles = 7
";

    #[test]
    fn a_target_overrides_what_it_names_and_nothing_else() {
        let budget = Budget::parse(GOOD).unwrap();
        assert_eq!(budget.limits("a_v1", "sm_80"), Some([40, 1024, 0, 0, 0]));
        assert_eq!(budget.limits("a_v1", "sm_90"), Some([44, 1024, 0, 0, 0]));
        assert_eq!(budget.limits("b_v1", "sm_90"), Some([20, 0, 64, 0, 7]));
        let short = Budget::parse("[d_v1]\ndoubles = 1\n").unwrap();
        assert_eq!(short.limits("d_v1", "sm_90"), Some([0, 0, 0, 0, 1]), "left out is none");
        assert_eq!(budget.limits("c_v1", "sm_80"), None);
    }

    #[test]
    fn broken_lines_are_refused_where_they_stand() {
        for (text, error) in [
            ("registers = 1\n", "1: `registers = 1` stands above the first [kernel]"),
            ("[a\n", "1: expected `[kernel]` or `[kernel.target]`, got `[a`"),
            ("[a.b.c]\n", "1: expected `[kernel]` or `[kernel.target]`, got `[a.b.c]`"),
            ("[]\n", "1: expected `[kernel]`"),
            ("[a]\nregister = 1\n", "2: no key `register` (hint: did you mean `registers`)"),
            ("[a]\nregisters: 1\n", "2: expected `key = number`, got `registers: 1`"),
            ("[a]\nregisters = 1_0\n", "2: registers, expected a whole number, got `1_0`"),
            ("[a]\nshared = -1\n", "2: shared, expected a whole number, got `-1`"),
            ("[a]\nspills = 8\n", "2: spills, expected 0, got 8"),
            ("[a]\nlocal = 1\nlocal = 1\n", "3: local is given twice"),
            ("\n[a.sm_90]\nregisters = 1\n", "2: a table of one target, expected [a] too"),
            ("[a]\nregisters = 1\n[a]\n", "3: table stands at line 1 already"),
        ] {
            let got = Budget::parse(text).unwrap_err();
            assert!(got.starts_with(&format!("{FILE}:{error}")), "{text}: {got}");
        }
    }

    #[test]
    fn what_is_read_is_written_back() {
        let budget = Budget::parse(GOOD).unwrap();
        assert_eq!(budget.text(), GOOD.replace("   # of a thread", ""));
        assert_eq!(Budget::parse("").unwrap().text(), "");
        assert_eq!(Budget::parse("# only a head\n").unwrap().text(), "# only a head\n");
    }

    #[test]
    fn rewriting_keeps_comments_and_drops_what_is_gone() {
        let measured = [
            ("a_v1", "sm_80", [38, 1024, 0, 0, 0]),
            ("a_v1", "sm_90", [38, 1024, 0, 0, 0]),
            ("a_v1", "sm_100", [39, 1024, 0, 0, 2]),
            ("c_v1", "sm_90a", [168, 4096, 0, 0, 3]),
        ];
        let text = Budget::parse(GOOD).unwrap().rewritten(&measured).text();
        assert_eq!(
            text,
            "# What this is.\n# registers = 3\n\n# Why so many.\n[a_v1]\nregisters = 38\n\
             shared = 1024\nlocal = 0\nspills = 0\n\n[a_v1.sm_100]\nregisters = 39\ndoubles = 2\n\n[c_v1]\n\
             registers = 168\nshared = 4096\nlocal = 0\nspills = 0\ndoubles = 3\n"
        );
        let again = Budget::parse(&text).unwrap();
        for (kernel, target, limits) in measured {
            assert_eq!(again.limits(kernel, target), Some(limits), "{kernel} {target}");
        }
    }

    #[test]
    fn tables_of_nobody_are_told_by_line() {
        let budget = Budget::parse(GOOD).unwrap();
        let only_b = |kernel: &str, _: Option<&str>| kernel == "b_v1";
        assert_eq!(budget.strangers(only_b), [(5, "a_v1".to_owned())]);
        let no_sm_90 = |_: &str, target: Option<&str>| target != Some("sm_90");
        assert_eq!(budget.strangers(no_sm_90), [(11, "a_v1.sm_90".to_owned())]);
    }
}
