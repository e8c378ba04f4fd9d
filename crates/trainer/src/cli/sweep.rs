//! `sweep`: a recipe under several objectives and seeds.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{STOPPED, on_threads};
use crate::host::Host;
use crate::interrupt::Interrupt;
use crate::log::ProgressMode;
use crate::recipe::Recipe;
use crate::systems::{Ending, Sweep};

/// Arguments of `sweep`.
#[derive(Debug, clap::Args)]
pub(super) struct SweepArgs {
    /// Recipe file, or the name of a shipped recipe, of the task speech-llm.
    recipe: String,
    /// Change one key of all runs: --set schedule.max_steps=200
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Folder of the sweep; default runs/NAME-sweep. What is finished there is not run again.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Runs of this objective alone; may be given more than once.
    #[arg(long, value_name = "OBJECTIVE")]
    only: Vec<String>,
    /// No progress.
    #[arg(long)]
    quiet: bool,
}

pub(super) fn run(args: &SweepArgs) -> anyhow::Result<ExitCode> {
    let resolved = Recipe::load(&args.recipe, &args.sets)?;
    let name = resolved.recipe.run_name(&resolved.path);
    let dir = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(name + "-sweep"));
    let progress = if args.quiet { ProgressMode::Quiet } else { ProgressMode::Auto };
    let interrupt = Interrupt::install()?;
    let say = |line: &str| {
        if progress != ProgressMode::Quiet {
            eprintln!("{line}");
        }
    };
    let ending = on_threads(resolved.recipe.train.threads, || {
        let host = Host::new(&say, &interrupt);
        Sweep { resolved: &resolved, dir: dir.clone(), only: args.only.clone(), progress, host }
            .run()
    })?;
    let Ending::Done(tables) = ending else { return Ok(ExitCode::from(STOPPED)) };
    for table in tables.iter().filter(|table| !table.rows.is_empty()) {
        writeln!(std::io::stdout(), "\n{}", table.to_text())?;
    }
    say(&format!("table: {}", dir.join("sweep.json").display()));
    say(&format!("report: {}", dir.join("report.html").display()));
    Ok(ExitCode::SUCCESS)
}
