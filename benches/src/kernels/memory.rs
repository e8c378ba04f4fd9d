//! How much memory a call takes beyond what was there before it, and what the process took so far.

/// Runs `work` and says by how many MB the process grew at most meanwhile, its results included.
///
/// `None` where the system has no such count, which is everywhere but on Linux.
pub fn peak_growth<T>(work: impl FnOnce() -> T) -> (T, Option<f64>) {
    release_freed();
    let before = forget_peak().and_then(|()| status_kb("VmRSS"));
    let result = work();
    let peak = before.and_then(|before| Some(status_kb("VmHWM")?.saturating_sub(before)));
    (result, peak.map(|kb| kb as f64 / 1024.0))
}

/// Gives back what earlier cases freed: the allocator would hand it out again uncounted.
fn release_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: glibc documents `malloc_trim` as safe to call from any thread at any time; it moves no
    // block that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Starts the kernel's high-water mark anew.
fn forget_peak() -> Option<()> {
    std::fs::write("/proc/self/clear_refs", "5").ok()
}

/// Seconds that all threads of this process computed so far; NaN where the system does not say.
pub fn cpu_seconds() -> f64 {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return f64::NAN };
    ticks_of(&stat).map_or(f64::NAN, |ticks| ticks as f64 / TICKS_PER_SECOND)
}

/// Linux tells every program of this number, whatever the kernel counts in.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time in `/proc/self/stat`: the 14th and 15th field. The second is a name that may
/// hold anything, in parentheses.
fn ticks_of(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// A line of `/proc/self/status`.
pub fn status_kb(field: &str) -> Option<u64> {
    kb_of(&std::fs::read_to_string("/proc/self/status").ok()?, field)
}

fn kb_of(status: &str, field: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_status_is_found_by_its_whole_name() {
        let status = "VmPeak:\t  900 kB\nVmHWM:\t  512 kB\nVmRSS:\t  8 kB\n";
        assert_eq!(kb_of(status, "VmHWM"), Some(512));
        assert_eq!(kb_of(status, "VmRS"), None);
        assert_eq!(kb_of("VmRSS: many kB", "VmRSS"), None);
    }

    #[test]
    fn time_is_found_behind_any_name() {
        let stat = "7 (a b) c) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(ticks_of(stat), Some(300));
        assert_eq!(ticks_of("7 (a) R"), None);
    }

    #[test]
    fn memory_that_was_touched_is_seen() {
        let (held, growth) = peak_growth(|| vec![1u8; 64 << 20]);
        assert_eq!(held.len(), 64 << 20);
        // Other tests of this process may allocate meanwhile, so there is no upper bound.
        assert!(growth.is_none_or(|mb| mb > 32.0), "{growth:?}");
    }
}
