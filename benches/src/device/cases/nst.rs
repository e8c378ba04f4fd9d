//! Neuron selectivity transfer with gradients: of neurons over positions, and the forms on tokens.

use align_kernels::device::Gpu;
use align_kernels::nst::{Gradients, Tokens, nst, nst_gauss, nst_gram, nst_poly};
use gpu_runtime::Stream;

use super::case::{Case, Fraction, Ideal, Run, Work};
use super::clouds::{CloudOnDevice, Format};
use super::shapes;

/// So many neurons on either side.
#[derive(Debug)]
struct Neurons {
    count: usize,
    width: usize,
    format: Format,
}

impl Work for Neurons {
    fn extents(&self) -> String {
        format!("{0} + {0} x {1}", self.count, self.width)
    }

    /// Moments of both sides by half, and a product for each gradient. Points in, f32 gradients out.
    fn ideal(&self) -> Ideal {
        let (n, d) = (self.count as f64, self.width as f64);
        let product = (2.0 + 4.0) * n * d * d;
        let bytes = 2.0 * n * d * (self.format.bytes() + 4.0);
        match self.format {
            Format::F32 => Ideal { flop: product, bytes, ..Ideal::default() },
            Format::Bf16 => Ideal { mma_flop: product, bytes, ..Ideal::default() },
        }
    }

    fn prepare<'a>(&'a self, stream: &'a Stream) -> anyhow::Result<Run<'a>> {
        let x = CloudOnDevice::new(stream, &[self.count], self.width, self.format, 1)?;
        let y = CloudOnDevice::new(stream, &[self.count], self.width, self.format, 2)?;
        Ok(Box::new(move || {
            nst(&x.ragged()?, &y.ragged()?)?;
            Ok(())
        }))
    }
}

/// How a token is compared with its clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Dimensions as neurons, tokens as positions.
    Gram,
    /// By mean squares.
    Poly,
    /// Every activation with every other.
    Gauss,
}

/// Tokens of a batch of clips, both bf16 and of one width. Both sides learn.
#[derive(Debug)]
struct OnTokens {
    form: Form,
    clips: usize,
}

impl OnTokens {
    fn tokens(&self) -> usize {
        self.clips * shapes::NST_TOKENS_OF_CLIP
    }
}

impl Work for OnTokens {
    fn extents(&self) -> String {
        format!("{} of {} x {}", self.tokens(), self.clips, shapes::NST_TOKEN_WIDTH)
    }

    /// States in, f32 gradients out. Dimensions: as for neurons. Mean squares: a multiply-add for each,
    /// and a multiply for its slope. Pairs of activations: own ones by half, those of token and clip.
    fn ideal(&self) -> Ideal {
        let (tokens, clips) = (self.tokens() as f64, self.clips as f64);
        let width = shapes::NST_TOKEN_WIDTH as f64;
        let numbers = (tokens + clips) * width;
        let base = Ideal { bytes: numbers * (Format::Bf16.bytes() + 4.0), ..Ideal::default() };
        match self.form {
            Form::Gram => Ideal { mma_flop: (2.0 + 4.0) * width * tokens * tokens, ..base },
            Form::Poly => Ideal { flop: 3.0 * numbers, ..base },
            Form::Gauss => Ideal { special: (tokens * 1.5 + clips * 0.5) * width * width, ..base },
        }
    }

    fn prepare<'a>(&'a self, stream: &'a Stream) -> anyhow::Result<Run<'a>> {
        let cloud = |count, seed| {
            CloudOnDevice::new(stream, &[count], shapes::NST_TOKEN_WIDTH, Format::Bf16, seed)
        };
        let (student, teacher) = (cloud(self.tokens(), 1)?, cloud(self.clips, 2)?);
        let clip_of: Vec<usize> =
            (0..self.tokens()).map(|token| token / shapes::NST_TOKENS_OF_CLIP).collect();
        Ok(Box::new(move || {
            let tokens = Tokens::<Gpu> {
                student: student.ragged()?.points(),
                teacher: teacher.ragged()?.points(),
                clip_of: &clip_of,
            };
            match self.form {
                Form::Gram => nst_gram(&tokens, Gradients::Both)?,
                Form::Poly => nst_poly(&tokens, Gradients::Both)?,
                Form::Gauss => nst_gauss(&tokens, 1.0, Gradients::Both)?,
            };
            Ok(())
        }))
    }
}

const NST: Neurons =
    Neurons { count: shapes::MMD_COUNT, width: shapes::WIDTH, format: Format::Bf16 };
/// A quarter of the points and of the width: moments are cut into four splits, as those of the whole, and
/// gradients into none.
const NST_PART: Neurons = Neurons { count: shapes::MMD_COUNT / 4, width: shapes::WIDTH / 4, ..NST };

const NST_F32: Neurons = Neurons { format: Format::F32, ..NST };
/// Half as many points: moments of f32 are cut into two.
const NST_F32_PART: Neurons =
    Neurons { count: NST_PART.count / 2, format: Format::F32, ..NST_PART };

const N8192: Case = Case {
    op: "nst",
    shape: "n8192",
    variant: "bf16, gradients",
    reason: "8192 neurons at 1024 positions, which moments compare without a Gram matrix",
    full: &NST,
    // Moments are squares of the width; all else is points times width.
    fraction: Some(Fraction { work: &NST_PART, times: &[("matmul_v", 64.0), ("", 16.0)] }),
    predicted: shapes::NST,
};

pub(super) const CASES: &[Case] = &[
    N8192,
    Case {
        variant: "f32, gradients",
        reason: "the same from f32 points, which are multiplied exactly, outside tensor cores",
        full: &NST_F32,
        fraction: Some(Fraction {
            work: &NST_F32_PART,
            times: &[("matmul_v", 128.0), ("matmul_sum", 16.0), ("mmd_gap", 16.0), ("", 32.0)],
        }),
        predicted: &[],
        ..N8192
    },
    Case {
        shape: "small",
        reason: "512 neurons at 256 positions, few enough that launches weigh more than products",
        full: &Neurons { count: 512, width: 256, format: Format::Bf16 },
        fraction: None,
        predicted: &[],
        ..N8192
    },
    Case {
        shape: "gram",
        reason: "tokens as positions: both sides turned over, compared as neurons, and turned back",
        full: &OnTokens { form: Form::Gram, clips: shapes::NST_CLIPS },
        fraction: None,
        predicted: &[],
        ..N8192
    },
    Case {
        shape: "poly",
        reason: "tokens against their clips by mean squares, two passes over the states",
        full: &OnTokens { form: Form::Poly, clips: shapes::NST_CLIPS },
        fraction: None,
        predicted: &[],
        ..N8192
    },
    Case {
        shape: "gauss",
        reason: "tokens against their clips by every pair of activations, an exponential each",
        full: &OnTokens { form: Form::Gauss, clips: shapes::NST_CLIPS },
        // Clips do not meet.
        fraction: Some(Fraction {
            work: &OnTokens { form: Form::Gauss, clips: 1 },
            times: &[("", shapes::NST_CLIPS as f64)],
        }),
        predicted: &[],
        ..N8192
    },
];
