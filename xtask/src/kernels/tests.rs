//! The command from files to verdict, with an assembler that prints what a case wants.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// A folder of a test, gone when the test is over.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder; the name keeps tests of one process apart.
    pub fn new(name: &str) -> Self {
        let folder = format!("xtask-kernels-{name}-{}", std::process::id());
        let folder = Self(std::env::temp_dir().join(folder));
        let _ = fs::remove_dir_all(&folder.0);
        fs::create_dir_all(&folder.0).unwrap();
        folder
    }

    /// A path in it.
    pub fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }

    fn write(&self, below: &str, text: &str) {
        fs::create_dir_all(self.path(below).parent().unwrap()).unwrap();
        fs::write(self.path(below), text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes a program. A child writes it: were it open here, another thread that starts a program at
/// that moment would hand it on, and a file open for writing cannot be run.
pub fn script(path: &Path, text: &str) -> PathBuf {
    let mut sh = Command::new("sh");
    sh.args(["-c", "printf '%s' \"$2\" > \"$1\" && chmod +x \"$1\"", "sh"]).arg(path).arg(text);
    assert!(sh.status().unwrap().success());
    path.to_path_buf()
}

/// Prints the file `SOURCE.ARCH` beside the source, and fails when that tells of an error.
const PTXAS: &str = r#"#!/bin/sh
case "$1" in
    --version) echo "Cuda compilation tools, release 13.0, V13.0.88"; exit ;;
    -arch=*) arch="${1#-arch=}" ;;
esac
for last; do :; done
cat "$last.$arch" >&2
! grep -q 'error' "$last.$arch"
"#;

const PTX: &str = ".version 7.8\n.target sm_80\n.visible .entry a_v1()\n{ ret; }\n";
const ALL: [&str; 3] = ["sm_80", "sm_90", "sm_100"];
const BUDGET: &str = "[a_v1]\nregisters = 40\nshared = 128\nlocal = 0\nspills = 0\n";

fn listing(kernel: &str, registers: u32, shared: u32, stack: u32, spills: u32) -> String {
    format!(
        "ptxas info    : Compiling entry function '{kernel}' for 'sm_80'\n\
         ptxas info    : Function properties for {kernel}\n    {stack} bytes stack frame, {spills} \
         bytes spill stores, {spills} bytes spill loads\n\
         ptxas info    : Used {registers} registers, used 1 barriers, {shared} bytes smem\n"
    )
}

/// A workspace of one kernel that prints the same for all architectures.
fn workspace_with(name: &str, listing: &str, budget: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("kernels/op/a_v1.ptx", PTX);
    folder.write("kernels/op/README.md", "# op\n");
    for architecture in ALL {
        folder.write(&format!("kernels/op/a_v1.ptx.{architecture}"), listing);
    }
    folder.write(budget::FILE, budget);
    folder
}

/// The command on the folder, and the faults it finds.
fn faults(folder: &Folder) -> Vec<String> {
    let program = script(&folder.path("ptxas"), PTXAS);
    let assembler = assembler::given(&program).unwrap();
    let sources = Sources::read(&folder.0).unwrap();
    let (files, mut faults) = inspect::plan(&sources);
    let inspection = Inspection {
        root: &folder.0,
        objects: &folder.0,
        assembler: &assembler,
        budget: &read_budget(&folder.0).unwrap(),
        rewriting: false,
    };
    faults.extend(inspection.run(&files).unwrap().faults);
    let options = Options { ptxas: Some(program), ..Options::default() };
    let expected = if faults.is_empty() { Outcome::Passed } else { Outcome::Failed };
    assert_eq!(check(&folder.0, &options).unwrap(), expected);
    faults.iter().map(ToString::to_string).collect()
}

fn rewrite(folder: &Folder) -> Outcome {
    let ptxas = Some(script(&folder.path("ptxas"), PTXAS));
    check(&folder.0, &Options { ptxas, write_budget: true, list: false }).unwrap()
}

#[cfg(unix)]
#[test]
fn a_kernel_within_its_budget_passes() {
    let folder = workspace_with("within", &listing("a_v1", 40, 128, 0, 0), BUDGET);
    assert_eq!(faults(&folder), [""; 0]);
}

#[cfg(unix)]
#[test]
fn a_kernel_that_grows_fails_on_the_target_where_it_does() {
    let folder = workspace_with("grows", &listing("a_v1", 40, 128, 0, 0), BUDGET);
    folder.write("kernels/op/a_v1.ptx.sm_90", &listing("a_v1", 41, 256, 0, 0));
    let found = faults(&folder);
    assert_eq!(found.len(), 2, "{found:?}");
    let start = "kernels/op/a_v1.ptx: sm_90: a_v1: ";
    assert!(
        found[0].starts_with(&format!("{start}registers, expected at most 40, got 41 (hint: "))
    );
    assert!(found[1].starts_with(&format!("{start}shared, expected at most 128, got 256 bytes")));
    folder.write(budget::FILE, &format!("{BUDGET}[a_v1.sm_90]\nregisters = 41\nshared = 256\n"));
    assert_eq!(faults(&folder), [""; 0]);
}

#[cfg(unix)]
#[test]
fn a_kernel_that_spills_fails_whether_or_not_the_assembler_calls_it_an_error() {
    let warned = "ptxas error   : Registers are spilled to local memory in function 'a_v1', 8 bytes \
                  spill stores, 8 bytes spill loads\n";
    for (name, before) in [("spills", ""), ("spills-error", warned)] {
        let spilled = format!("{before}{}", listing("a_v1", 40, 128, 16, 8));
        let folder = workspace_with(name, &spilled, BUDGET);
        let found = faults(&folder);
        assert_eq!(found.len(), ALL.len(), "{found:?}");
        let start = "kernels/op/a_v1.ptx: sm_80: a_v1: spills, expected 0, got 16 bytes (hint: ";
        assert!(found[0].starts_with(start), "{found:?}");
        assert_eq!(rewrite(&folder), Outcome::Failed, "a budget cannot grant it");
        assert_eq!(fs::read_to_string(folder.path(budget::FILE)).unwrap(), BUDGET);
    }
}

#[cfg(unix)]
#[test]
fn local_memory_is_for_those_who_planned_it() {
    let folder = workspace_with("local", &listing("a_v1", 40, 128, 64, 0), BUDGET);
    assert!(faults(&folder)[0].contains("a_v1: local, expected 0, got 64 bytes (hint: "));
    assert_eq!(rewrite(&folder), Outcome::Failed);
    folder.write(budget::FILE, &BUDGET.replace("local = 0", "local = 128"));
    assert_eq!(rewrite(&folder), Outcome::Passed);
    let text = fs::read_to_string(folder.path(budget::FILE)).unwrap();
    assert_eq!(text, BUDGET.replace("local = 0", "local = 64"));
}

#[cfg(unix)]
#[test]
fn f64_is_for_those_who_planned_it() {
    let folder = workspace_with("doubles", "", BUDGET);
    let text = "double precision computations.";
    let told = |severity: &str| format!("ptxas a, line 4; {severity} : Program is doing {text}\n");
    let refused =
        format!("{}ptxas fatal   : Ptx assembly aborted due to errors\n", told("error  "));
    let counted = format!("{0}{0}{1}", told("warning"), listing("a_v1", 40, 128, 0, 0));
    let write = |listing: &str| {
        for architecture in ALL {
            folder.write(&format!("kernels/op/a_v1.ptx.{architecture}"), listing);
        }
    };
    write(&refused);
    let found = faults(&folder);
    assert_eq!(found.len(), ALL.len(), "{found:?}");
    let start = "kernels/op/a_v1.ptx: sm_80: a_v1: doubles, expected 0, got 1 lines (hint: ";
    assert!(found[0].starts_with(start), "{found:?}");
    assert_eq!(rewrite(&folder), Outcome::Failed);
    write(&counted);
    folder.write(budget::FILE, &format!("{BUDGET}doubles = 1\n"));
    assert!(faults(&folder)[2].contains("doubles, expected at most 1, got 2 lines"));
    assert_eq!(rewrite(&folder), Outcome::Passed);
    assert_eq!(faults(&folder), [""; 0]);
    let text = fs::read_to_string(folder.path(budget::FILE)).unwrap();
    assert_eq!(text, format!("{BUDGET}doubles = 2\n"));
}

#[cfg(unix)]
#[test]
fn kernels_and_budgets_belong_together() {
    let other = BUDGET.replace("a_v1", "b_v1");
    let folder = workspace_with("strangers", &listing("a_v1", 8, 0, 0, 0), &other);
    let found = faults(&folder);
    assert_eq!(found.len(), 2, "{found:?}");
    let missing = "kernels/op/a_v1.ptx: sm_80, sm_90, sm_100: a_v1: no budget, expected [a_v1] in \
                   kernels/budget.toml (hint: ";
    assert!(found[0].starts_with(missing), "{found:?}");
    assert!(found[1].starts_with("kernels/budget.toml:1: [b_v1] is no kernel"), "{found:?}");
    assert_eq!(rewrite(&folder), Outcome::Passed);
    assert_eq!(faults(&folder), [""; 0]);
    let text = fs::read_to_string(folder.path(budget::FILE)).unwrap();
    assert_eq!(text, "[a_v1]\nregisters = 8\nshared = 0\nlocal = 0\nspills = 0\n");
}

#[cfg(unix)]
#[test]
fn what_the_assembler_refuses_is_told_by_line() {
    let said = "ptxas kernels/op/a_v1.ptx, line 4; error   : Unknown symbol '%x'\n\
                ptxas fatal   : Ptx assembly aborted due to errors\n";
    let folder = workspace_with("refused", said, BUDGET);
    let found = faults(&folder);
    assert_eq!(found.len(), ALL.len(), "{found:?}");
    assert!(found[1].starts_with("kernels/op/a_v1.ptx:4: sm_90: Unknown symbol '%x' (hint: "));
}

#[cfg(unix)]
#[test]
fn an_assembler_that_is_not_understood_is_no_pass() {
    let folder = workspace_with("not-understood", "all is well\n", BUDGET);
    assert!(faults(&folder)[0].contains("a_v1: no resources in what the assembler printed"));
    let folder = workspace_with("odd-failure", "some error\n", BUDGET);
    assert!(faults(&folder)[0].contains("refused by the assembler\n    some error"));
}

#[cfg(unix)]
#[test]
fn files_that_cannot_be_planned_are_faults() {
    let folder = workspace_with("unfit", &listing("a_v1", 8, 128, 0, 0), BUDGET);
    folder.write("kernels/op/b.ptx", &PTX.replace("sm_80", "sm_75"));
    folder.write("kernels/op/c.ptx", ".version 7.8\n.target sm_80\n");
    folder.write("kernels/other/d.ptx", PTX);
    for architecture in ALL {
        let text = listing("a_v1", 8, 128, 0, 0);
        folder.write(&format!("kernels/other/d.ptx.{architecture}"), &text);
    }
    let found = faults(&folder).join("\n");
    for expected in [
        "kernels/op/b.ptx:2: .target, expected one of sm_80, sm_90a, got sm_75 (hint: ",
        "kernels/op/c.ptx: no entry function (hint: ",
        "kernels/other/d.ptx: entry a_v1 stands in kernels/op/a_v1.ptx already (hint: ",
    ] {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn without_kernels_there_is_nothing_to_fetch_and_nothing_wrong() {
    let folder = Folder::new("without-kernels");
    assert_eq!(check(&folder.0, &Options::default()).unwrap(), Outcome::Passed);
    folder.write("kernels/op/README.md", "# op\n");
    assert_eq!(check(&folder.0, &Options::default()).unwrap(), Outcome::Passed);
    assert_eq!(Sources::read(&folder.0).unwrap().empty, ["kernels/op"]);
    let options = Options { list: true, ..Options::default() };
    assert_eq!(check(&folder.0, &options).unwrap(), Outcome::Passed);
}

#[test]
fn a_list_gives_each_kernel_and_target_its_budget() {
    let text = ".version 8.0\n.target sm_90a\n.visible .entry w_v2()\n{ ret; }\n";
    let source = |path: &str, text: &str| source::Source { path: path.into(), text: text.into() };
    let files = vec![source("kernels/op/a_v1.ptx", PTX), source("kernels/op/w_v2.ptx", text)];
    let sources = Sources { files, empty: Vec::new() };
    let (files, faults) = inspect::plan(&sources);
    assert_eq!(faults, []);
    assert_eq!(
        listed(&files, &Budget::parse(BUDGET).unwrap()),
        "kernel  target  budget                    file\n\
         a_v1    sm_80   registers 40, shared 128  kernels/op/a_v1.ptx\n\
         a_v1    sm_90   registers 40, shared 128  kernels/op/a_v1.ptx\n\
         a_v1    sm_100  registers 40, shared 128  kernels/op/a_v1.ptx\n\
         w_v2    sm_90a  none                      kernels/op/w_v2.ptx\n"
    );
}

#[test]
fn words_that_are_not_understood_are_refused_with_a_hint() {
    let parse = |text: &str| parse(&text.split_whitespace().map(String::from).collect::<Vec<_>>());
    assert_eq!(parse("check").unwrap(), Options::default());
    let options = parse("check --ptxas some/ptxas --write-budget").unwrap();
    assert_eq!(options.ptxas, Some("some/ptxas".into()));
    assert!(options.write_budget);
    for (text, error) in [
        ("", "kernels: expected `check` (hint: cargo xtask kernels check)"),
        ("chek", "kernels: no verb `chek` (hint: did you mean `check`)"),
        ("check --ptxas", "kernels check: `--ptxas` needs a path"),
        ("check --lst", "kernels check: no option `--lst` (hint: did you mean `--list`)"),
    ] {
        assert_eq!(parse(text).unwrap_err(), error);
    }
    assert!(parse("check --list --write-budget").is_err());
}

#[test]
fn the_budget_of_the_workspace_reads_and_is_as_written() {
    let text = fs::read_to_string(workspace::root().join(budget::FILE)).unwrap();
    assert_eq!(Budget::parse(&text).unwrap().text(), text);
}
