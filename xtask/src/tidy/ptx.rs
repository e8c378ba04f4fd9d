//! Rules for `kernels/`: what the header of a PTX file says, what stands beside it, who embeds it.

use std::collections::BTreeSet;

use super::Fault;
use super::tree::{Tree, parent};
use crate::kernels::source::{FOLDER, Facts};

/// Fields of a header, in order. A short list of `Check` commands and the like may follow.
const FIELDS: [&str; 9] = [
    "Twin:",
    "Source:",
    "Ladder:",
    "Shapes",
    "Limits",
    "Launch",
    "Math",
    "Tolerance",
    "Repeatable",
];
/// Longest PTX file, in lines.
const MAX_LINES: usize = 400;
/// Folders of the twins that explain each operation.
const REFERENCES: [&str; 2] =
    ["crates/align-kernels/src/reference", "crates/gpu-math/src/reference"];

/// Whether the file is a kernel: PTX elsewhere, such as samples of the interpreter, is not.
pub fn is_kernel(path: &str) -> bool {
    path.starts_with(&format!("{FOLDER}/")) && path.ends_with(".ptx")
}

/// Faults of one PTX file.
pub fn faults(path: &str, text: &str, tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let length = text.lines().count();
    if length > MAX_LINES {
        let what = format!("{length} lines, expected at most {MAX_LINES}");
        faults.push(Fault::new(path, MAX_LINES + 1, what, "one idea a kernel: split it"));
    }
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_ascii()) {
        let odd = line.chars().find(|c| !c.is_ascii()).unwrap_or_default();
        let what = format!("`{odd}`, expected ASCII");
        faults.push(Fault::new(path, at + 1, what, "the driver's assembler would refuse it"));
    }
    faults.extend(header_faults(path, text, tree));
    faults.extend(code_faults(path, text));
    faults
}

/// The comment that the file opens with: names it, then tells each field in order.
fn header_faults(path: &str, text: &str, tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let header: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//")).collect();
    if header.first().is_none_or(|line| line.trim() != stem(path)) {
        let what = format!("first line, expected `// {}`", stem(path));
        faults.push(Fault::new(path, 1, what, "it is the name of the file and of the entry"));
    }
    let mut from = 0;
    for field in FIELDS {
        let found = (0..header.len()).find(|&at| value(header[at], field).is_some());
        let Some(at) = found else {
            let what = format!("header lacks `{}`", field.trim_end_matches(':'));
            let hint = format!("a line `// {field:<10} ...` of the comment at the top");
            faults.push(Fault::new(path, header.len().max(1), what, hint));
            continue;
        };
        if at < from {
            let hint =
                format!("the order is {}", FIELDS.map(|f| f.trim_end_matches(':')).join(", "));
            let what = format!("`{}` is out of order", field.trim_end_matches(':'));
            faults.push(Fault::new(path, at + 1, what, hint));
        }
        from = from.max(at + 1);
        let told = value(header[at], field).unwrap_or_default();
        if told.is_empty() {
            let what = format!("`{}` says nothing", field.trim_end_matches(':'));
            faults.push(Fault::new(path, at + 1, what, "write `none` and why, if that is so"));
        }
        if field == "Twin:" && !told.is_empty() {
            faults.extend(twin_fault(path, at + 1, told, tree));
        }
    }
    faults
}

/// What a header line says of the field, when it is the line of that field.
fn value<'a>(line: &'a str, field: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(' ')?.strip_prefix(field)?;
    let ends_here = rest.is_empty() || rest.starts_with(' ');
    ends_here.then(|| rest.trim())
}

/// A twin is one path or several, from the root; words between them are for the reader.
fn twin_fault(path: &str, line: usize, told: &str, tree: &Tree) -> Option<Fault> {
    let words = told.split([' ', ',', ';']).map(|word| word.trim_end_matches('.'));
    let paths: Vec<&str> = words.filter(|word| word.contains('/')).collect();
    let hint = "the path, from the root, of the code that computes the same in plain f64";
    match paths.iter().find(|twin| !tree.has(twin)) {
        Some(twin) => Some(Fault::new(path, line, format!("twin {twin} does not exist"), hint)),
        None if paths.is_empty() => Some(Fault::new(path, line, "no path of a twin", hint)),
        None => None,
    }
}

/// The directives: an entry named after the file, and a version that old drivers take.
fn code_faults(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let facts = Facts::of(text);
    let stem = stem(path);
    if !facts.entries.iter().any(|(_, name)| name == stem) {
        let line = facts.entries.first().map_or(0, |(line, _)| *line);
        let names: Vec<&str> = facts.entries.iter().map(|(_, name)| name.as_str()).collect();
        let got = if names.is_empty() { "none".into() } else { names.join(", ") };
        let what = format!("entry, expected `{stem}`, got {got}");
        faults.push(Fault::new(path, line, what, "an entry has the name of its file"));
    }
    let Some(target) = facts.known_target() else {
        let line = facts.target.as_ref().map_or(0, |(line, _)| *line);
        let hint = "the known ones are TARGETS of xtask/src/kernels/source.rs";
        faults.push(Fault::new(path, line, "no .target, or one that is not known", hint));
        return faults;
    };
    let (major, minor) = target.newest_version;
    match facts.version {
        None => {
            let what = format!("no .version, expected at most {major}.{minor}");
            faults.push(Fault::new(path, 0, what, "the file opens with .version, then .target"));
        }
        Some((line, version)) if version > target.newest_version => {
            let what = format!(
                ".version, expected at most {major}.{minor} for {}, got {}.{}",
                target.name, version.0, version.1
            );
            let hint = "a newer version shuts out older drivers; name the oldest that will do";
            faults.push(Fault::new(path, line, what, hint));
        }
        Some(_) => {}
    }
    faults
}

/// The sources that embed kernels: every `registry.rs` below `crates/`.
#[derive(Debug, Default)]
pub struct Registries {
    /// Their lines of code, comments left out.
    code: String,
}

impl Registries {
    /// Takes the file, if it is a registry.
    pub fn take(&mut self, path: &str, text: &str) {
        if path.starts_with("crates/") && path.ends_with("/registry.rs") {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            code.for_each(|line| self.code.extend([line, "\n"]));
        }
    }

    /// Whether a string of theirs is the kernel's name, or a path to its file.
    fn name(&self, stem: &str) -> bool {
        self.code.contains(&format!("\"{stem}\""))
            || self.code.contains(&format!("/{stem}.ptx\""))
            || self.code.contains(&format!("\"{stem}.ptx\""))
    }
}

/// Faults of what stands beside the kernels, and of who embeds them.
pub fn folder_faults(tree: &Tree, registries: &Registries) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut ops = BTreeSet::new();
    for file in tree.files() {
        let path = file.path.as_str();
        match path.split('/').collect::<Vec<_>>().as_slice() {
            [FOLDER, op, _] => {
                ops.insert((*op).to_owned());
            }
            _ if is_kernel(path) => {
                let hint = format!("a kernel lies in {FOLDER}/OPERATION/, where it is looked for");
                faults.push(Fault::new(path, 0, "kernel outside the folder of an operation", hint));
            }
            _ => {}
        }
        if is_kernel(path) && !registries.name(stem(path)) {
            let what = "in no registry.rs of crates/, so nothing can launch it";
            let hint = format!("include_str! it there by the name {}", stem(path));
            faults.push(Fault::new(path, 0, what, hint));
        }
    }
    for op in ops {
        let folder = format!("{FOLDER}/{op}");
        if !tree.has(&format!("{folder}/README.md")) {
            let hint = "tell the formula, where the time goes, and a row for each rung";
            faults.push(Fault::new(&folder, 0, "no README.md", hint));
        }
        let has_kernel =
            tree.files().iter().any(|f| is_kernel(&f.path) && parent(&f.path) == folder);
        let has_twin = REFERENCES.iter().any(|folder| {
            let twin = format!("{folder}/{op}");
            tree.has(&twin) || tree.has(&format!("{twin}.rs"))
        });
        if has_kernel && !has_twin {
            let folders = REFERENCES.join(" or ");
            let what = format!("no {op}.rs and no folder of that name in {folders}");
            let hint = "the slow one that explains has the name of the fast one";
            faults.push(Fault::new(&folder, 0, what, hint));
        }
    }
    faults
}

/// The name of the file without its ending.
fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".ptx").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "kernels/op/a_v1.ptx";
    const GOOD: &str = "\
// a_v1
//
// What it computes, and Math in a sentence.
//
// Twin:      crates/align-kernels/src/reference/op.rs
// Source:    arXiv:1810.08278, equation 3
// Ladder:    v1 of 3: one warp per row
//
// Shapes     f (B,N) f32
//            Padding may hold anything
// Limits     N >= 1
// Launch     grid (N, 1, 1)
// Math       f32
// Tolerance  2x the plain loop
// Repeatable yes
// Check      ptxas -arch=sm_80 a_v1.ptx

.version 7.8
.target sm_80
.visible .entry a_v1() { ret; }
";

    fn tree(extra: &[&str]) -> Tree {
        let twin = "crates/align-kernels/src/reference/op.rs";
        let files = [PATH, "kernels/op/README.md", "kernels/README.md", twin];
        Tree::new(files.iter().chain(extra).map(|path| ((*path).to_owned(), 1)))
    }

    fn whats(text: &str) -> Vec<String> {
        let found = faults(PATH, text, &tree(&["crates/x.rs"]));
        found.iter().map(|fault| format!("{}: {}", fault.line, fault.what)).collect()
    }

    fn registries(text: &str) -> Registries {
        let mut registries = Registries::default();
        registries.take("crates/align-kernels/src/cuda/registry.rs", text);
        registries
    }

    fn beside(tree: &Tree, registry: &str) -> Vec<String> {
        let found = folder_faults(tree, &registries(registry));
        found.iter().map(|fault| format!("{}: {}", fault.path, fault.what)).collect()
    }

    #[test]
    fn a_whole_header_is_in_order() {
        assert_eq!(whats(GOOD), [""; 0]);
        let two = GOOD.replace("reference/op.rs", "reference/op.rs and crates/x.rs, its rows");
        assert_eq!(whats(&two), [""; 0]);
        assert_eq!(whats(&GOOD.replace("7.8", "7.0")), [""; 0]);
        let hopper = GOOD.replace("7.8", "8.0").replace("sm_80\n.v", "sm_90a\n.v");
        assert_eq!(whats(&hopper), [""; 0]);
    }

    #[test]
    fn every_field_is_needed_says_something_and_keeps_its_place() {
        for field in FIELDS {
            let name = field.trim_end_matches(':');
            let without: Vec<&str> =
                GOOD.lines().filter(|line| !line.starts_with(&format!("// {field}"))).collect();
            let found = whats(&without.join("\n"));
            assert_eq!(found, [format!("15: header lacks `{name}`")], "{field}");
            let silent: Vec<&str> = GOOD
                .lines()
                .map(|line| {
                    if line.starts_with(&format!("// {field}")) {
                        &line[..3 + field.len()]
                    } else {
                        line
                    }
                })
                .collect();
            assert!(whats(&silent.join("\n"))[0].ends_with(&format!("`{name}` says nothing")));
        }
        let swapped = GOOD
            .replace("// Limits     N >= 1\n", "")
            .replace("// Shapes ", "// Limits     N >= 1\n// Shapes ");
        assert_eq!(whats(&swapped), ["9: `Limits` is out of order"]);
        let late = GOOD.replace("// Math       f32\n", "") + "// Math       f32\n";
        assert_eq!(whats(&late), ["15: header lacks `Math`"], "only the header counts");
    }

    #[test]
    fn names_and_twins_lead_somewhere() {
        let other = GOOD.replace(".entry a_v1", ".entry a_v2");
        assert_eq!(whats(&other), ["20: entry, expected `a_v1`, got a_v2"]);
        let commented = GOOD.replace(".visible .entry a_v1", "// .entry a_v1");
        assert_eq!(whats(&commented), ["0: entry, expected `a_v1`, got none"]);
        assert_eq!(whats(&GOOD.replacen("a_v1", "a", 1)), ["1: first line, expected `// a_v1`"]);
        let twin = "crates/align-kernels/src/reference/op.rs";
        assert_eq!(whats(&GOOD.replace(twin, "no/op.rs")), ["5: twin no/op.rs does not exist"]);
        assert_eq!(whats(&GOOD.replace(twin, "later")), ["5: no path of a twin"]);
    }

    #[test]
    fn odd_bytes_long_files_and_new_versions_are_refused() {
        assert_eq!(
            whats(&GOOD.replace("N >= 1", "N \u{2265} 1")),
            ["11: `\u{2265}`, expected ASCII"]
        );
        let lines = GOOD.lines().count();
        assert_eq!(whats(&format!("{GOOD}{}", "\n".repeat(400 - lines))), [""; 0]);
        let long = format!("{GOOD}{}", "\n".repeat(401 - lines));
        assert_eq!(whats(&long), ["401: 401 lines, expected at most 400"]);
        assert_eq!(
            whats(&GOOD.replace("7.8", "8.0")),
            ["18: .version, expected at most 7.8 for sm_80, got 8.0"]
        );
        let none = GOOD.replace(".version 7.8", "");
        assert_eq!(whats(&none), ["0: no .version, expected at most 7.8"]);
        let unknown = GOOD.replace(".target sm_80", ".target sm_75");
        assert_eq!(whats(&unknown), ["19: no .target, or one that is not known"]);
    }

    #[test]
    fn a_kernel_is_embedded_by_a_registry() {
        for registry in [
            "variant!(\"op\", \"a_v1\", None),\n",
            "include_str!(\"../../../../kernels/op/a_v1.ptx\")\n",
        ] {
            assert_eq!(beside(&tree(&[]), registry), [""; 0], "{registry}");
        }
        let lone = ["kernels/op/a_v1.ptx: in no registry.rs of crates/, so nothing can launch it"];
        for registry in ["", "// \"a_v1\"\n", "variant!(\"op\", \"a_v10\", None),\n"] {
            assert_eq!(beside(&tree(&[]), registry), lone, "{registry}");
        }
        let mut elsewhere = Registries::default();
        elsewhere.take("crates/align-kernels/src/lib.rs", "\"a_v1\"");
        elsewhere.take("benches/registry.rs", "\"a_v1\"");
        assert_eq!(folder_faults(&tree(&[]), &elsewhere).len(), 1);
    }

    #[test]
    fn an_operation_has_a_page_and_a_reference() {
        let registry = "\"a_v1\" \"b\"";
        let new = tree(&["kernels/new/b.ptx"]);
        assert_eq!(
            beside(&new, registry),
            [
                "kernels/new: no README.md",
                "kernels/new: no new.rs and no folder of that name in \
                 crates/align-kernels/src/reference or crates/gpu-math/src/reference"
            ]
        );
        let page = "kernels/new/README.md";
        let folder = "crates/align-kernels/src/reference/new/a.rs";
        assert_eq!(beside(&tree(&["kernels/new/b.ptx", page, folder]), registry), [""; 0]);
        let other = "crates/gpu-math/src/reference/new.rs";
        assert_eq!(beside(&tree(&["kernels/new/b.ptx", page, other]), registry), [""; 0]);
        assert_eq!(beside(&tree(&[page]), registry), [""; 0], "a page may come before kernels");
        for misplaced in ["kernels/b.ptx", "kernels/op/deep/b.ptx"] {
            let found = beside(&tree(&[misplaced]), registry);
            let expected = format!("{misplaced}: kernel outside the folder of an operation");
            assert_eq!(found, [expected]);
        }
        assert_eq!(beside(&tree(&["crates/ptx-emu/tests/c.ptx"]), registry), [""; 0]);
    }
}
