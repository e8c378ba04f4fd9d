//! Rules for Rust sources: length, reasons, ignored tests, unsafe code, CUDA, printing.

use super::Fault;
use super::layers::CUDA_PACKAGE;
use super::rust_source::{self, Line};

/// Longest Rust file, in lines.
const MAX_LINES: usize = 800;
/// Length from which a Rust file deserves a second look, in lines.
const LONG_LINES: usize = 500;

/// Crates without any `unsafe`.
const SAFE_CRATES: [&str; 2] = ["crates/audio-frontend/", "crates/speech-metrics/"];
/// Parts of libraries that talk to the user all the same: the command line, and the second Ctrl-C.
const TALKERS: [&str; 2] = ["crates/trainer/src/cli/", "crates/trainer/src/interrupt.rs"];
/// What a library must not say outside its tests; longer names first, as they hold shorter ones.
const LOUD: [&str; 5] = ["eprintln!", "println!", "eprint!", "print!", "process::exit"];

/// Every fault of one Rust file.
pub fn faults(path: &str, text: &str) -> Vec<Fault> {
    let lines = rust_source::lines(text);
    let mut faults = Vec::new();
    let length = text.lines().count();
    if length > MAX_LINES && !is_generated(text) {
        let what = format!("{length} lines, expected at most {MAX_LINES}");
        faults.push(Fault::new(path, MAX_LINES + 1, what, "split it by concept"));
    }
    for (line, attribute) in rust_source::attributes(&lines) {
        faults.extend(attribute_fault(path, line, &attribute));
    }
    faults.extend(safety(path, &lines));
    let may_name_cudarc = path.starts_with(&format!("crates/{CUDA_PACKAGE}/"));
    for (at, line) in lines.iter().enumerate() {
        if !may_name_cudarc && rust_source::has_word(&line.code, "cudarc") {
            let hint = format!("only {CUDA_PACKAGE} names cudarc; call that crate");
            faults.push(Fault::new(path, at + 1, "cudarc in another crate", hint));
        }
        if line.code.contains("dbg!(") {
            faults.push(Fault::new(path, at + 1, "dbg! left in", "delete it"));
        }
    }
    faults.extend(noise(path, &lines));
    faults
}

/// A warning for a file that is long but not too long.
pub fn length_warning(path: &str, text: &str) -> Option<Fault> {
    let length = text.lines().count();
    let long = (LONG_LINES + 1..=MAX_LINES).contains(&length) && !is_generated(text);
    long.then(|| {
        let what = format!("{length} lines, more than {LONG_LINES}");
        Fault::new(path, 0, what, "is there a second concept in it?")
    })
}

/// Generated files are as long as they are, and say so before anything else.
fn is_generated(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.to_lowercase().contains("generated"))
}

fn attribute_fault(path: &str, line: usize, attribute: &str) -> Option<Fault> {
    let compact: String = attribute.chars().filter(|c| !c.is_whitespace()).collect();
    let opens = |name: &str| {
        compact.match_indices(name).any(|(at, _)| {
            !compact[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
        })
    };
    if (opens("allow(") || opens("expect(")) && !compact.contains("reason=\"") {
        let hint = "add reason = \"...\", or mend what the lint found";
        return Some(Fault::new(path, line, "lint silenced without a reason", hint));
    }
    let applied = match compact.strip_prefix("cfg_attr(").and_then(|rest| rest.strip_suffix(')')) {
        Some(rest) => rest.rsplit(',').next().unwrap_or_default(),
        None => &compact,
    };
    if applied == "ignore" || applied.starts_with("ignore=") {
        let hint = "ignored tests rot: skip at run time with a printed reason, or delete it";
        return Some(Fault::new(path, line, "ignored test", hint));
    }
    None
}

/// The safe crates forbid `unsafe` in their library, and their other targets hold none.
fn safety(path: &str, lines: &[Line]) -> Vec<Fault> {
    let Some(home) = SAFE_CRATES.into_iter().find(|home| path.starts_with(home)) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    let forbidden = || {
        let mut attributes = rust_source::attributes(lines).into_iter();
        attributes.any(|(_, text)| text.replace(' ', "") == "forbid(unsafe_code)")
    };
    if path == format!("{home}src/lib.rs") && !forbidden() {
        let hint = "add #![forbid(unsafe_code)] after the module documentation";
        faults.push(Fault::new(path, 1, "unsafe code is not forbidden here", hint));
    }
    for (at, line) in lines.iter().enumerate() {
        if rust_source::has_word(&line.code, "unsafe") {
            let hint = "this crate is safe throughout; tensor-core may hold unsafe code";
            faults.push(Fault::new(path, at + 1, "unsafe", hint));
        }
    }
    faults
}

/// Libraries neither print nor exit; programs and tests may.
fn noise(path: &str, lines: &[Line]) -> Vec<Fault> {
    let below = path.strip_prefix("crates/").and_then(|rest| rest.split_once('/'));
    let in_library = below.is_some_and(|(_, rest)| {
        rest.starts_with("src/") && rest != "src/main.rs" && !rest.starts_with("src/bin/")
    });
    let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
    if !in_library || is_test || TALKERS.iter().any(|talker| path.starts_with(talker)) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (at, (line, is_product)) in lines.iter().zip(rust_source::product(lines)).enumerate() {
        let code = line.code.replace(' ', "");
        if let Some(loud) = LOUD.iter().find(|loud| is_product && code.contains(**loud)) {
            let hint = "libraries neither print nor exit: return a value or an error";
            faults.push(Fault::new(path, at + 1, format!("{loud} in a library"), hint));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(path: &str, text: &str) -> Vec<String> {
        faults(path, text).iter().map(|fault| format!("{}: {}", fault.line, fault.what)).collect()
    }

    #[test]
    fn length_stops_at_800_and_warns_from_500() {
        let text = |n: usize| "x\n".repeat(n);
        assert_eq!(whats("a.rs", &text(800)), [""; 0]);
        assert_eq!(whats("a.rs", &text(801)), ["801: 801 lines, expected at most 800"]);
        assert_eq!(whats("a.rs", &format!("//! Generated by x.py\n{}", text(900))), [""; 0]);
        assert!(length_warning("a.rs", &text(500)).is_none());
        assert!(length_warning("a.rs", &text(501)).is_some());
    }

    #[test]
    fn silencing_a_lint_takes_a_reason() {
        let good = "#[expect(dead_code, reason = \"kept for x\")]\n#![cfg_attr(a, allow(b, reason=\"c\"))]\n\
                    x.expect(\"holds\");\n// #[allow(dead_code)]\n#[cfg(feature = \"allow(x)\")]\n";
        assert_eq!(whats("a.rs", good), [""; 0]);
        for bad in ["#[allow(dead_code)]", "#![expect(\n  a,\n  b\n)]", "#[cfg_attr(x, allow(y))]"]
        {
            assert_eq!(whats("a.rs", bad), ["1: lint silenced without a reason"], "{bad}");
        }
    }

    #[test]
    fn ignored_tests_are_faults() {
        for bad in [
            "#[ignore]",
            "#[ignore = \"slow\"]",
            "#[cfg_attr(miri, ignore)]",
            "#[cfg_attr(miri, ignore = \"slow\")]",
        ] {
            assert_eq!(whats("a.rs", bad), ["1: ignored test"], "{bad}");
        }
        assert_eq!(whats("a.rs", "#[serde(ignore_unknown)] // #[ignore]\n"), [""; 0]);
    }

    #[test]
    fn safe_crates_say_so_and_hold_none() {
        let lib = "crates/audio-frontend/src/lib.rs";
        assert_eq!(whats(lib, "//! Idea.\n#![forbid(unsafe_code)]\n"), [""; 0]);
        assert_eq!(whats(lib, "//! Idea.\n"), ["1: unsafe code is not forbidden here"]);
        let bench = "crates/speech-metrics/benches/a.rs";
        assert_eq!(whats(bench, "// unsafe\nunsafe { x() }\n"), ["2: unsafe"]);
        assert_eq!(whats("crates/tensor-core/src/a.rs", "unsafe { x() }\n"), [""; 0]);
    }

    #[test]
    fn cudarc_has_one_home() {
        let text = "use cudarc::driver;\n";
        assert_eq!(whats("crates/gpu-runtime/src/a.rs", text), [""; 0]);
        assert_eq!(whats("crates/trainer/src/a.rs", text), ["1: cudarc in another crate"]);
        assert_eq!(whats("crates/trainer/src/a.rs", "// cudarc\n"), [""; 0]);
    }

    #[test]
    fn libraries_are_quiet_and_their_tests_need_not_be() {
        let path = "crates/model-zoo/src/a.rs";
        assert_eq!(whats(path, "eprintln!(\"x\");\n"), ["1: eprintln! in a library"]);
        assert_eq!(whats(path, "std::process::exit(1);\n"), ["1: process::exit in a library"]);
        assert_eq!(whats(path, "#[cfg(test)]\nmod tests { println!(); }\n"), [""; 0]);
        assert_eq!(whats("crates/model-zoo/src/a/tests.rs", "println!();\n"), [""; 0]);
        let early = "#[cfg(test)]\nmod tests;\nfn f() { print!(\"x\") }\n";
        assert_eq!(whats(path, early), ["3: print! in a library"]);
        for talker in ["trainer/src/cli/a.rs", "trainer/src/main.rs", "new/src/bin/a.rs"] {
            assert_eq!(whats(&format!("crates/{talker}"), "println!();\n"), [""; 0]);
        }
        assert_eq!(whats("crates/new/src/a.rs", "println!();\n"), ["1: println! in a library"]);
        assert_eq!(whats("crates/trainer/src/a.rs", "dbg!(x);\n"), ["1: dbg! left in"]);
    }
}
