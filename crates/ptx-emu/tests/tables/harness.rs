//! Runs an instruction, or a few, on columns of operands, a row for each thread.
//!
//! Operands are registers `%a`, `%b`, `%c`, `%e`, `%f` and so on (without `%d`), results are `%d`,
//! `%d1`, `%d2` and so on. A text may hold several statements; registers of its own it declares
//! inside `{ }`.

use std::fmt::Write;

use ptx_emu::{Arg, Fault, Gpu, LaunchConfig, Module, Options};

/// What a register holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    B16,
    B32,
    B64,
    Pred,
}

impl Kind {
    fn register(self) -> &'static str {
        match self {
            Kind::B16 => ".b16",
            Kind::B32 => ".b32",
            Kind::B64 => ".b64",
            Kind::Pred => ".pred",
        }
    }

    /// Bytes of a value in memory; a predicate lies there as a 32-bit 0 or 1.
    fn bytes(self) -> usize {
        match self {
            Kind::B16 => 2,
            Kind::B32 | Kind::Pred => 4,
            Kind::B64 => 8,
        }
    }
}

/// A value that a register can hold.
pub trait Value: Copy {
    const KIND: Kind;
    fn bits(self) -> u64;
    fn of(bits: u64) -> Self;
}

macro_rules! values {
    ($($type:ty, $kind:ident, |$value:ident| $to:expr, |$bits:ident| $from:expr;)*) => {$(
        impl Value for $type {
            const KIND: Kind = Kind::$kind;
            fn bits(self) -> u64 {
                let $value = self;
                $to as u64
            }
            fn of($bits: u64) -> Self {
                $from
            }
        }
    )*};
}

values! {
    u16, B16, |value| value, |bits| bits as u16;
    i16, B16, |value| value as u16, |bits| bits as i16;
    u32, B32, |value| value, |bits| bits as u32;
    i32, B32, |value| value as u32, |bits| bits as i32;
    u64, B64, |value| value, |bits| bits;
    i64, B64, |value| value, |bits| bits as i64;
    f32, B32, |value| value.to_bits(), |bits| f32::from_bits(bits as u32);
    f64, B64, |value| value.to_bits(), |bits| f64::from_bits(bits);
    half::f16, B16, |value| value.to_bits(), |bits| half::f16::from_bits(bits as u16);
    half::bf16, B16, |value| value.to_bits(), |bits| half::bf16::from_bits(bits as u16);
    bool, Pred, |value| value, |bits| bits != 0;
}

/// The values of one register, a row for each thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    kind: Kind,
    bits: Vec<u64>,
}

impl Column {
    pub fn new<T: Value>(values: &[T]) -> Column {
        Column { kind: T::KIND, bits: values.iter().map(|value| value.bits()).collect() }
    }

    /// Its rows as values of a type of the same width.
    pub fn values<T: Value>(&self) -> Vec<T> {
        assert_eq!(self.kind, T::KIND);
        self.bits.iter().map(|&bits| T::of(bits)).collect()
    }
}

impl<T: Value> From<Vec<T>> for Column {
    fn from(values: Vec<T>) -> Column {
        Column::new(&values)
    }
}

impl<T: Value, const N: usize> From<[T; N]> for Column {
    fn from(values: [T; N]) -> Column {
        Column::new(&values)
    }
}

/// Runs `text` on the operands; gives a column for each result.
pub fn run(text: &str, operands: &[Column], results: &[Kind]) -> Vec<Column> {
    run_with(Options::default(), text, operands, results).unwrap_or_else(|fault| panic!("{fault}"))
}

/// As [`run`] on a device with these options; what goes wrong at run time comes back.
pub fn run_with(
    options: Options,
    text: &str,
    operands: &[Column],
    results: &[Kind],
) -> Result<Vec<Column>, Fault> {
    let kinds: Vec<Kind> = operands.iter().map(|column| column.kind).collect();
    let source = kernel(text, &kinds, results);
    let module = Module::parse(text, &source).unwrap_or_else(|error| panic!("{error}\n{source}"));
    let gpu = Gpu::new(options);
    let program = gpu.load(&module)?;
    let rows = operands.first().map_or(32, |column| column.bits.len());
    // Whole warps: the last row is repeated, and what it gives the second time is left out.
    let threads = rows.next_multiple_of(32);
    let mut args: Vec<Arg> = Vec::new();
    for column in operands {
        assert_eq!(column.bits.len(), rows, "columns of different lengths");
        let mut bytes = Vec::new();
        for thread in 0..threads {
            let bits = column.bits[thread.min(rows - 1)].to_le_bytes();
            bytes.extend_from_slice(&bits[..column.kind.bytes()]);
        }
        args.push(gpu.upload(&bytes)?.into());
    }
    let outputs: Vec<u64> =
        results.iter().map(|kind| gpu.alloc(threads * kind.bytes())).collect::<Result<_, _>>()?;
    args.extend(outputs.iter().map(|&pointer| Arg::from(pointer)));
    gpu.launch(&program, "table", &LaunchConfig::linear(threads as u32 / 32, 32), &args)?;
    let column = |(&kind, pointer): (&Kind, &u64)| {
        let mut bytes = vec![0; rows * kind.bytes()];
        gpu.read(*pointer, &mut bytes)?;
        let bits = bytes.chunks_exact(kind.bytes()).map(|chunk| {
            let mut bits = [0; 8];
            bits[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(bits)
        });
        Ok(Column { kind, bits: bits.collect() })
    };
    results.iter().zip(&outputs).map(column).collect()
}

/// The message with which `text` is refused.
pub fn refusal(text: &str, operands: &[Kind], results: &[Kind]) -> String {
    match Module::parse("table.ptx", &kernel(text, operands, results)) {
        Ok(_) => panic!("`{text}` is accepted"),
        Err(error) => error.to_string(),
    }
}

/// Runs `text` and compares its only result, bit for bit.
pub fn check(text: &str, operands: &[Column], expected: impl Into<Column>) {
    let expected: Column = expected.into();
    let got = run(text, operands, &[expected.kind]).remove(0);
    for (row, (got, expected)) in got.bits.iter().zip(&expected.bits).enumerate() {
        let sources: Vec<String> =
            operands.iter().map(|column| format!("{:#x}", column.bits[row])).collect();
        let sources = sources.join(", ");
        assert_eq!(got, expected, "`{text}` of {sources}: got {got:#x}, expected {expected:#x}");
    }
}

/// Checks `text` against `f` on every value.
pub fn check1<A: Value, R: Value>(text: &str, a: &[A], f: impl Fn(A) -> R) {
    let expected: Vec<R> = a.iter().map(|&a| f(a)).collect();
    check(text, &[Column::new(a)], expected);
}

/// Checks `text` against `f` on every pair of values.
pub fn check2<A: Value, B: Value, R: Value>(text: &str, a: &[A], b: &[B], f: impl Fn(A, B) -> R) {
    let pairs: Vec<(A, B)> = a.iter().flat_map(|&a| b.iter().map(move |&b| (a, b))).collect();
    let (a, b): (Vec<A>, Vec<B>) = pairs.iter().copied().unzip();
    let expected: Vec<R> = pairs.iter().map(|&(a, b)| f(a, b)).collect();
    check(text, &[a.into(), b.into()], expected);
}

/// Checks `text` against `f` on every triple of values.
pub fn check3<A: Value, B: Value, C: Value, R: Value>(
    text: &str,
    a: &[A],
    b: &[B],
    c: &[C],
    f: impl Fn(A, B, C) -> R,
) {
    let (mut columns, mut expected) = ((Vec::new(), Vec::new(), Vec::new()), Vec::new());
    for &a in a {
        for &b in b {
            for &c in c {
                columns.0.push(a);
                columns.1.push(b);
                columns.2.push(c);
                expected.push(f(a, b, c));
            }
        }
    }
    check(text, &[columns.0.into(), columns.1.into(), columns.2.into()], expected);
}

/// A kernel that loads the operands of its thread, does `text`, and stores the results.
fn kernel(text: &str, operands: &[Kind], results: &[Kind]) -> String {
    let letters = ('a'..='z').filter(|&letter| letter != 'd').map(|letter| format!("%{letter}"));
    let names: Vec<String> = letters.take(operands.len()).collect();
    assert_eq!(names.len(), operands.len(), "more operands than letters");
    let outputs: Vec<String> = (0..results.len())
        .map(|index| if index == 0 { "%d".to_owned() } else { format!("%d{index}") })
        .collect();
    let all = || operands.iter().zip(&names).chain(results.iter().zip(&outputs));
    let parameters: Vec<String> =
        (0..operands.len() + results.len()).map(|at| format!(".param .u64 p{at}")).collect();
    let mut source = String::from(".version 9.0\n.target sm_90a\n.address_size 64\n");
    let mut line = |text: String| writeln!(source, "{text}").expect("a string takes all");
    line(format!(".visible .entry table({})\n{{", parameters.join(", ")));
    line("    .reg .u32 __thread, __flag;\n    .reg .u64 __at, __base;".to_owned());
    for (kind, name) in all() {
        line(format!("    .reg {} {name};", kind.register()));
    }
    line("    mov.u32 __thread, %ctaid.x;".to_owned());
    line("    mad.lo.u32 __thread, __thread, 32, %tid.x;".to_owned());
    let place = |at: usize, kind: Kind| {
        format!(
            "    ld.param.u64 __base, [p{at}];\n    cvta.to.global.u64 __base, __base;\n    \
             mad.wide.u32 __at, __thread, {}, __base;",
            kind.bytes()
        )
    };
    for (at, (&kind, name)) in operands.iter().zip(&names).enumerate() {
        line(place(at, kind));
        line(match kind {
            Kind::Pred => {
                format!("    ld.global.u32 __flag, [__at];\n    setp.ne.u32 {name}, __flag, 0;")
            }
            _ => format!("    ld.global{} {name}, [__at];", kind.register()),
        });
    }
    line(format!("    {text}"));
    for (at, (&kind, name)) in results.iter().zip(&outputs).enumerate() {
        line(place(operands.len() + at, kind));
        line(match kind {
            Kind::Pred => {
                format!("    selp.u32 __flag, 1, 0, {name};\n    st.global.u32 [__at], __flag;")
            }
            _ => format!("    st.global{} [__at], {name};", kind.register()),
        });
    }
    line("    ret;\n}".to_owned());
    source
}
