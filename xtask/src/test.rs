//! `test`: everything that must pass before a change lands, in the order that fails soonest.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use crate::kernels::{self, Outcome};
use crate::packages::{self, Member};
use crate::{Result, cli, emulate, spawn, tidy, workspace};

const FLAGS: &[&str] = &["--package", "--stage", "--emulate", "--help", "--"];
/// The stages in running order.
const STAGES: &[&str] = &["fmt", "clippy", "test", "doctest", "doc", "kernels", "emulate", "tidy"];

/// What `--help` says.
pub const OPTIONS: &str = "options
  --package NAME   only this package (clippy, test, doctest, doc, emulate); may be repeated
  --stage NAME     only this stage: fmt clippy test doctest doc kernels emulate tidy; may be repeated
  --emulate        the same as --stage emulate: the GPU tests on the PTX interpreter, no GPU needed
  -- ARGS          passed to the test runner (test, emulate), e.g. part of a test's name
";

/// What was asked for on the command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    packages: Vec<String>,
    stages: Vec<String>,
    runner_args: Vec<String>,
}

/// Runs the stages and stops at the first that fails.
pub fn run(args: &[String]) -> Result {
    let options = parse(args)?;
    let root = workspace::root();
    let members = packages::members(&root)?;
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    if let Some(name) = options.packages.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(cli::unknown("test: no package", name, &names).into());
    }
    let plan = Plan { options: &options, members: &members, nextest: has_nextest() };
    let start = Instant::now();
    let mut skipped = Vec::new();
    for &stage in STAGES {
        if !options.stages.is_empty() && !options.stages.iter().any(|name| name == stage) {
            continue;
        }
        println!("== {stage}");
        let stage_start = Instant::now();
        let passed = match plan.command(stage) {
            Step::Run(mut command) => {
                command.current_dir(&root);
                spawn::wait(&mut command)?.success()
            }
            Step::Tidy => tidy::check(&root)?,
            Step::Kernels => assemble(&root, &mut skipped)?,
            Step::Emulate => plan.emulate(&root)?,
            Step::Skip(why) => {
                println!("== {stage}: nothing to run, {why}");
                true
            }
        };
        let seconds = stage_start.elapsed().as_secs_f64();
        if !passed {
            println!("== {stage}: FAILED after {seconds:.1} s (hint: {})", hint(stage));
            return Ok(ExitCode::FAILURE);
        }
        println!("== {stage}: ok, {seconds:.1} s");
    }
    for reason in &skipped {
        println!("== NOT CHECKED {reason}");
    }
    println!("== all stages passed, {:.1} s", start.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

fn parse(args: &[String]) -> std::result::Result<Options, String> {
    let mut options = Options::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().cloned().ok_or(format!("test: `{arg}` needs a name"));
        match arg.as_str() {
            "--package" | "-p" => options.packages.push(value()?),
            "--emulate" => options.stages.push("emulate".into()),
            "--stage" => {
                let stage = value()?;
                if !STAGES.contains(&stage.as_str()) {
                    return Err(cli::unknown("test: no stage", &stage, STAGES));
                }
                options.stages.push(stage);
            }
            "--" => options.runner_args.extend(args.by_ref().cloned()),
            flag if flag.starts_with('-') => {
                return Err(cli::unknown("test: no option", flag, FLAGS));
            }
            word => {
                return Err(format!(
                    "test: unexpected `{word}` (hint: the test runner's own arguments stand \
                     after `--`, as in cargo xtask test -- {word})"
                ));
            }
        }
    }
    Ok(options)
}

/// What to do for a stage.
enum Step {
    Run(Command),
    Kernels,
    Emulate,
    Tidy,
    Skip(&'static str),
}

/// What decides the command lines.
struct Plan<'a> {
    options: &'a Options,
    members: &'a [Member],
    nextest: bool,
}

impl Plan<'_> {
    fn command(&self, stage: &str) -> Step {
        let mut cargo = workspace::cargo();
        match stage {
            "fmt" => {
                cargo.args(["fmt", "--all", "--check"]);
            }
            "clippy" => {
                cargo.arg("clippy").args(self.packages()).arg("--all-targets");
                cargo.args(["--", "-D", "warnings"]);
            }
            "test" if self.nextest => {
                cargo.args(["nextest", "run"]).args(self.packages());
                cargo.args(&self.options.runner_args);
            }
            "test" => {
                cargo.arg("test").args(self.packages());
                // Doc tests are a stage of their own, because nextest does not run them.
                if self.libraries().next().is_some() {
                    cargo.arg("--lib");
                }
                cargo.args(["--bins", "--tests"]).args(&self.options.runner_args);
            }
            "doctest" if self.options.packages.is_empty() => {
                cargo.args(["test", "--doc", "--workspace"]);
            }
            "doctest" => {
                if self.libraries().next().is_none() {
                    return Step::Skip("the package has no library");
                }
                cargo.args(["test", "--doc"]);
                cargo.args(self.libraries().flat_map(|name| ["--package", name]));
            }
            "doc" => {
                cargo.args(["doc", "--no-deps"]).args(self.packages());
                cargo.env("RUSTDOCFLAGS", "-D warnings");
            }
            "kernels" => return Step::Kernels,
            "emulate" => return Step::Emulate,
            _ => return Step::Tidy,
        }
        Step::Run(frugal(cargo))
    }

    /// Runs the tests of a device on the interpreter, round after round, and looks whether all kernels
    /// ran.
    fn emulate(&self, root: &Path) -> Result<bool> {
        let folder = emulate::library(root)?;
        let launches = emulate::Launches::start(&folder)?;
        for round in emulate::ROUNDS {
            println!("== emulate: {round}");
            let mut command = self.device_tests();
            emulate::point(&mut command, &folder, round);
            launches.note(&mut command);
            if !spawn::wait(command.current_dir(root))?.success() {
                return Ok(false);
            }
        }
        let part = !self.options.packages.is_empty() || !self.options.runner_args.is_empty();
        if part {
            // Some tests alone launch some kernels alone.
            return Ok(true);
        }
        let missing = launches.missing(root)?;
        for kernel in &missing {
            println!("emulate: {kernel}: no test launched it, in any round");
        }
        Ok(missing.is_empty())
    }

    fn device_tests(&self) -> Command {
        let mut cargo = workspace::cargo();
        if self.nextest {
            cargo.args(["nextest", "run"]).args(self.packages());
            cargo.args(["-E", &format!("binary(/^{}/)", emulate::PREFIX)]);
        } else {
            cargo.arg("test").args(self.packages());
            cargo.args(["--test", &format!("{}*", emulate::PREFIX)]);
        }
        cargo.args(&self.options.runner_args);
        frugal(cargo)
    }

    /// Packages with a library among those asked for. To name one without is an error to cargo
    /// where a library is asked for, unlike `--workspace`.
    fn libraries(&self) -> impl Iterator<Item = &str> {
        let asked = |name| self.options.packages.is_empty() || self.options.packages.contains(name);
        let libraries = self.members.iter().filter(|member| member.has_library);
        libraries.filter(move |member| asked(&member.name)).map(|member| member.name.as_str())
    }

    fn packages(&self) -> Vec<&str> {
        let named = self.options.packages.iter().flat_map(|name| ["--package", name.as_str()]);
        let named: Vec<&str> = named.collect();
        if named.is_empty() { vec!["--workspace"] } else { named }
    }
}

/// A machine that builds once gains nothing from incremental state but its size.
fn frugal(mut cargo: Command) -> Command {
    if env::var_os("CI").is_some() {
        cargo.env("CARGO_INCREMENTAL", "0");
    }
    cargo
}

/// Assembles the kernels. A machine that cannot get the assembler goes on, and says so at the end.
fn assemble(root: &Path, skipped: &mut Vec<String>) -> Result<bool> {
    Ok(match kernels::check(root, &kernels::Options::default())? {
        Outcome::Passed => true,
        Outcome::Failed => false,
        Outcome::NoAssembler(reason) => {
            skipped.push(format!("kernels: {reason}"));
            true
        }
    })
}

/// What most often helps when the stage fails.
fn hint(stage: &str) -> &'static str {
    match stage {
        "fmt" => "cargo fmt --all",
        "clippy" => "cargo clippy --workspace --all-targets shows the same warnings",
        "test" => "cargo xtask test --stage test -- NAME runs the tests whose name has NAME in it",
        "doctest" => "cargo test --doc --package NAME runs those of one package",
        "kernels" => "kernels/README.md says what is checked and how a budget is raised",
        "emulate" => "cargo xtask test --emulate -- NAME runs the device tests with NAME in them",
        "doc" => "broken links and missing docs are errors here",
        _ => "each line above names the file, the line and the rule",
    }
}

fn has_nextest() -> bool {
    let mut probe = workspace::cargo();
    probe.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    fn line(options: &Options, nextest: bool, stage: &str) -> String {
        let members = [
            Member { name: "lib".into(), has_library: true },
            Member { name: "bin".into(), has_library: false },
        ];
        match (Plan { options, members: &members, nextest }).command(stage) {
            Step::Run(command) => {
                let words: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
                words.join(" ")
            }
            Step::Kernels => "kernels".into(),
            Step::Emulate => {
                let command = (Plan { options, members: &members, nextest }).device_tests();
                let words: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
                words.join(" ")
            }
            Step::Tidy => "tidy".into(),
            Step::Skip(why) => why.into(),
        }
    }

    #[test]
    fn arguments_after_the_dashes_reach_the_runner_only() {
        let options = parse(&args("-- a_test --nocapture")).unwrap();
        assert_eq!(line(&options, true, "test"), "nextest run --workspace a_test --nocapture");
        assert_eq!(
            line(&options, false, "test"),
            "test --workspace --lib --bins --tests a_test --nocapture"
        );
        assert_eq!(
            line(&options, true, "clippy"),
            "clippy --workspace --all-targets -- -D warnings"
        );
        assert_eq!(line(&options, true, "doctest"), "test --doc --workspace");
        assert_eq!(line(&options, true, "tidy"), "tidy");
    }

    #[test]
    fn the_device_tests_are_those_that_say_so() {
        let options = parse(&args("--emulate -- sinkhorn")).unwrap();
        assert_eq!(options.stages, ["emulate"]);
        assert_eq!(
            line(&options, true, "emulate"),
            "nextest run --workspace -E binary(/^gpu/) sinkhorn"
        );
        assert_eq!(line(&options, false, "emulate"), "test --workspace --test gpu* sinkhorn");
    }

    #[test]
    fn a_named_package_limits_every_stage_that_builds() {
        let options = parse(&args("--package lib -p bin")).unwrap();
        assert_eq!(line(&options, true, "doc"), "doc --no-deps --package lib --package bin");
        assert_eq!(line(&options, true, "doctest"), "test --doc --package lib");
        let options = parse(&args("--package bin")).unwrap();
        assert_eq!(line(&options, true, "doctest"), "the package has no library");
        assert_eq!(line(&options, false, "test"), "test --package bin --bins --tests");
    }

    #[test]
    fn unknown_words_are_refused_with_a_hint() {
        let error = |text| parse(&args(text)).unwrap_err();
        assert_eq!(
            error("--pakage x"),
            "test: no option `--pakage` (hint: did you mean `--package`)"
        );
        assert_eq!(error("--stage dco"), "test: no stage `dco` (hint: did you mean `doc`)");
        assert_eq!(error("--stage"), "test: `--stage` needs a name");
        assert!(error("wer").contains("cargo xtask test -- wer"));
        assert!(error("--gpu").starts_with("test: no option `--gpu` (hint: one of "));
    }
}
