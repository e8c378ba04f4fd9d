//! How many instructions of a lane the interpreter executes in a second, on one core.
//!
//! `cargo run --release --example speed`

use std::time::Instant;

use ptx_emu::{Gpu, LaunchConfig, Module, Options};

/// Integer and f32 instructions of a loop, as compilers mix them.
const MIXED: &str = "
    mad.lo.s32 %a, %a, %b, %i;
    xor.b32 %b, %b, %a;
    shr.u32 %c, %a, 7;
    add.s32 %b, %b, %c;
    and.b32 %c, %c, 1023;
    min.s32 %a, %a, %b;
    fma.rn.f32 %x, %x, %y, %z;
    add.f32 %y, %y, %x;
    mul.f32 %z, %x, 0f3F000000;
    setp.gt.f32 %q, %x, %z;
    selp.f32 %y, %y, %z, %q;
    max.f32 %x, %x, %y;
    sub.s32 %a, %a, %c;
    lop3.b32 %c, %a, %b, %c, 0x96;
    setp.lt.u32 %q, %a, %b;
    selp.b32 %b, %b, %c, %q;";

/// The least work that an instruction can have.
const ADDITIONS: &str = "
    add.s32 %a, %a, %b;
    add.s32 %b, %b, %a;
    add.s32 %a, %a, %b;
    add.s32 %b, %b, %a;
    add.s32 %a, %a, %b;
    add.s32 %b, %b, %a;
    add.s32 %a, %a, %b;
    add.s32 %b, %b, %a;";

/// Addresses of 64 bits.
const ADDRESSES: &str = "
    mul.wide.u32 %at, %a, 4;
    add.s64 %at, %at, %end;
    shl.b64 %end, %at, 2;
    mad.wide.s32 %at, %b, 8, %end;
    and.b64 %end, %at, -256;
    setp.lt.u64 %q, %at, %end;
    selp.b64 %at, %at, %end, %q;
    mad.lo.s32 %a, %a, %b, 1;";

/// What the inner loop of a product of matrices has.
const PRODUCTS: &str = "
    fma.rn.f32 %x, %x, %y, %z;
    fma.rn.f32 %y, %y, %z, %x;
    fma.rn.f32 %z, %z, %x, %y;
    fma.rn.f32 %x, %x, %y, %z;
    fma.rn.f32 %y, %y, %z, %x;
    fma.rn.f32 %z, %z, %x, %y;";

/// CTAs of one warp.
const CTAS: u32 = 8;
const ROUNDS: u32 = 4000;

fn main() {
    let loops = [
        ("mixed", MIXED),
        ("additions", ADDITIONS),
        ("addresses", ADDRESSES),
        ("products", PRODUCTS),
    ];
    for (name, body) in loops {
        // The best of a few: other programs only slow it down.
        let speed = (0..5).map(|_| measure(body)).fold(0.0, f64::max);
        println!("{name:10} {:6.0} million lane-instructions a second", speed / 1e6);
    }
}

/// Lane-instructions a second of a loop of `body`.
fn measure(body: &str) -> f64 {
    let source = format!(
        ".version 7.8\n.target sm_80\n.address_size 64
.visible .entry speed()
{{
    .reg .b32 %a, %b, %c, %i;
    .reg .f32 %x, %y, %z;
    .reg .b64 %at, %end;
    .reg .pred %p, %q;
    mov.u32 %a, %tid.x;
    mov.u32 %b, 12345;
    mov.u32 %c, 1;
    mov.u32 %i, 0;
    mov.f32 %x, 0f3F800000;
    mov.f32 %y, 0f3F000000;
    mov.f32 %z, 0f3E800000;
    mov.u64 %at, 0;
    mov.u64 %end, 4096;
again:{body}
    add.s32 %i, %i, 1;
    setp.lt.s32 %p, %i, {ROUNDS};
    @%p bra again;
    ret;
}}
"
    );
    let gpu = Gpu::new(Options { threads: 1, ..Options::default() });
    let module = Module::parse("speed.ptx", &source).expect("the kernel is well-formed");
    let program = gpu.load(&module).expect("it has no variables");
    let instructions = body.matches(';').count() as u32 + 3;
    let start = Instant::now();
    gpu.launch(&program, "speed", &LaunchConfig::linear(CTAS, 32), &[])
        .expect("it touches nothing");
    f64::from(instructions) * f64::from(ROUNDS * CTAS * 32) / start.elapsed().as_secs_f64()
}
