//! The file of counters: a line of JSON for each launch.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ptx_emu::{Counters, LaunchConfig};

use super::function::Function;
use crate::settings::settings;

/// Appends a line, where the environment names a file.
pub(crate) fn append(
    function: &Function,
    config: &LaunchConfig,
    counters: &Counters,
    time: Duration,
) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let Ok(Some(path)) = settings().map(|settings| settings.counters.as_ref()) else { return };
    let text = line(function.program.module().name(), &function.name, config, counters, time);
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let file = OpenOptions::new().create(true).append(true).open(path);
    if let Err(fault) = file.and_then(|mut file| file.write_all(text.as_bytes())) {
        // A launch that ran must not fail because of its record.
        let _ = writeln!(std::io::stderr(), "ptx-emu: {}: {fault}", path.display());
    }
}

fn line(
    file: &str,
    kernel: &str,
    config: &LaunchConfig,
    counters: &Counters,
    time: Duration,
) -> String {
    let LaunchConfig { grid, block, dynamic_shared, .. } = config;
    let milliseconds = time.as_secs_f64() * 1e3;
    format!(
        "{{\"file\":{},\"kernel\":{},\"grid\":{grid:?},\"block\":{block:?},\
         \"dynamic_shared\":{dynamic_shared},\"milliseconds\":{milliseconds:.3},\
         \"counters\":{}}}\n",
        quoted(file),
        quoted(kernel),
        counters.to_json()
    )
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_is_one_line_of_json() {
        let config = LaunchConfig::new([2, 1, 1], [32, 1, 1]).with_shared(64);
        let time = Duration::from_micros(1500);
        let text = line("a.ptx", "f", &config, &Counters::default(), time);
        let start = "{\"file\":\"a.ptx\",\"kernel\":\"f\",\"grid\":[2, 1, 1],\"block\":[32, 1, 1],\
                     \"dynamic_shared\":64,\"milliseconds\":1.500,\"counters\":{\"warp_";
        assert!(text.starts_with(start), "{text}");
        assert!(text.ends_with("}}}\n") && text.lines().count() == 1, "{text}");
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(quoted("a\"b\\c\nd"), "\"a\\\"b\\\\c\\u000ad\"");
    }
}
