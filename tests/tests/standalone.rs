//! `align-kernels` and `ptx-emu` as somebody else's only dependency, outside of this workspace.

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
    let loss = info_nce(x.view(), y.view(), &Options::default())?;
    let (rows, columns) = (Ragged::single(x.view().into()), Ragged::single(y.view().into()));
    let options = sinkhorn::Options { debias: true, ..sinkhorn::Options::default() };
    let moved = sinkhorn(&rows, &columns, Weights::default(), &options)?;
    println!("{} {:.3}", loss.value.is_finite(), moved.value[0]);
    Ok(())
}
"#;

/// Somebody's own PTX, run and found at fault.
const OWN_PTX: &str = r#"
use ptx_emu::{Gpu, LaunchConfig, Module};

const SOURCE: &str = "
.version 7.8
.target sm_80
.address_size 64
.visible .entry halve(.param .u64 param_x)
{
    .reg .u32 %i;
    .reg .u64 %at;
    .reg .f32 %x;
    ld.param.u64 %at, [param_x];
    mov.u32 %i, %tid.x;
    mad.wide.u32 %at, %i, 4, %at;
    ld.global.f32 %x, [%at];
    mul.f32 %x, %x, 0f3F000000;
    st.global.f32 [%at], %x;
    ret;
}";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gpu = Gpu::default();
    let program = gpu.load(&Module::parse("halve.ptx", SOURCE)?)?;
    let x = gpu.upload(&[1f32, 2.0, 3.0])?;
    gpu.launch(&program, "halve", &LaunchConfig::linear(1, 3), &[x.into()])?;
    println!("{:?}", gpu.download::<f32>(x, 3)?);
    let fault = gpu.launch(&program, "halve", &LaunchConfig::linear(1, 4), &[x.into()]);
    println!("{}", fault.unwrap_err().to_string().split(" at 0x").next().unwrap_or_default());
    Ok(())
}
"#;

/// What a program prints that lives outside of the workspace and depends on one of its crates.
fn printed(name: &str, others: &str, main: &str) -> String {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = workspace.join("crates").join(name);
    let manifest = format!(
        "[package]\nname = \"user-of-{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [dependencies]\n{name} = {{ path = {path:?} }}\n{others}"
    );
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    // The versions that this workspace was built with, which are there without a network.
    fs::copy(workspace.join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("src/main.rs"), main).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--offline"]).current_dir(folder.path());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standalone").join(name);
    cargo.env("CARGO_TARGET_DIR", target).env_remove("RUSTFLAGS");
    stdout(&succeed(&mut cargo)).trim().to_owned()
}

#[test]
fn a_crate_that_depends_on_the_kernels_alone_builds_and_runs() {
    // Moved by (1, 1, 1): |(1, 1, 1)|^2 / 2.
    assert_eq!(printed("align-kernels", "ndarray = \"0.17\"\n", MAIN), "true 1.500");
}

#[test]
fn a_crate_that_depends_on_the_interpreter_alone_runs_its_own_ptx() {
    assert_eq!(
        printed("ptx-emu", "", OWN_PTX),
        "[0.5, 1.0, 1.5]\nhalve.ptx:13: halve: cta (0,0,0) warp 0 lane 3: load of 4 bytes"
    );
}
