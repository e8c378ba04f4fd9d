//! What this machine offers, line by line, and how to mend what is missing.

use std::fmt;
use std::path::Path;

use crate::args;
use crate::blas;
use crate::device::Device;
use crate::error::{GpuError, Result};
use crate::facts::DeviceFacts;
use crate::kind::ErrorKind;
use crate::launch::Launch;
use crate::memory::buffer::DeviceBuffer;
use crate::module::Module;
use crate::probe::probe_steps;
use crate::stream::Stream;

/// A kernel that squares: enough to know that the driver assembles and runs what we give it.
const SMOKE: &str = include_str!("doctor/square_u32.ptx");

/// How a line bears on the question whether the GPU can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Fine,
    /// Missing, and not needed.
    Note,
    /// Missing, and needed.
    Bad,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What was looked at.
    pub subject: String,
    /// Whether it is as it should be.
    pub health: Health,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// All findings, in the order in which a GPU program needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The findings.
    pub lines: Vec<Line>,
}

impl Report {
    /// Whether a GPU can be used.
    pub fn is_usable(&self) -> bool {
        !self.lines.is_empty() && self.lines.iter().all(|line| line.health != Health::Bad)
    }

    fn fine(&mut self, subject: impl Into<String>, found: impl Into<String>) {
        self.push(subject.into(), Health::Fine, found.into(), None);
    }

    fn bad(&mut self, subject: impl Into<String>, error: &GpuError) {
        let found = format!("{}: {}", error.place(), error.detail());
        let fix = error.hint_text().unwrap_or("see nvidia-smi and dmesg").to_owned();
        self.push(subject.into(), Health::Bad, found, Some(fix));
    }

    fn push(&mut self, subject: String, health: Health, found: String, fix: Option<String>) {
        self.lines.push(Line { subject, health, found, fix });
    }
}

/// Looks at driver, devices and libraries. Never panics, and changes nothing.
pub fn examine() -> Report {
    let mut report = Report::default();
    let mut steps = Vec::new();
    let outcome = probe_steps(&mut steps);
    for step in steps {
        report.fine(step.subject, step.found);
    }
    let probe = match outcome {
        Ok(probe) => probe,
        Err(error) => {
            report.bad(subject(error.kind()), &error);
            let (module, node) = (exists("/proc/driver/nvidia/version"), exists("/dev/nvidiactl"));
            if let Some(clue) = clue(error.kind(), module, node) {
                report.push("host".into(), Health::Note, clue.into(), None);
            }
            return report;
        }
    };
    let ptx = match probe.driver.newest_ptx() {
        Some(ptx) => format!("the driver reads up to {ptx}"),
        None => "the driver is newer than this program's table".into(),
    };
    report.fine("PTX", ptx);
    for listed in &probe.devices {
        let name = format!("cuda:{}", listed.ordinal);
        match Device::cuda(listed.ordinal) {
            Ok(device) => device_lines(&mut report, &name, &device),
            // A machine may hold an old card beside the one that is used.
            Err(error) if error.kind() == ErrorKind::DeviceTooOld => {
                report.push(name, Health::Note, error.detail().into(), None);
            }
            Err(error) => report.bad(name, &error),
        }
    }
    blas_line(&mut report);
    report
}

fn device_lines(report: &mut Report, name: &str, device: &Device) {
    report.fine(name, describe(device.facts()));
    match device.free_memory() {
        Ok((free, total)) => {
            let gib = |bytes: usize| bytes as f64 / f64::from(1 << 30);
            let text = format!("{:.1} of {:.1} GiB are free", gib(free), gib(total));
            report.fine(format!("{name} memory"), text);
        }
        Err(error) => report.bad(format!("{name} memory"), &error),
    }
    let subject = format!("{name} test kernel");
    match smoke(device) {
        Ok(()) => report.fine(subject, "assembled, ran, and gave the right numbers"),
        Err(error) => report.bad(subject, &error),
    }
}

/// One line on a device.
fn describe(facts: &DeviceFacts) -> String {
    let yes = |on, what| if on { what } else { "" };
    format!(
        "{}, sm_{}{}, {} SMs, {} KiB shared memory a block, {} MiB L2{}{}{}",
        facts.name,
        facts.compute_capability.major,
        facts.compute_capability.minor,
        facts.sm_count,
        facts.shared_per_block_optin >> 10,
        facts.l2_bytes >> 20,
        yes(facts.cooperative, ", cooperative grids"),
        yes(facts.clusters, ", clusters"),
        yes(facts.memory_pools, ", memory pools"),
    )
}

/// Squares 0..1000 on the device.
fn smoke(device: &Device) -> Result<()> {
    let stream = Stream::new(device)?;
    let kernel = Module::load_ptx(device, "square_u32.ptx", SMOKE)?.kernel("square_u32")?;
    let count = 1000u32;
    let input: Vec<u32> = (0..count).collect();
    let x = DeviceBuffer::from_slice(&stream, &input)?;
    let mut out = DeviceBuffer::<u32>::uninit(&stream, input.len())?;
    let launch = Launch::over(input.len(), 128);
    // SAFETY: the kernel reads `count` values of x and writes as many of out; both have them.
    unsafe { kernel.launch(&stream, &launch, args![&mut out, &x, count])? };
    let got = out.to_vec()?;
    match got.iter().zip(&input).all(|(got, k)| *got == k * k) {
        true => Ok(()),
        false => {
            let detail = "wrong squares from a simple kernel, expected k * k";
            Err(GpuError::new(ErrorKind::Fault, "square_u32", detail)
                .hint("the device or its driver is faulty; see dmesg and nvidia-smi -q"))
        }
    }
}

fn blas_line(report: &mut Report) {
    let subject = "cuBLASLt".to_owned();
    if !blas::is_present() {
        let found = "not found; nothing here needs it yet".to_owned();
        let fix = "pip install nvidia-cublas and add its lib folder to LD_LIBRARY_PATH".to_owned();
        return report.push(subject, Health::Note, found, Some(fix));
    }
    match blas::missing_symbols().first() {
        None => report.fine(subject, "found"),
        Some(name) => {
            let found = format!("found, and has no `{name}`; nothing here needs it yet");
            report.push(subject, Health::Note, found, Some("update it".into()));
        }
    }
}

/// What a kind of error is about.
fn subject(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::LibraryMissing | ErrorKind::SymbolMissing => "driver library",
        ErrorKind::NoDevice => "devices",
        ErrorKind::DeviceTooOld => "compute capability",
        ErrorKind::DriverTooOld => "driver version",
        _ => "driver",
    }
}

/// What the host tells about the cause: is the kernel module loaded, is there a device file?
fn clue(kind: ErrorKind, module: bool, node: bool) -> Option<&'static str> {
    match (kind, module, node) {
        (ErrorKind::LibraryMissing, true, _) => Some(
            "the kernel module is loaded, only libcuda is out of sight: in a container set \
             NVIDIA_DRIVER_CAPABILITIES=compute,utility, else add its folder to LD_LIBRARY_PATH",
        ),
        (ErrorKind::LibraryMissing, false, _) => {
            Some("no NVIDIA kernel module is loaded; this machine may have no such GPU")
        }
        (ErrorKind::NoDevice | ErrorKind::Init, false, _) => {
            Some("libcuda is installed, and no NVIDIA kernel module is loaded")
        }
        (ErrorKind::NoDevice | ErrorKind::Init, true, false) => {
            Some("the kernel module is loaded, and /dev/nvidiactl is not visible here")
        }
        _ => None,
    }
}

fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.health {
            Health::Fine => "ok  ",
            Health::Note => "note",
            Health::Bad => "BAD ",
        };
        write!(f, "{mark} {}: {}", self.subject, self.found)?;
        match &self.fix {
            Some(fix) => write!(f, "\n     fix: {fix}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        let verdict = if self.is_usable() { "can be used" } else { "cannot be used" };
        write!(f, "CUDA {verdict} here")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ptx_text::PtxText;

    #[test]
    fn a_report_ends_with_a_verdict() {
        let report = examine();
        assert!(!report.lines.is_empty());
        let verdict = if report.is_usable() { "can be" } else { "cannot be" };
        assert!(report.to_string().ends_with(&format!("CUDA {verdict} used here")));
        for line in report.lines.iter().filter(|line| line.health == Health::Bad) {
            assert!(line.fix.is_some(), "{line}");
        }
    }

    #[test]
    fn an_empty_or_broken_report_is_not_usable() {
        let mut report = Report::default();
        assert!(!report.is_usable());
        report.fine("driver", "starts");
        report.push("cuBLASLt".into(), Health::Note, "absent".into(), None);
        assert!(report.is_usable());
        let error = GpuError::new(ErrorKind::NoDevice, "cuda", "none").hint("buy one");
        report.bad("devices", &error);
        assert!(!report.is_usable());
        let text = report.to_string();
        assert!(text.contains("ok   driver: starts\nnote cuBLASLt: absent\n"), "{text}");
        assert!(text.contains("BAD  devices: cuda: none\n     fix: buy one\n"), "{text}");
    }

    #[test]
    fn clues_follow_from_what_the_host_shows() {
        let has = |kind, module, node, part: &str| {
            clue(kind, module, node).is_some_and(|text| text.contains(part))
        };
        assert!(has(ErrorKind::LibraryMissing, true, true, "out of sight"));
        assert!(has(ErrorKind::LibraryMissing, false, false, "no such GPU"));
        assert!(has(ErrorKind::NoDevice, false, false, "no NVIDIA kernel module"));
        assert!(has(ErrorKind::Init, true, false, "/dev/nvidiactl"));
        assert_eq!(clue(ErrorKind::DriverTooOld, true, true), None);
    }

    #[test]
    fn the_test_kernel_is_readable_by_every_driver_above_the_floor() {
        let text = PtxText::parse("square_u32.ptx", SMOKE).unwrap();
        text.check_version("square_u32.ptx", crate::versions::DRIVER_FLOOR).unwrap();
        text.check_target("square_u32.ptx", crate::versions::COMPUTE_FLOOR).unwrap();
        assert_eq!(text.entry("square_u32").unwrap().params.len(), 3);
        assert!(SMOKE.is_ascii());
    }
}
