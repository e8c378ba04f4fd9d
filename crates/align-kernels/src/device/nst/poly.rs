//! Activations compared by their mean squares.

use gpu_runtime::{DeviceBuffer, Launch, args};

use super::Buffer;
use super::lists::Lists;
use crate::device::Gpu;
use crate::device::clouds::{Clouds, Form, Rows};
use crate::device::session::Session;
use crate::error::Result;
use crate::nst::{Gradients, TokenOutput, Tokens};
use crate::registry::{NST_MEAN_SQUARES, NST_POLY};

/// Values and gradients of checked tokens.
pub(super) fn run(tokens: &Tokens<'_, Gpu>, wanted: Gradients) -> Result<TokenOutput<Buffer>> {
    let session = Session::begin("nst_poly", tokens.student, tokens.teacher)?;
    session.finish(|| {
        // Widths differ: one form for both, each with its own width.
        let student = Clouds::compact(&session, tokens.student, tokens.student)?;
        let teacher = Clouds::compact(&session, tokens.teacher, tokens.teacher)?;
        let of_student = mean_squares(&session, &student)?;
        let of_teacher = mean_squares(&session, &teacher)?;
        let lists = Lists::of_tokens(tokens);
        let (values, grad_student) =
            slopes(&session, &student, [&of_student, &of_teacher], &lists)?;
        let grad_teacher = match wanted {
            Gradients::Student => None,
            Gradients::Both => {
                let lists = Lists::of_clips(tokens);
                Some(slopes(&session, &teacher, [&of_teacher, &of_student], &lists)?.1)
            }
        };
        Ok(TokenOutput { value: session.fetch(&values)?, grad_student, grad_teacher })
    })
}

fn mean_squares(session: &Session<'_>, clouds: &Clouds<'_>) -> Result<DeviceBuffer<f64>> {
    let rows = &clouds.x;
    let mut out = session.room(rows.count as usize)?;
    let kernel = session.kernel(&NST_MEAN_SQUARES)?;
    let args = args![&mut out, rows.at(), rows.count, clouds.width, rows.stride, narrow(clouds)];
    // SAFETY: a number for each of `count` rows, a stride apart.
    unsafe { session.launch(&kernel, a_warp_a_row(rows), args)? };
    Ok(out)
}

/// Squared gaps and gradients of all rows of a cloud.
fn slopes(
    session: &Session<'_>,
    clouds: &Clouds<'_>,
    [own, other]: [&DeviceBuffer<f64>; 2],
    lists: &Lists,
) -> Result<(DeviceBuffer<f64>, Buffer)> {
    let rows = &clouds.x;
    let mut values = session.room(rows.count as usize)?;
    let mut grad = session.room(rows.count as usize * clouds.width as usize)?;
    let lists = lists.send(session)?;
    let kernel = session.kernel(&NST_POLY)?;
    let args = args![
        &mut values,
        &mut grad,
        rows.at(),
        own,
        other,
        &lists.lists,
        &lists.members,
        rows.count,
        clouds.width,
        rows.stride,
        narrow(clouds),
    ];
    // SAFETY: a list a row, whose members are rows that `other` has a number of.
    unsafe { session.launch(&kernel, a_warp_a_row(rows), args)? };
    Ok((values, grad))
}

fn a_warp_a_row(rows: &Rows<'_>) -> Launch {
    Launch::new([rows.count.div_ceil(8), 1, 1], [32, 8, 1])
}

fn narrow(clouds: &Clouds<'_>) -> u32 {
    u32::from(clouds.form == Form::BF16)
}
