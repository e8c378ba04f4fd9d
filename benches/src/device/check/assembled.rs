//! What the driver's assembler makes of every kernel: it is another release than the pinned one.

use std::fmt::Write;

use gpu_runtime::{ComputeCapability, Device, Module};

use super::findings::Findings;
use super::record::Record;

/// Folder, name and text of every hand-written kernel.
fn kernels() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let ours = align_kernels::registry::KERNELS.iter().map(|k| (k.operation, k.name, k.ptx));
    ours.chain(gpu_math::registry::KERNELS.iter().map(|k| (k.operation, k.name, k.ptx)))
}

/// Loads all of them: what the card cannot take by its generation is left out, what fails is a fault.
pub(super) fn run(device: &Device, record: &Record) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    let mut text = "operation,kernel,registers,local_bytes,static_shared,most_threads\n".to_owned();
    let (mut loaded, mut other) = (0, 0);
    for (operation, name, ptx) in kernels() {
        if !runs_on(ptx, device.facts().compute_capability) {
            other += 1;
            continue;
        }
        let kernel = Module::load_static(device, name, ptx).and_then(|module| module.kernel(name));
        match kernel {
            Ok(kernel) => {
                let has = kernel.attributes();
                loaded += 1;
                let _ = writeln!(
                    text,
                    "{operation},{name},{},{},{},{}",
                    has.registers, has.local_bytes, has.static_shared, has.max_threads
                );
                if has.local_bytes > 0 {
                    let bytes = has.local_bytes;
                    findings.lines.push(format!("{name}: {bytes} bytes of local memory a thread."));
                }
            }
            Err(error) => findings.faults.push(format!("kernels: {error}")),
        }
    }
    findings.lines.push(format!(
        "{loaded} kernels assembled by the driver, {other} are for other generations."
    ));
    record.write("kernels.csv", &text)?;
    Ok(findings)
}

/// Whether a card takes a file: those of `sm_90a` are for that generation alone.
fn runs_on(ptx: &str, card: ComputeCapability) -> bool {
    let target = ptx.lines().find_map(|line| line.trim().strip_prefix(".target"));
    let alone = target.is_some_and(|target| target.trim().starts_with("sm_90a"));
    !alone || (card.major, card.minor) == (9, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_generation_are_for_it_alone() {
        let card = |major, minor| ComputeCapability { major, minor };
        assert!(runs_on("// x\n.version 7.0\n.target sm_80\n", card(10, 0)));
        assert!(runs_on(".target sm_90a\n", card(9, 0)));
        assert!(
            !runs_on(".target sm_90a\n", card(8, 0)) && !runs_on(".target sm_90a\n", card(10, 0))
        );
    }

    #[test]
    fn no_kernel_is_listed_twice() {
        let mut names: Vec<_> = kernels().map(|kernel| kernel.1).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
