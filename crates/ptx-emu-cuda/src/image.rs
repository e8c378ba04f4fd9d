//! Kernel images: which can be read, and what a driver says of the others.

use ptx_emu::{Module, Spec};

use crate::error::{Error, code};
use crate::settings::Settings;

/// Reads PTX as a driver of these settings does. The error's story belongs into the log.
pub(crate) fn read(name: &str, text: &str, settings: &Settings) -> Result<Module, Error> {
    let header = Header::find(text);
    let Some((version, line)) = header.version else {
        return Err(Error::with(code::INVALID_IMAGE, format!("{name}: no .version, expected PTX")));
    };
    let (major, minor) = settings.newest_ptx();
    if version > (major, minor) {
        let (new_major, new_minor) = version;
        return Err(Error::with(
            code::UNSUPPORTED_PTX_VERSION,
            format!(
                "ptxas application ptx input, line {line}; fatal   : Unsupported .version \
                 {new_major}.{new_minor}; current version is '{major}.{minor}'"
            ),
        ));
    }
    let spec = &settings.options.spec;
    if let Some(target) = header.target.filter(|target| !runs_on(target, spec)) {
        let (major, minor) = spec.compute_capability;
        return Err(Error::with(
            code::NO_BINARY_FOR_GPU,
            format!("{name}: .target {target} does not run on {}, sm_{major}{minor}", spec.name),
        ));
    }
    Module::parse(name, text).map_err(|error| Error::with(code::INVALID_PTX, error))
}

/// Whether bytes begin as compiled kernels do: ELF, or one of the two heads of a fat binary.
pub(crate) fn is_binary(start: [u8; 4]) -> bool {
    const FAT: [u32; 2] = [0xba55_ed50, 0x4662_43b1];
    start == *b"\x7fELF" || FAT.contains(&u32::from_le_bytes(start))
}

/// The directives at the top of a file.
struct Header<'a> {
    /// Major, minor, and the line from 1.
    version: Option<((u32, u32), usize)>,
    target: Option<&'a str>,
}

impl<'a> Header<'a> {
    fn find(text: &'a str) -> Header<'a> {
        let mut header = Header { version: None, target: None };
        let mut in_comment = false;
        for (index, line) in text.lines().enumerate() {
            let mut rest = line;
            if in_comment {
                let Some((_, after)) = rest.split_once("*/") else { continue };
                (rest, in_comment) = (after, false);
            }
            while let Some((before, after)) = rest.split_once("/*") {
                header.words(before, index + 1);
                match after.split_once("*/") {
                    Some((_, after)) => rest = after,
                    None => (rest, in_comment) = ("", true),
                }
            }
            header.words(rest.split("//").next().unwrap_or(""), index + 1);
            if header.version.is_some() && header.target.is_some() {
                break;
            }
        }
        header
    }

    fn words(&mut self, code: &'a str, line: usize) {
        let mut words = code.split([' ', '\t', ',', ';']).filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            match word {
                ".version" => {
                    let pair = words.next().and_then(|word| word.split_once('.'));
                    let number = |text: &str| text.parse().ok();
                    self.version = pair
                        .and_then(|(major, minor)| Some((number(major)?, number(minor)?)))
                        .map(|version| (version, line));
                }
                ".target" => self.target = words.next(),
                _ => {}
            }
        }
    }
}

/// Whether a device runs code for this target: its own, or an older one without a suffix.
fn runs_on(target: &str, spec: &Spec) -> bool {
    let Some(digits) = target.strip_prefix("sm_") else { return false };
    let (digits, exact) = match digits.strip_suffix('a') {
        Some(digits) => (digits, true),
        None => (digits.strip_suffix('f').unwrap_or(digits), digits.ends_with('f')),
    };
    let Ok(number) = digits.parse::<u32>() else { return false };
    let (major, minor) = spec.compute_capability;
    let own = 10 * major + minor;
    if exact { number == own } else { number <= own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_found_between_comments() {
        let text = "// .version 1.0\n/* .version 2.0\n .target sm_10 */ .version 8.5\n\
                    .target sm_90a, debug\n.address_size 64\n";
        let header = Header::find(text);
        assert_eq!(header.version, Some(((8, 5), 3)));
        assert_eq!(header.target, Some("sm_90a"));
        assert_eq!(Header::find("__global__ void f() {}").version, None);
    }

    #[test]
    fn a_device_runs_older_targets_and_its_own() {
        let (h200, a100) = (Spec::h200(), Spec::a100());
        for (target, on_h200, on_a100) in [
            ("sm_80", true, true),
            ("sm_90", true, false),
            ("sm_90a", true, false),
            ("sm_80a", false, true),
            ("sm_100", false, false),
            ("sm_100f", false, false),
            ("sm_999", false, false),
            ("compute_80", false, false),
        ] {
            assert_eq!(runs_on(target, &h200), on_h200, "{target}");
            assert_eq!(runs_on(target, &a100), on_a100, "{target}");
        }
    }

    #[test]
    fn compiled_kernels_are_told_from_text() {
        assert!(is_binary(*b"\x7fELF"));
        assert!(is_binary([0x50, 0xed, 0x55, 0xba]));
        assert!(!is_binary(*b".ver"));
    }
}
