//! Dimensions as neurons: both sides turned over, compared as rows, and their gradients turned back.

use gpu_math::Element;
use gpu_runtime::{Arg, DeviceBuffer, Launch, args};
use half::bf16;

use super::Buffer;
use super::lists::Lists;
use super::rows;
use crate::device::Gpu;
use crate::device::clouds::{Clouds, Form};
use crate::device::points::{DevicePoints, DeviceValues};
use crate::device::session::Session;
use crate::error::Result;
use crate::nst::{Gradients, TokenOutput, Tokens};
use crate::ragged::Ragged;
use crate::registry::{NST_CLIP_SUMS, NST_TURN};

/// Rows of bf16 start at multiples of so many values, as `Clouds` takes them.
const ALIGNMENT: usize = 8;

/// Value and gradients of checked tokens.
pub(super) fn run(tokens: &Tokens<'_, Gpu>, wanted: Gradients) -> Result<TokenOutput<Buffer>> {
    let session = Session::begin("nst_gram", tokens.student, tokens.teacher)?;
    session.finish(|| {
        let mut student = Clouds::compact(&session, tokens.student, tokens.student)?;
        let mut teacher = Clouds::compact(&session, tokens.teacher, tokens.teacher)?;
        if student.form != teacher.form {
            student = Clouds::wide(&session, tokens.student, tokens.student)?;
            teacher = Clouds::wide(&session, tokens.teacher, tokens.teacher)?;
        }
        if tokens.clip_of.is_empty() {
            let width = tokens.teacher.count() * tokens.teacher.width();
            let grad_teacher = match wanted {
                Gradients::Student => None,
                Gradients::Both => Some(session.zeros(width)?),
            };
            return Ok(TokenOutput {
                value: vec![0.0],
                grad_student: session.room(0)?,
                grad_teacher,
            });
        }
        match student.form {
            Form::F32 => of_form::<f32>(&session, [&student, &teacher], tokens, wanted),
            Form::BF16 => of_form::<bf16>(&session, [&student, &teacher], tokens, wanted),
        }
    })
}

fn of_form<T: Element>(
    session: &Session<'_>,
    [student, teacher]: [&Clouds<'_>; 2],
    tokens: &Tokens<'_, Gpu>,
    wanted: Gradients,
) -> Result<TokenOutput<Buffer>>
where
    for<'b> DeviceValues<'b>: From<&'b DeviceBuffer<T>>,
{
    let count = tokens.clip_of.len();
    let clips: Vec<u32> = tokens.clip_of.iter().map(|&clip| clip as u32).collect();
    let clips = session.send(&clips)?;
    let pitch = count.next_multiple_of(ALIGNMENT);
    let turned = |clouds: &Clouds<'_>, rows: Arg<'_>| {
        let mut out = session.room::<T>(clouds.width as usize * pitch)?;
        let matrix = Matrix {
            address: clouds.x.at(),
            rows,
            extents: [count as u32, clouds.width],
            stride: clouds.x.stride,
            narrow: u32::from(clouds.form == Form::BF16),
        };
        // SAFETY: there is a row of `pitch` for each dimension, and the rows are of this cloud.
        unsafe { matrix.turn(session, (&mut out).into(), pitch as u32, 1.0)? };
        Ok(out)
    };
    let x = turned(student, Arg::address(0))?;
    let y = turned(teacher, (&clips).into())?;
    let neurons = |values, width: u32| {
        DevicePoints::strided(session.stream, values, width as usize, count, pitch)
            .map(Ragged::single_on_device)
    };
    let (x, y) = (neurons(&x, student.width)?, neurons(&y, teacher.width)?);
    let back = |grad: &Buffer, width: u32| {
        let mut out = session.room(count * width as usize)?;
        let matrix = Matrix {
            address: grad.into(),
            rows: Arg::address(0),
            extents: [width, count as u32],
            stride: count as u32,
            narrow: 0,
        };
        // SAFETY: the gradient has a row of tokens for each dimension, and `out` the reverse.
        unsafe { matrix.turn(session, (&mut out).into(), width, count as f32)? };
        Ok(out)
    };
    let (output, (grad_student, grad_teacher)) = rows::compare(session, &x, &y, |grads| {
        let grad_student = back(&grads[0], student.width)?;
        let grad_teacher = match wanted {
            Gradients::Student => None,
            Gradients::Both => {
                let of_tokens = back(&grads[1], teacher.width)?;
                Some(clip_sums(session, &of_tokens, tokens, teacher)?)
            }
        };
        Ok((grad_student, grad_teacher))
    })?;
    let value = vec![output.value[0] * count as f64];
    Ok(TokenOutput { value, grad_student, grad_teacher })
}

/// A matrix to turn over.
struct Matrix<'m> {
    address: Arg<'m>,
    /// Which rows of it, or no address for all.
    rows: Arg<'m>,
    /// Rows and columns that are taken.
    extents: [u32; 2],
    stride: u32,
    narrow: u32,
}

impl Matrix<'_> {
    /// # Safety
    ///
    /// `out` has room for `columns` rows of `pitch`, and the rows are of the matrix.
    unsafe fn turn(
        &self,
        session: &Session<'_>,
        out: Arg<'_>,
        pitch: u32,
        scale: f32,
    ) -> Result<()> {
        let [count, width] = self.extents;
        let args = args![
            out,
            self.address,
            self.rows,
            count,
            width,
            self.stride,
            pitch,
            self.narrow,
            scale,
        ];
        let launch = Launch::new([count.div_ceil(32), width.div_ceil(32), 1], [32, 8, 1]);
        // SAFETY: the caller's promise.
        unsafe { session.launch(&session.kernel(&NST_TURN)?, launch, args) }
    }
}

/// Gradients of tokens, `(T, D')`, to those of their clips.
fn clip_sums(
    session: &Session<'_>,
    of_tokens: &Buffer,
    tokens: &Tokens<'_, Gpu>,
    teacher: &Clouds<'_>,
) -> Result<Buffer> {
    let (clips, width) = (teacher.x.count, teacher.width);
    let lists = Lists::of_clips(tokens).send(session)?;
    let mut out = session.room(clips as usize * width as usize)?;
    let args = args![&mut out, of_tokens, &lists.lists, &lists.members, width];
    let launch = Launch::new([clips, width.div_ceil(256), 1], [256, 1, 1]);
    let kernel = session.kernel(&NST_CLIP_SUMS)?;
    // SAFETY: a list a clip, whose members are tokens that have a row each.
    unsafe { session.launch(&kernel, launch, args)? };
    Ok(out)
}
