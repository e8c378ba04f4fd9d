//! Runs a PTX file whose kernel has the parameters of `scale.ptx`, and prints what it counted.
//!
//! `cargo run -p ptx-emu --example own_kernel [FILE.ptx KERNEL]`

use ptx_emu::{Gpu, LaunchConfig, Module};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (name, source) = match args.next() {
        Some(path) => (path.clone(), std::fs::read_to_string(path)?),
        None => ("scale.ptx".to_owned(), include_str!("scale.ptx").to_owned()),
    };
    let kernel = args.next().unwrap_or_else(|| "scale".to_owned());

    let gpu = Gpu::default();
    let program = gpu.load(&Module::parse(&name, &source)?)?;
    let x = gpu.upload(&[1.0f32, 2.0, 3.0])?;
    let args = [x.into(), 3u32.into(), 2f32.into()];
    let counters = gpu.launch(&program, &kernel, &LaunchConfig::linear(1, 32), &args)?;
    println!("x = {:?}", gpu.download::<f32>(x, 3)?);
    print!("{counters}");
    Ok(())
}
