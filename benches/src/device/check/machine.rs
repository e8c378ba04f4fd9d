//! What the card, the driver and the commit are.

use std::process::{Command, Stdio};

use gpu_runtime::Device;

use super::bundle::Bundle;
use crate::device::cards::Card;

/// What `nvidia-smi` is asked, in its own words.
const FACTS: &str = "name,driver_version,vbios_version,memory.total,power.limit,clocks.max.sm,\
    clocks.max.mem,clocks.applications.graphics,persistence_mode,ecc.mode.current,mig.mode.current";
/// What changes while work runs.
const STATE: &str =
    "clocks.sm,clocks.mem,power.draw,temperature.gpu,clocks_throttle_reasons.active";

/// The machine that a record is of.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// Product name, as the driver says it.
    pub(super) product: String,
    /// Rates of the card, where we know it.
    pub(super) card: Option<&'static Card>,
    /// The driver: its CUDA version, and its own where `nvidia-smi` tells it.
    pub(super) driver: String,
    /// What the programs were built from.
    pub(super) commit: String,
    /// Names and values, for the page.
    pub(super) facts: Vec<(String, String)>,
}

impl Machine {
    /// Asks the driver, and `nvidia-smi` where there is one.
    pub(super) fn look(device: &Device, bundle: &Bundle) -> Self {
        let about = device.facts();
        let commit = bundle.fact("commit").unwrap_or_else(|| "unknown".into());
        let mut facts = vec![
            ("compute capability".to_owned(), about.compute_capability.to_string()),
            ("multiprocessors".to_owned(), about.sm_count.to_string()),
            ("SM clock at most, MHz".to_owned(), (about.clock_khz / 1000).to_string()),
            ("memory, bytes".to_owned(), about.memory_bytes.to_string()),
            ("second-level cache, bytes".to_owned(), about.l2_bytes.to_string()),
        ];
        facts.extend(
            ["commit", "made", "rustc"]
                .into_iter()
                .filter_map(|key| bundle.fact(key).map(|value| (format!("bundle: {key}"), value))),
        );
        facts.extend(host());
        let mut driver = format!("CUDA {}", about.driver);
        match ask(FACTS) {
            Some(answers) => {
                if let Some((_, version)) =
                    answers.iter().find(|(name, _)| name == "driver_version")
                {
                    driver = format!("{version}, {driver}");
                }
                facts.extend(answers);
            }
            None => facts.push(("nvidia-smi".into(), "not there, or it failed".into())),
        }
        let card = Card::of_product(&about.name);
        Self { product: about.name.clone(), card, driver, commit, facts }
    }

    /// The name of the card's folder: `nvidia-h200`.
    pub(super) fn folder(&self) -> String {
        let letters = self.product.to_ascii_lowercase();
        let dashed: String =
            letters.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        dashed.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
    }

    /// For people.
    pub(super) fn line(&self) -> String {
        format!("{}, driver {}, commit {}", self.product, self.driver, self.commit)
    }
}

/// Clocks, power and temperature of this moment, as `name value` pairs in a line.
pub(super) fn state() -> Option<String> {
    let answers = ask(STATE)?;
    let pairs: Vec<String> =
        answers.iter().map(|(name, value)| format!("{name} {value}")).collect();
    Some(pairs.join(", "))
}

/// The answers of `nvidia-smi` for the first card; the names that it refuses are left out.
fn ask(names: &str) -> Option<Vec<(String, String)>> {
    let query = |names: &str| {
        let mut command = Command::new("nvidia-smi");
        command.arg(format!("--query-gpu={names}")).args(["--format=csv,noheader", "--id=0"]);
        let output = command.stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let pair = |name: &str, value: &str| (name.trim().to_owned(), value.trim().to_owned());
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    if let Some(line) = query(&names.join(",")) {
        return Some(names.iter().zip(line.split(',')).map(|(n, v)| pair(n, v)).collect());
    }
    // One unknown name makes it refuse all of them.
    let each: Vec<_> = names.iter().filter_map(|n| query(n).map(|v| pair(n, &v))).collect();
    (!each.is_empty()).then_some(each)
}

/// Processor, memory and system, where the files of Linux say them.
fn host() -> Vec<(String, String)> {
    let line = |file: &str, key: &str| {
        let text = std::fs::read_to_string(file).ok()?;
        let found = text.lines().find(|line| line.starts_with(key))?;
        Some(found.split_once(':').map_or(found, |(_, value)| value).trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    [
        ("host: processor", line("/proc/cpuinfo", "model name")),
        ("host: cores", Some(cores.to_string())),
        ("host: memory", line("/proc/meminfo", "MemTotal")),
        ("host: kernel", line("/proc/sys/kernel/osrelease", "")),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_the_product_in_small_letters() {
        let machine = |product: &str| Machine {
            product: product.into(),
            card: None,
            driver: "13.0".into(),
            commit: "abc".into(),
            facts: Vec::new(),
        };
        assert_eq!(machine("NVIDIA H200").folder(), "nvidia-h200");
        assert_eq!(machine("Emulated NVIDIA A100 (PTX)").folder(), "emulated-nvidia-a100-ptx");
        assert_eq!(machine("NVIDIA H200").line(), "NVIDIA H200, driver 13.0, commit abc");
    }
}
