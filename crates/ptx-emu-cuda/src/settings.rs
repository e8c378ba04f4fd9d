//! What the environment says about the simulated devices.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;

use ptx_emu::{Approx, Options, Spec};

use crate::error::{Error, Result, code};

/// Choices that hold for the whole process.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Devices that are there.
    pub(crate) devices: u8,
    /// CUDA version, 1000 * major + 10 * minor.
    pub(crate) driver_version: i32,
    /// How each device behaves.
    pub(crate) options: Options,
    /// The file that gets a line for each launch.
    pub(crate) counters: Option<PathBuf>,
}

/// The settings, read from the environment on the first call.
pub(crate) fn settings() -> Result<&'static Settings> {
    static SETTINGS: OnceLock<std::result::Result<Settings, String>> = OnceLock::new();
    SETTINGS
        .get_or_init(|| Settings::read(|name| std::env::var(name).ok()))
        .as_ref()
        .map_err(|text| Error::with(code::INVALID_VALUE, text))
}

impl Settings {
    /// Reads the variables that `get` knows. A value that means nothing is an error: a typing
    /// mistake must not run a test on the default.
    fn read(get: impl Fn(&str) -> Option<String>) -> std::result::Result<Settings, String> {
        let spec = choice(&get, "PTX_EMU_DEVICE", Spec::h200(), |value| match value {
            "h200" => Ok(Spec::h200()),
            "a100" => Ok(Spec::a100()),
            _ => Err("h200 or a100"),
        })?;
        let default = Options::default();
        let options = Options {
            seed: number(&get, "PTX_EMU_SEED", default.seed)?,
            approx: choice(&get, "PTX_EMU_APPROX", default.approx, |value| match value {
                "nearest" => Ok(Approx::Nearest),
                "worst" => Ok(Approx::Worst),
                _ => Err("nearest or worst"),
            })?,
            threads: number(&get, "PTX_EMU_THREADS", default.threads)?,
            races: choice(&get, "PTX_EMU_RACES", default.races, |value| match value {
                "1" => Ok(true),
                "0" => Ok(false),
                _ => Err("0 or 1"),
            })?,
            instruction_limit: number(
                &get,
                "PTX_EMU_INSTRUCTION_LIMIT",
                default.instruction_limit,
            )?,
            spec,
        };
        Ok(Settings {
            devices: number(&get, "PTX_EMU_DEVICES", 1)?,
            driver_version: number(&get, "PTX_EMU_DRIVER_VERSION", 13_000)?,
            options,
            counters: get("PTX_EMU_COUNTERS").filter(|path| !path.is_empty()).map(PathBuf::from),
        })
    }

    /// The newest PTX that the driver reads.
    pub(crate) fn newest_ptx(&self) -> (u32, u32) {
        let row = PTX_OF_CUDA.iter().rev().find(|(cuda, ..)| *cuda <= self.driver_version);
        row.map_or((0, 0), |&(_, major, minor)| (major, minor))
    }
}

/// The first CUDA release that reads each PTX version, from the release notes of NVIDIA's PTX
/// manual.
const PTX_OF_CUDA: &[(i32, u32, u32)] = &[
    (11_000, 7, 0),
    (11_010, 7, 1),
    (11_020, 7, 2),
    (11_030, 7, 3),
    (11_040, 7, 4),
    (11_050, 7, 5),
    (11_060, 7, 6),
    (11_070, 7, 7),
    (11_080, 7, 8),
    (12_000, 8, 0),
    (12_010, 8, 1),
    (12_020, 8, 2),
    (12_030, 8, 3),
    (12_040, 8, 4),
    (12_050, 8, 5),
    (12_070, 8, 6),
    (12_080, 8, 7),
    (12_090, 8, 8),
    (13_000, 9, 0),
    (13_010, 9, 1),
    (13_020, 9, 2),
    (13_030, 9, 3),
    (13_040, 9, 4),
];

fn choice<T>(
    get: impl Fn(&str) -> Option<String>,
    name: &str,
    default: T,
    parse: impl Fn(&str) -> std::result::Result<T, &'static str>,
) -> std::result::Result<T, String> {
    match get(name) {
        None => Ok(default),
        Some(value) => {
            parse(value.trim()).map_err(|list| format!("{name}: expected {list}, got {value:?}"))
        }
    }
}

fn number<T: FromStr>(
    get: impl Fn(&str) -> Option<String>,
    name: &str,
    default: T,
) -> std::result::Result<T, String> {
    choice(get, name, default, |value| value.parse().map_err(|_| "a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> std::result::Result<Settings, String> {
        let find = |name: &str| pairs.iter().find(|(known, _)| *known == name);
        Settings::read(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn without_variables_there_is_one_h200_with_a_driver_of_13_0() {
        let settings = read(&[]).unwrap();
        assert_eq!((settings.devices, settings.driver_version), (1, 13_000));
        assert_eq!(settings.options, Options::default());
        assert_eq!(settings.counters, None);
    }

    #[test]
    fn every_variable_has_its_effect() {
        let settings = read(&[
            ("PTX_EMU_DEVICES", "2"),
            ("PTX_EMU_DEVICE", "a100"),
            ("PTX_EMU_SEED", "7"),
            ("PTX_EMU_APPROX", "worst"),
            ("PTX_EMU_THREADS", "3"),
            ("PTX_EMU_RACES", "0"),
            ("PTX_EMU_INSTRUCTION_LIMIT", "99"),
            ("PTX_EMU_COUNTERS", "a.jsonl"),
        ])
        .unwrap();
        let options = Options {
            seed: 7,
            approx: Approx::Worst,
            threads: 3,
            races: false,
            instruction_limit: 99,
            spec: Spec::a100(),
        };
        assert_eq!((settings.devices, settings.options), (2, options));
        assert_eq!(settings.counters, Some("a.jsonl".into()));
    }

    #[test]
    fn a_value_without_meaning_is_named() {
        let error = read(&[("PTX_EMU_DEVICE", "h100")]).unwrap_err();
        assert_eq!(error, "PTX_EMU_DEVICE: expected h200 or a100, got \"h100\"");
        assert!(read(&[("PTX_EMU_SEED", "-1")]).is_err());
        assert!(read(&[("PTX_EMU_RACES", "yes")]).is_err());
    }

    #[test]
    fn a_driver_reads_the_ptx_of_its_release() {
        for (driver, expected) in [
            ("10020", (0, 0)),
            ("11080", (7, 8)),
            ("12060", (8, 5)),
            ("12080", (8, 7)),
            ("13000", (9, 0)),
            ("14000", (9, 4)),
        ] {
            let settings = read(&[("PTX_EMU_DRIVER_VERSION", driver)]).unwrap();
            assert_eq!(settings.newest_ptx(), expected, "{driver}");
        }
    }
}
