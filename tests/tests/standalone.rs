//! `align-kernels` as somebody else's only dependency, outside of this workspace.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::program::{stdout, succeed};

const MAIN: &str = r#"
use align_kernels::info_nce::{Options, info_nce};
use align_kernels::sinkhorn::{self, Weights, sinkhorn};
use align_kernels::Ragged;
use ndarray::Array2;

fn main() -> align_kernels::Result<()> {
    let x = Array2::from_shape_fn((5, 3), |(i, d)| (i * 3 + d) as f32 / 15.0);
    let y = &x + 1.0;
    let loss = info_nce(x.view().into(), y.view().into(), &Options::default())?;
    let (rows, columns) = (Ragged::single(x.view().into()), Ragged::single(y.view().into()));
    let options = sinkhorn::Options { debias: true, ..sinkhorn::Options::default() };
    let moved = sinkhorn(&rows, &columns, Weights::default(), &options)?;
    println!("{} {:.3}", loss.value.is_finite(), moved.value[0]);
    Ok(())
}
"#;

#[test]
fn a_crate_that_depends_on_the_kernels_alone_builds_and_runs() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kernels = workspace.join("crates/align-kernels");
    let manifest = format!(
        "[package]\nname = \"user\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         align-kernels = {{ path = {kernels:?} }}\nndarray = \"0.17\"\n"
    );
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    // The versions that this workspace was built with, which are there without a network.
    fs::copy(workspace.join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("src/main.rs"), MAIN).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--offline"]).current_dir(folder.path());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standalone");
    cargo.env("CARGO_TARGET_DIR", target).env_remove("RUSTFLAGS");
    // Moved by (1, 1, 1): |(1, 1, 1)|^2 / 2.
    assert_eq!(stdout(&succeed(&mut cargo)).trim(), "true 1.500");
}
