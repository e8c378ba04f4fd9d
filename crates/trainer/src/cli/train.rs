//! `train`: run a recipe.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{bail, ensure};

use super::{STOPPED, on_threads};
use crate::host::Host;
use crate::interrupt::Interrupt;
use crate::log::ProgressMode;
use crate::recipe::{Recipe, Resolved};
use crate::systems::{Ending, Experiment};

/// The demonstration on bundled data.
const DEFAULT_RECIPE: &str = "teach-whisper-nano";

/// What a dry run changes: two steps of everything, at a rate that needs no length.
const DRY_RUN: [&str; 5] = [
    "schedule.max_steps=2",
    "schedule.warmup_steps=0",
    "schedule.decay_steps=0",
    "schedule.kind=constant",
    "finetune.steps=2",
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
    std::fs::create_dir_all(&folder.path)
        .map_err(|e| anyhow::anyhow!("{}: cannot make it: {e}", folder.path.display()))?;
    // A resumed run keeps its recipe until the new one is known to fit.
    if !args.resume {
        folder.write_recipe(&resolved.text)?;
    }
    let threads = resolved.recipe.train.threads;
    let ending = on_threads(threads, || {
        Experiment {
            resolved: &resolved,
            dir: folder.path.clone(),
            resume: args.resume,
            allow_change: args.allow_change.clone(),
            overfit: args.overfit,
            progress,
            host: Host::new(&say, &interrupt),
        }
        .run()
    });
    let ending = match ending {
        Ok(ending) => ending,
        Err(error) => {
            folder.forget_unstarted(args.resume);
            return Err(error);
        }
    };
    if args.resume {
        folder.write_recipe(&resolved.text)?;
    }
    match ending {
        Ending::Done(tables) => {
            for table in &tables {
                println!("\n{}", table.to_text());
            }
            if args.dry_run {
                say("dry run: all of it loads and trains");
            } else {
                say(&format!("scores: {}", folder.path.join("summary.json").display()));
                say(&format!("report: {}", folder.path.join("report.html").display()));
            }
            Ok(ExitCode::SUCCESS)
        }
        Ending::Stopped => Ok(ExitCode::from(STOPPED)),
    }
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
        let holds_run = |path: &Path| path.join("recipe.toml").exists();
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

impl Folder {
    fn write_recipe(&self, text: &str) -> anyhow::Result<()> {
        let path = self.path.join("recipe.toml");
        crate::atomic::write(&path, |file| Ok(file.write_all(text.as_bytes())?))
    }

    /// Takes the recipe away again when a fresh run failed before its first step, so that the
    /// folder can be used once the cause is mended.
    fn forget_unstarted(&self, resumed: bool) {
        let started = ["", "student"].iter().any(|below| {
            let dir = self.path.join(below);
            dir.join("metrics.jsonl").exists() || dir.join("checkpoints").exists()
        });
        if !resumed && !started {
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
