//! One planted bug: the kernel as a difference, its launch, and where the fault must be found.

use ptx_emu::{Arg, Fault, FaultKind, Gpu, LaunchConfig, Module, Options};

const SEEDS: u64 = 8;

/// Registers and addresses that every kernel has: `%t` is its thread, `%s` the thread's word of the
/// 4096 bytes `tile`, `%g` and `%h` its words of the arrays `%in` and `%out`.
const PRELUDE: &str = "
.version 8.0
.target sm_90
.address_size 64
.const .align 4 .u32 table[4] = {1, 2, 3, 4};
.visible .entry planted(.param .u64 in, .param .u64 out)
{
    .reg .pred %p, %q;
    .reg .b32 %t, %lane, %warp, %cta, %s, %x, %y, %z, %n;
    .reg .b64 %in, %out, %g, %h, %w;
    .shared .align 16 .b8 tile[4096];
    mov.u32 %t, %tid.x;
    mov.u32 %lane, %laneid;
    mov.u32 %cta, %ctaid.x;
    shr.u32 %warp, %t, 5;
    ld.param.u64 %in, [in];
    ld.param.u64 %out, [out];
    mul.wide.u32 %w, %t, 4;
    add.u64 %g, %in, %w;
    add.u64 %h, %out, %w;
    mov.u32 %s, tile;
    mad.lo.u32 %s, %t, 4, %s;
";

/// A kernel as a difference, and how it is launched.
pub struct Case {
    text: &'static str,
    launch: LaunchConfig,
    limit: u64,
    setup: fn(&Gpu) -> [u64; 2],
}

/// Where a fault is found: the line with this mark, the warp, the lane, and the mark of the line
/// that the message names besides.
#[derive(Clone, Copy)]
pub struct Place {
    pub mark: &'static str,
    pub warp: u32,
    pub lane: Option<u32>,
    pub other: Option<&'static str>,
}

/// The line marked `// A`, a warp and a lane.
pub fn at(warp: u32, lane: u32) -> Place {
    Place { mark: "A", warp, lane: Some(lane), other: None }
}

/// The line marked `// A` and a warp, where no lane is to blame.
pub fn at_warp(warp: u32) -> Place {
    Place { mark: "A", warp, lane: None, other: None }
}

/// Either of the lines `// A` and `// B`, whichever comes second under the seed; each names the
/// other.
pub fn either(a: (u32, u32), b: (u32, u32)) -> [Place; 2] {
    let place =
        |mark, (warp, lane), other| Place { mark, warp, lane: Some(lane), other: Some(other) };
    [place("A", a, "B"), place("B", b, "A")]
}

/// The address of a copy of `words`.
pub fn put(gpu: &Gpu, words: &[u32]) -> u64 {
    gpu.upload(words).unwrap_or_else(|fault| panic!("{fault}"))
}

/// A kernel with one CTA of `threads`, reading and writing 1024 words.
pub fn case(threads: u32, text: &'static str) -> Case {
    let setup = |gpu: &Gpu| {
        let words: Vec<u32> = (0..1024).collect();
        [words, vec![0; 1024]].map(|words| put(gpu, &words))
    };
    Case { text, launch: LaunchConfig::linear(1, threads), limit: 10_000_000, setup }
}

impl Case {
    pub fn grid(self, ctas: u32) -> Case {
        Case { launch: LaunchConfig { grid: [ctas, 1, 1], ..self.launch }, ..self }
    }

    pub fn cooperative(self) -> Case {
        Case { launch: LaunchConfig { cooperative: true, ..self.launch }, ..self }
    }

    pub fn cluster(self, ctas: u32) -> Case {
        Case { launch: LaunchConfig { cluster: Some([ctas, 1, 1]), ..self.launch }, ..self }
    }

    pub fn limit(self, limit: u64) -> Case {
        Case { limit, ..self }
    }

    pub fn setup(self, setup: fn(&Gpu) -> [u64; 2]) -> Case {
        Case { setup, ..self }
    }

    /// The whole text, with or without the bug.
    fn source(&self, bug: bool) -> String {
        let (kept, dropped) = if bug { ('-', '+') } else { ('+', '-') };
        let mut source = PRELUDE.trim_start().to_owned();
        for line in self.text.lines().filter(|line| !line.trim().is_empty()) {
            let line = line.trim_start();
            if !line.starts_with(dropped) {
                source.push_str(line.strip_prefix(kept).unwrap_or(line));
                source.push('\n');
            }
        }
        source + "ret;\n}\n"
    }

    fn run(&self, source: &str, seed: u64) -> Result<Vec<u32>, Fault> {
        let module =
            Module::parse("planted.ptx", source).unwrap_or_else(|e| panic!("{e}\n{source}"));
        // One thread and several: CTAs one after the other, and at the same time.
        let threads = 1 + seed as usize % 3;
        let instruction_limit = self.limit;
        let gpu = Gpu::new(Options { seed, threads, instruction_limit, ..Options::default() });
        let program = gpu.load(&module)?;
        let [input, output] = (self.setup)(&gpu);
        let args = [Arg::U64(input), Arg::U64(output)];
        gpu.launch(&program, "planted", &self.launch, &args)?;
        let bytes = gpu.allocation(output).map_or(0, |(_, bytes)| bytes);
        gpu.download(output, bytes as usize / 4)
    }

    /// Passes without the bug under every seed; gives what the first run wrote.
    #[track_caller]
    pub fn passes(&self) -> Vec<u32> {
        let source = self.source(false);
        let run = |seed| {
            self.run(&source, seed).unwrap_or_else(|fault| panic!("seed {seed}: {fault}\n{source}"))
        };
        let first = run(0);
        for seed in 1..SEEDS {
            assert_eq!(run(seed), first, "seed {seed} gives other results");
        }
        first
    }

    /// Catches the bug under every seed, at one of these places, and passes without it.
    #[track_caller]
    pub fn catches(&self, kind: FaultKind, places: &[Place], words: &str) {
        let source = self.source(true);
        let line = |mark: &str| {
            let end = format!("// {mark}");
            let found = source.lines().position(|line| line.ends_with(&end));
            found.unwrap_or_else(|| panic!("no line with {end}\n{source}")) as u32 + 1
        };
        for seed in 0..SEEDS {
            let fault = match self.run(&source, seed) {
                Ok(_) => panic!("seed {seed}: not caught\n{source}"),
                Err(fault) => fault,
            };
            let text = fault.to_string();
            assert_eq!(fault.kind, kind, "seed {seed}: {text}\n{source}");
            assert_eq!(fault.file.as_deref(), Some("planted.ptx"), "{text}");
            assert_eq!(fault.kernel.as_deref(), Some("planted"), "{text}");
            assert!(text.contains(words), "seed {seed}: {text}");
            let found = places.iter().any(|place| {
                (fault.line, fault.warp, fault.lane)
                    == (Some(line(place.mark)), Some(place.warp), place.lane)
                    && place
                        .other
                        .is_none_or(|other| text.contains(&format!("line {}", line(other))))
            });
            assert!(found, "seed {seed}: elsewhere: {text}\n{source}");
        }
        self.passes();
    }
}
