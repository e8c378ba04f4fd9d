//! Launches of small kernels.

use ptx_emu::{Arg, Counters, Fault, FaultKind, Gpu, LaunchConfig, Module, Options, Program};

/// Orders of warps, and moments at which copies land, that every test tries.
pub const SEEDS: std::ops::Range<u64> = 0..8;

/// A device with a loaded file.
pub struct Bench {
    pub gpu: Gpu,
    program: Program,
}

impl Bench {
    /// Wraps `body` (declarations and instructions of a kernel `test` with these parameters).
    pub fn kernel(seed: u64, params: &str, body: &str) -> Bench {
        let source = format!(
            ".version 8.6\n.target sm_90a\n.address_size 64\n.extern .shared .align 1024 .b8 tile[];\n\
             .visible .entry test({params})\n{{\n{body}\n    ret;\n}}\n"
        );
        Bench::file(seed, &source)
    }

    /// A whole file.
    pub fn file(seed: u64, source: &str) -> Bench {
        let gpu = Gpu::new(Options { seed, threads: 1, ..Options::default() });
        let module = Module::parse("test.ptx", source).unwrap_or_else(|error| panic!("{error}"));
        let program = gpu.load(&module).unwrap();
        Bench { gpu, program }
    }

    pub fn launch(&self, config: LaunchConfig, args: &[Arg]) -> Result<Counters, Fault> {
        self.gpu.launch(&self.program, "test", &config, args)
    }

    /// Launches what must succeed.
    pub fn run(&self, config: LaunchConfig, args: &[Arg]) -> Counters {
        self.launch(config, args).unwrap_or_else(|fault| panic!("{fault}"))
    }
}

/// The fault of a launch that must fail with this kind and words of its text.
pub fn expect_fault(result: Result<Counters, Fault>, kind: FaultKind, words: &[&str]) -> Fault {
    let fault = result.expect_err("the launch had to fail");
    let text = fault.to_string();
    assert_eq!(fault.kind, kind, "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    fault
}

/// The line of a kernel's body that contains `mark`, as [`Bench::kernel`] counts.
pub fn line_of(body: &str, mark: &str) -> u32 {
    let index = body.lines().position(|line| line.contains(mark));
    index.unwrap_or_else(|| panic!("no line has `{mark}`")) as u32 + 7
}
