//! How much memory the process has needed.

/// Most memory that this process has held until now, in MiB, mapped weights that were touched
/// included; `None` where the system keeps no such count, which is everywhere but on Linux.
pub(crate) fn peak_memory_mib() -> Option<f64> {
    peak_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn peak_of(status: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = value.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_high_water_mark() {
        assert_eq!(peak_of("VmPeak:\t  900 kB\nVmHWM:\t  512 kB\nVmRSS:\t 8 kB\n"), Some(0.5));
        assert_eq!(peak_of("VmRSS:\t 8 kB\n"), None);
    }
}
