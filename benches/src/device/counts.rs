//! What the interpreter counted: one JSON line a launch, summed by kernel.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// Sums over the launches of one kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    /// Launches.
    pub launches: f64,
    /// Warp instructions issued.
    pub warp_instructions: f64,
    /// Warp-wide loads, stores and atomics of global memory.
    pub requests: f64,
    /// Bytes of whole 32-byte sectors that loads, stores and atomics touched.
    pub bytes: f64,
    /// Bytes that lanes asked for in loads and stores: the ideal of `bytes`.
    pub useful_bytes: f64,
    /// Of these, bytes that lanes stored.
    pub stored_bytes: f64,
    /// f32, f64 and half operations outside tensor cores.
    pub flop: f64,
    /// Operations of tensor cores.
    pub mma_flop: f64,
    /// Those of them on operands of TF32.
    pub tf32_flop: f64,
    /// Results of special functions.
    pub special: f64,
    /// Wavefronts of shared memory.
    pub wavefronts: f64,
    /// Wavefronts beyond the fewest possible.
    pub conflicts: f64,
}

impl Counts {
    /// Sectors of 32 bytes that a warp's access touches: 4 where lanes share nothing and waste
    /// nothing of 4 bytes each, 16 of 16 bytes each.
    pub fn sectors_per_request(&self) -> f64 {
        self.bytes / 32.0 / self.requests.max(1.0)
    }

    /// Operations a byte.
    pub fn intensity(&self) -> f64 {
        (self.flop + self.mma_flop) / self.bytes.max(1.0)
    }

    /// The counts of as many times the work; launches stay.
    #[must_use]
    pub fn times(self, times: f64) -> Self {
        Self {
            launches: self.launches,
            warp_instructions: self.warp_instructions * times,
            requests: self.requests * times,
            bytes: self.bytes * times,
            useful_bytes: self.useful_bytes * times,
            stored_bytes: self.stored_bytes * times,
            flop: self.flop * times,
            mma_flop: self.mma_flop * times,
            tf32_flop: self.tf32_flop * times,
            special: self.special * times,
            wavefronts: self.wavefronts * times,
            conflicts: self.conflicts * times,
        }
    }

    fn add(&mut self, line: &Value) {
        let counters = &line["counters"];
        let of = |name: &str| counters[name].as_f64().unwrap_or(0.0);
        let lanes = |class: &str| counters["classes"][class][1].as_f64().unwrap_or(0.0);
        self.launches += 1.0;
        self.warp_instructions += of("warp_instructions");
        self.requests += of("global_loads") + of("global_stores") + of("global_atomics");
        self.bytes += 32.0 * (of("load_sectors") + of("store_sectors") + of("atomic_sectors"));
        self.useful_bytes += of("load_bytes") + of("store_bytes");
        self.stored_bytes += of("store_bytes");
        self.flop += lanes("float") + 2.0 * lanes("fma") + lanes("half") + lanes("double");
        self.mma_flop += of("mma_flop");
        // A kernel is named after what it multiplies.
        if line["kernel"].as_str().is_some_and(|name| name.ends_with("_tf32")) {
            self.tf32_flop += of("mma_flop");
        }
        self.special += lanes("special");
        self.wavefronts += of("shared_wavefronts");
        self.conflicts += of("bank_conflicts");
    }
}

/// Reads the file that `PTX_EMU_COUNTERS` named, from byte `from` on: counts by kernel, and its end.
///
/// # Errors
///
/// When the file cannot be read, or a line is not the interpreter's.
pub fn read(path: &Path, from: usize) -> anyhow::Result<(BTreeMap<String, Counts>, usize)> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("{}: no counters (hint: does the driver interpret?)", path.display())
    })?;
    let mut sums: BTreeMap<String, Counts> = BTreeMap::new();
    for line in text.get(from..).unwrap_or_default().lines() {
        let value: Value = serde_json::from_str(line)
            .with_context(|| format!("{}: not a line of counters: `{line}`", path.display()))?;
        let kernel = value["kernel"].as_str().context("a line of counters without a kernel")?;
        sums.entry(kernel.to_owned()).or_default().add(&value);
    }
    Ok((sums, text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_summed_by_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counters.jsonl");
        let line = r#"{"kernel":"k","counters":{"load_sectors":3,"load_bytes":96,"store_sectors":1,"store_bytes":8,"mma_flop":8,"classes":{"fma":[1,32]}}}"#;
        std::fs::write(&path, format!("{line}\n{line}\n")).unwrap();
        let (sums, end) = read(&path, 0).unwrap();
        assert_eq!(sums["k"].tf32_flop, 0.0);
        let counts = sums["k"];
        assert_eq!((counts.launches, counts.bytes, counts.useful_bytes), (2.0, 256.0, 208.0));
        assert_eq!(counts.stored_bytes, 16.0);
        assert_eq!((counts.flop, counts.mma_flop), (128.0, 16.0));
        assert!(read(&path, end).unwrap().0.is_empty());
        assert_eq!(read(&path, line.len() + 1).unwrap().0["k"].launches, 1.0);
        std::fs::write(&path, line.replace("\"k\"", "\"k_tf32\"")).unwrap();
        assert_eq!(read(&path, 0).unwrap().0["k_tf32"].tf32_flop, 8.0);
    }
}
