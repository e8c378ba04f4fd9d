//! Activations compared by a Gaussian kernel, pair by pair.

use gpu_runtime::{Arg, DeviceBuffer, Launch, args};

use super::Buffer;
use super::lists::Lists;
use crate::device::Gpu;
use crate::device::clouds::{Clouds, Form};
use crate::device::session::Session;
use crate::error::Result;
use crate::nst::{Gradients, TokenOutput, Tokens};
use crate::registry::NST_GAUSS;

/// Values and gradients of checked tokens.
pub(super) fn run(
    tokens: &Tokens<'_, Gpu>,
    bandwidth: f64,
    wanted: Gradients,
) -> Result<TokenOutput<Buffer>> {
    let session = Session::begin("nst_gauss", tokens.student, tokens.teacher)?;
    session.finish(|| {
        let mut student = Clouds::compact(&session, tokens.student, tokens.student)?;
        let mut teacher = Clouds::compact(&session, tokens.teacher, tokens.teacher)?;
        if student.form != teacher.form {
            student = Clouds::wide(&session, tokens.student, tokens.student)?;
            teacher = Clouds::wide(&session, tokens.teacher, tokens.teacher)?;
        }
        let both = wanted == Gradients::Both;
        let mut grad_student = session.room(student.x.count as usize * student.width as usize)?;
        let of_tokens = Lists::of_tokens(tokens);
        let rows: Vec<_> = of_tokens.lists.iter().zip(0..).map(row).collect();
        let [own, cross] = sums(
            &session,
            [&student, &teacher],
            &rows,
            &of_tokens.members,
            bandwidth,
            (&mut grad_student).into(),
        )?;
        // Clips without tokens cost nothing; without a gradient, clips are compared with themselves.
        let of_clips = Lists::of_clips(tokens);
        let used: Vec<[u32; 4]> = of_clips
            .lists
            .iter()
            .zip(0..)
            .filter(|([_, count], _)| *count > 0)
            .map(|(&[first, count], clip)| [clip, first, if both { count } else { 0 }, 0])
            .collect();
        let grad_teacher = match both {
            false => None,
            true => Some(session.zeros(teacher.x.count as usize * teacher.width as usize)?),
        };
        let address = grad_teacher.as_ref().map_or(0, DeviceBuffer::address);
        let grad = Arg::address(address);
        let clouds = [&teacher, &student];
        let [of_clip, _] = sums(&session, clouds, &used, &of_clips.members, bandwidth, grad)?;
        let (own, cross) = (session.fetch(&own)?, session.fetch(&cross)?);
        let mut clips = vec![0.0; teacher.x.count as usize];
        for (sum, [clip, ..]) in session.fetch(&of_clip)?.into_iter().zip(used) {
            clips[clip as usize] = sum;
        }
        let value = own.iter().zip(cross).zip(tokens.clip_of);
        let value = value.map(|((own, cross), &clip)| own + clips[clip] - 2.0 * cross).collect();
        Ok(TokenOutput { value, grad_student, grad_teacher })
    })
}

fn row((&[first, count], row): (&[u32; 2], u32)) -> [u32; 4] {
    [row, first, count, 0]
}

/// Means of the kernel over the pairs of a row, and over those with its members.
fn sums(
    session: &Session<'_>,
    [x, y]: [&Clouds<'_>; 2],
    rows: &[[u32; 4]],
    members: &[u32],
    bandwidth: f64,
    grad: Arg<'_>,
) -> Result<[DeviceBuffer<f64>; 2]> {
    let (mut own, mut cross) = (session.room(rows.len())?, session.room(rows.len())?);
    let (records, members) = (session.send(rows)?, session.send(members)?);
    let kernel = session.kernel(&NST_GAUSS)?;
    let scale = (std::f64::consts::LOG2_E / 2.0).sqrt() / bandwidth;
    let args = args![
        &mut own,
        &mut cross,
        grad,
        x.x.at(),
        y.x.at(),
        &records,
        &members,
        x.width,
        y.width,
        x.x.stride,
        y.x.stride,
        u32::from(x.form == Form::BF16),
        scale as f32,
        1.0 / bandwidth,
    ];
    let launch = Launch::new([rows.len() as u32, 1, 1], [256, 1, 1]);
    // SAFETY: records are of rows of `x`, members of `y`; both are of one form, with their own widths.
    unsafe { session.launch(&kernel, launch, args)? };
    Ok([own, cross])
}
