//! Runs the assembler on every file for every architecture, several at a time.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::assembler::{Assembler, text_of};
use super::listing::Listing;

/// One file for one architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job<'a> {
    /// The file, from the root.
    pub path: &'a str,
    /// What to assemble for, such as `sm_80`.
    pub architecture: &'static str,
    /// Whether local memory is planned, so that its use is not an error by itself.
    pub may_use_local: bool,
    /// Whether f64 is planned. Its warning is what counts it, so warnings stay warnings then; the
    /// listing is judged by them all the same.
    pub may_use_doubles: bool,
}

impl Job<'_> {
    /// Arguments for the assembler, which runs in the root; `object` is the file that it writes.
    fn arguments(&self, object: &Path) -> Vec<String> {
        let mut arguments = vec![format!("-arch={}", self.architecture)];
        let warn_local = (!self.may_use_local).then_some("-warn-lmem-usage");
        let errors = (!self.may_use_doubles).then_some("-Werror");
        let flags = ["-v", "-warn-spills", "-warn-double-usage"].into_iter();
        arguments.extend(flags.chain(warn_local).chain(errors).map(str::to_owned));
        arguments.extend(["-o".into(), object.display().to_string(), self.path.to_owned()]);
        arguments
    }

    /// Name of the object file: the kernel's and the architecture's.
    fn object(&self) -> String {
        let name = self.path.rsplit('/').next().unwrap_or(self.path);
        format!("{}.{}.cubin", name.strip_suffix(".ptx").unwrap_or(name), self.architecture)
    }
}

/// What came of a job.
#[derive(Debug)]
pub struct Assembled {
    /// Whether the assembler was content.
    pub accepted: bool,
    /// What it printed, read.
    pub listing: Listing,
    /// What it printed.
    pub output: String,
}

/// Runs all jobs below `root`, objects going to the folder `objects`; results in order of the jobs.
pub fn run(
    assembler: &Assembler,
    root: &Path,
    objects: &Path,
    jobs: &[Job],
) -> Result<Vec<Assembled>, String> {
    // Each run is a process of some ten milliseconds: two at least hide each other's start.
    let threads = thread::available_parallelism().map_or(2, usize::from).max(2).min(jobs.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(at) else { return done };
            done.push((at, one(assembler, root, objects, job)));
        }
    };
    let mut results = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, Vec<_>>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().flat_map(join).collect::<Vec<_>>()
    });
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

fn one(assembler: &Assembler, root: &Path, objects: &Path, job: &Job) -> Result<Assembled, String> {
    let mut command = Command::new(&assembler.program);
    command.args(job.arguments(&objects.join(job.object()))).current_dir(root);
    let output = command.output();
    let output = output.map_err(|error| format!("{}: {error}", assembler.program.display()))?;
    let text = text_of(&output);
    let listing = Listing::parse(&text);
    Ok(Assembled { accepted: output.status.success(), listing, output: text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_errors_except_for_what_was_planned() {
        let job = Job {
            path: "kernels/op/a.ptx",
            architecture: "sm_90",
            may_use_local: false,
            may_use_doubles: false,
        };
        let object = Path::new("out").join(job.object());
        assert_eq!(
            job.arguments(&object).join(" "),
            "-arch=sm_90 -v -warn-spills -warn-double-usage -warn-lmem-usage -Werror \
             -o out/a.sm_90.cubin kernels/op/a.ptx"
        );
        let has = |job: Job, flag: &str| job.arguments(&object).iter().any(|word| word == flag);
        assert!(!has(Job { may_use_local: true, ..job }, "-warn-lmem-usage"));
        assert!(!has(Job { may_use_doubles: true, ..job }, "-Werror"));
    }
}
