//! Prints what this machine offers to GPU programs, and how to mend what is missing.

use std::process::ExitCode;

const USAGE: &str = "\
gpu-doctor [--require]

Looks for NVIDIA's driver, devices and libraries and prints a line for each.
Ends with 0 whatever it finds; with --require, with 1 when no GPU can be used.
";

fn main() -> ExitCode {
    let mut require = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--require" => require = true,
            "--help" | "-h" => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            other => {
                eprintln!("gpu-doctor: no option `{other}`\n\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let report = gpu_runtime::doctor::examine();
    println!("{report}");
    if require && !report.is_usable() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
