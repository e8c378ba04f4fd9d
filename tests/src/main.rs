//! The `trainer` program, built beside the tests that run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    trainer::cli::main()
}
