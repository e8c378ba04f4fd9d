//! The `trainer` program: `cargo xtask train` and its siblings run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    trainer::cli::main()
}
