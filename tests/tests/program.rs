//! The program under test: where it is, and what it says when it succeeds and fails.

use std::process::{Command, Output};

/// The program under test.
pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_trainer-under-test")
}

/// Runs a command that must succeed; what it printed.
#[track_caller]
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a command that must fail with one message; the message.
#[track_caller]
pub fn fail(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{command:?}: {stderr}");
    let at = stderr.find("error: ").unwrap_or_else(|| panic!("{command:?}: {stderr}"));
    stderr[at..].trim_end().to_owned()
}

/// What a command printed on its standard output, as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}
