//! `train`: run a recipe.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};

use super::{STOPPED, on_threads};
use crate::host::Host;
use crate::interrupt::Interrupt;
use crate::log::ProgressMode;
use crate::memory::peak_memory_mib;
use crate::recipe::{Recipe, Resolved};
use crate::systems::{Ending, Experiment, MEMORY_TO_KEEP};

/// The demonstration on bundled data.
const DEFAULT_RECIPE: &str = "teach-whisper-nano";

/// What a dry run changes: two steps of everything, at a rate that needs no length.
const DRY_RUN: [&str; 7] = [
    "schedule.max_steps=2",
    "schedule.warmup_steps=0",
    "schedule.decay_steps=0",
    "schedule.kind=constant",
    "finetune.steps=2",
    "instruct.steps=2",
    "instruct.warmup_steps=0",
];

/// Arguments of `train`.
#[derive(Debug, clap::Args)]
pub(super) struct TrainArgs {
    /// Recipe file, or the name of a shipped recipe.
    #[arg(default_value = DEFAULT_RECIPE)]
    recipe: String,
    /// Change one key: --set optim.lr=1e-4
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Folder of the run; default runs/NAME.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue the run in its folder from its newest checkpoint.
    #[arg(long)]
    resume: bool,
    /// A recipe key that may differ from the checkpoint's; `data` stands for the manifests.
    #[arg(long, value_name = "KEY")]
    allow_change: Vec<String>,
    /// Train on the first N micro-batches alone, which must reach a loss near zero.
    #[arg(long, value_name = "N", default_value_t = 0)]
    overfit: u64,
    /// Where to compute: auto or cpu.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Print the resolved recipe with the origin of every value, and stop.
    #[arg(long)]
    print_config: bool,
    /// Load everything, run two steps in a folder that is then removed, and stop.
    #[arg(long)]
    dry_run: bool,
    /// No progress.
    #[arg(long)]
    quiet: bool,
}

pub(super) fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    let mut sets = args.sets.clone();
    if args.dry_run {
        sets.extend(DRY_RUN.map(str::to_owned));
    }
    let resolved = Recipe::load(&args.recipe, &sets)?;
    if args.print_config {
        print!("{}", resolved.render_with_origins());
        return Ok(ExitCode::SUCCESS);
    }
    check_device(&args.device)?;
    let folder = Folder::choose(args, &resolved)?;
    let progress = if args.quiet { ProgressMode::Quiet } else { ProgressMode::Auto };
    let interrupt = Interrupt::install()?;
    let say = |line: &str| {
        if progress != ProgressMode::Quiet {
            eprintln!("{line}");
        }
    };
    say(&format!("recipe {}, run folder {}", resolved.path.display(), folder.path.display()));
    let fresh = folder.start(args.resume, &resolved.text)?;
    let ending = on_threads(resolved.recipe.train.threads, || {
        Experiment {
            resolved: &resolved,
            dir: folder.path.clone(),
            resume: args.resume,
            allow_change: args.allow_change.clone(),
            overfit: args.overfit,
            dry_run: args.dry_run,
            progress,
            host: Host::new(&say, &interrupt),
        }
        .run()
    });
    let ending = match ending {
        Ok(ending) => ending,
        Err(error) => {
            if fresh {
                folder.forget_unstarted();
            }
            return Err(error);
        }
    };
    if !fresh {
        folder.write_recipe(&resolved.text)?;
    }
    let Ending::Done(tables) = ending else { return Ok(ExitCode::from(STOPPED)) };
    for table in tables.iter().filter(|table| !table.rows.is_empty()) {
        writeln!(std::io::stdout(), "\n{}", table.to_text())?;
    }
    if args.dry_run {
        say("dry run: all of it loads and trains");
        if let Some(peak) = memory_of_a_run(&folder.path) {
            say(&format!("memory of a whole run: about {peak:.0} MiB"));
        }
    } else {
        say(&format!("scores: {}", folder.path.join("summary.json").display()));
        say(&format!("report: {}", folder.path.join("report.html").display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Most memory that a whole run will need, in MiB, by what the dry run's heaviest batches needed and by
/// what it has not kept yet; `None` where either is not known.
fn memory_of_a_run(dir: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(dir.join("summary.json")).ok()?;
    let summary: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(peak_memory_mib()? + summary.get(MEMORY_TO_KEEP)?.as_f64()?)
}

/// Accepts what this build can compute on.
fn check_device(device: &str) -> anyhow::Result<()> {
    match device {
        "auto" | "cpu" => Ok(()),
        cuda if cuda.starts_with("cuda") => Ok(tensor_core::Device::Cuda(0).ensure_available()?),
        other => bail!("--device is `{other}`, expected auto or cpu"),
    }
}

/// The run folder; a dry run's is removed at the end.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    /// `--out`, else `runs/NAME`. Without `--resume` a folder that holds a run is never touched:
    /// the default gets a number behind its name, `--out` is refused.
    fn choose(args: &TrainArgs, resolved: &Resolved) -> anyhow::Result<Self> {
        if args.dry_run {
            let name = format!("consonance-dry-run-{}", std::process::id());
            return Ok(Self { path: std::env::temp_dir().join(name), temporary: true });
        }
        let output = &resolved.recipe.output.dir;
        let named = match (&args.out, output.is_empty()) {
            (Some(out), _) => Some(out.clone()),
            (None, false) => Some(PathBuf::from(output)),
            (None, true) => None,
        };
        if let Some(path) = named {
            ensure!(
                args.resume || !holds_run(&path),
                "{}: holds a run already (hint: --resume continues it)",
                path.display()
            );
            return Ok(Self { path, temporary: false });
        }
        let base = PathBuf::from("runs");
        let name = resolved.recipe.run_name(&resolved.path);
        let numbered = |k: u32| match k {
            1 => base.join(&name),
            _ => base.join(format!("{name}-{k}")),
        };
        let free = (1..).find(|&k| !holds_run(&numbered(k))).unwrap_or(1);
        let path = numbered(if args.resume { free.saturating_sub(1).max(1) } else { free });
        Ok(Self { path, temporary: false })
    }
}

/// Whether a run was begun in a folder.
fn holds_run(path: &Path) -> bool {
    path.join("recipe.toml").exists()
}

impl Folder {
    /// Makes the folder and marks it as a run's; whether it is a new run. One that is resumed keeps
    /// its recipe until the new one is known to fit.
    fn start(&self, resume: bool, text: &str) -> anyhow::Result<bool> {
        std::fs::create_dir_all(&self.path)
            .with_context(|| format!("{}: cannot make it", self.path.display()))?;
        let fresh = !resume || !holds_run(&self.path);
        if fresh {
            self.write_recipe(text)?;
        }
        Ok(fresh)
    }

    fn write_recipe(&self, text: &str) -> anyhow::Result<()> {
        let path = self.path.join("recipe.toml");
        crate::atomic::write(&path, |file| Ok(file.write_all(text.as_bytes())?))
    }

    /// Takes the recipe away again when a new run failed before its first step, so that the folder
    /// can be used once the cause is mended.
    fn forget_unstarted(&self) {
        let started = ["", "student", "pretrain"].iter().any(|below| {
            let dir = self.path.join(below);
            dir.join("metrics.jsonl").exists() || dir.join("checkpoints").exists()
        });
        if !started {
            // Best effort: the error that matters is the one being reported.
            let _ = std::fs::remove_file(self.path.join("recipe.toml"));
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            // Best effort: it lies in the system's temporary folder.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_that_never_began_marks_its_folder_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder { path: dir.path().join("run"), temporary: false };
        assert!(folder.start(true, "seed = 1").unwrap());
        assert!(holds_run(&folder.path), "a kill from here on leaves a folder that holds a run");

        assert!(!folder.start(true, "seed = 2").unwrap());
        let kept = std::fs::read_to_string(folder.path.join("recipe.toml")).unwrap();
        assert_eq!(kept, "seed = 1");

        folder.forget_unstarted();
        assert!(!holds_run(&folder.path));
        assert!(folder.start(false, "seed = 3").unwrap() && holds_run(&folder.path));
    }
}
