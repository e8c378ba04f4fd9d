//! Launches that the device must refuse.

use ptx_emu::{Arg, Fault, FaultKind, Gpu, LaunchConfig, Module};

const SOURCE: &str = ".version 8.0
.target sm_80
.address_size 64
.extern .shared .align 16 .b8 room[];
.visible .entry small(.param .u64 out, .param .u32 value)
.maxntid 128, 1, 1
{
    .reg .b64 %out;
    .reg .b32 %value;
    ld.param.u64 %out, [out];
    ld.param.u32 %value, [value];
    st.shared.u32 [room], %value;
    st.global.u32 [%out], %value;
    ret;
}
";

fn launch(config: LaunchConfig, value: Arg) -> Result<u32, (FaultKind, String)> {
    let run = || {
        let gpu = Gpu::default();
        let module = Module::parse("small.ptx", SOURCE).unwrap_or_else(|error| panic!("{error}"));
        let program = gpu.load(&module)?;
        let out = gpu.upload(&[0u32])?;
        gpu.launch(&program, "small", &config, &[out.into(), value])?;
        Ok(gpu.download::<u32>(out, 1)?[0])
    };
    run().map_err(|fault: Fault| (fault.kind, fault.to_string()))
}

#[track_caller]
fn refuses(config: LaunchConfig, value: Arg, words: &str) {
    let Err((kind, text)) = launch(config, value) else { panic!("not refused: {words}") };
    assert_eq!(kind, FaultKind::Launch, "{text}");
    assert!(text.contains("small") && text.contains(words), "{text}");
}

#[test]
fn too_much_shared_memory() {
    let most = 227 * 1024;
    let config = LaunchConfig::linear(1, 1);
    assert_eq!(launch(config.with_shared(most), Arg::U32(5)), Ok(5));
    refuses(config.with_shared(most + 1), Arg::U32(5), "232449 bytes of shared memory");
}

#[test]
fn an_argument_of_the_wrong_size() {
    let config = LaunchConfig::linear(1, 1).with_shared(4);
    assert_eq!(launch(config, Arg::U32(5)), Ok(5));
    refuses(config, Arg::U64(5), "argument value: expected 4 bytes, got 8");
}

#[test]
fn more_threads_than_the_file_allows() {
    let config = LaunchConfig::linear(1, 129).with_shared(4);
    refuses(config, Arg::U32(5), "129 threads, the file allows 128");
}
