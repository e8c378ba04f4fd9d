//! What is wrong with a kernel, and what may help.

use std::fmt;

use super::budget::{FILE, KEYS, Limits};

/// A kernel that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `FILE` or `FILE:LINE`, and the architecture where the fault is of one.
    place: String,
    what: String,
    hint: String,
}

impl Fault {
    /// A fault at a place such as `kernels/op/a.ptx:6: sm_80`.
    pub fn new(place: impl Into<String>, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into(), hint: hint.into() }
    }

    /// A quantity of `kernel` beyond its limit; `key` is its place in [`KEYS`].
    pub fn growth(place: &str, kernel: &str, key: usize, limits: &Limits, got: &Limits) -> Self {
        let name = KEYS[key];
        let unit = match name {
            "registers" => "",
            "doubles" => " lines",
            _ => " bytes",
        };
        let hint = match name {
            "registers" => {
                format!("free some, or raise `registers` of [{kernel}] in {FILE} and say why")
            }
            "shared" => format!(
                "blocks that fit on a multiprocessor depend on it; raise `shared` of [{kernel}] in \
                 {FILE} if it is meant"
            ),
            "local" => format!(
                "index arrays by constants so that they stay in registers, or plan for it with \
                 `local` of [{kernel}] in {FILE}"
            ),
            "doubles" => format!(
                "f64 is slower than f32, on many GPUs by a factor of 64; where it is meant, grant it \
                 with `doubles` of [{kernel}] in {FILE}"
            ),
            _ => "registers go through memory: keep fewer values alive, or let .maxnreg, .maxntid \
                  and .minnctapersm leave more of them to a thread"
                .to_owned(),
        };
        let (most, got) = (limits[key], got[key]);
        let expected = if most == 0 { "0".into() } else { format!("at most {most}") };
        Self::new(place, format!("{kernel}: {name}, expected {expected}, got {got}{unit}"), hint)
    }

    /// Something that the assembler says of a line.
    pub fn said(place: &str, text: &str) -> Self {
        Self::new(place, text, hint_for(text))
    }
}

/// What helps with the messages that hand-written kernels meet most.
fn hint_for(text: &str) -> &'static str {
    const HINTS: [(&str, &str); 5] = [
        ("Unsupported .version", "the driver of the same release refuses it too: lower .version"),
        ("adjusting per thread register count", "ask for what can be had, or leave .maxnreg out"),
        ("Performance Loss", "wait for the group before its registers are read or written"),
        ("cannot be compiled for architecture", "the .target promises every later architecture"),
        ("Unknown symbol", "is it declared, with its %, in this scope?"),
    ];
    let found = HINTS.iter().find(|(words, _)| text.contains(words));
    found.map_or("the PTX manual lists the forms of each instruction", |(_, hint)| hint)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (hint: {})", self.place, self.what, self.hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growth_tells_both_numbers_and_what_to_do() {
        let place = "kernels/op/a_v1.ptx: sm_80";
        let told = |key| {
            Fault::growth(place, "a_v1", key, &[40, 0, 0, 0, 0], &[44, 128, 16, 8, 7]).to_string()
        };
        assert_eq!(
            told(0),
            "kernels/op/a_v1.ptx: sm_80: a_v1: registers, expected at most 40, got 44 (hint: free \
             some, or raise `registers` of [a_v1] in kernels/budget.toml and say why)"
        );
        assert!(told(1).contains("a_v1: shared, expected 0, got 128 bytes (hint: "));
        assert!(told(2).contains("a_v1: local, expected 0, got 16 bytes (hint: "));
        assert!(told(3).contains("a_v1: spills, expected 0, got 8 bytes (hint: "));
        assert!(told(4).contains("a_v1: doubles, expected 0, got 7 lines (hint: "));
    }

    #[test]
    fn a_message_gets_the_hint_that_fits() {
        let told = Fault::said("a.ptx:4: sm_80", "Unknown symbol '%x'");
        assert!(told.to_string().ends_with("(hint: is it declared, with its %, in this scope?)"));
        let told = Fault::said("a.ptx:4: sm_80", "odd");
        assert!(told.to_string().contains("(hint: the PTX manual lists"), "{told}");
    }
}
