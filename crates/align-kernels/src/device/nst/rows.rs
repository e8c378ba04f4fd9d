//! Neurons as unit rows over positions: the discrepancy of the rows, and its gradient through the scaling.

use gpu_math::Element;
use gpu_runtime::{DeviceBuffer, Launch, args};
use half::bf16;

use super::Buffer;
use crate::device::Gpu;
use crate::device::clouds::{Clouds, Form, Rows};
use crate::device::mmd::Launched;
use crate::device::points::{DevicePoints, DeviceValues};
use crate::device::session::Session;
use crate::error::Result;
use crate::mmd::{Options, Output};
use crate::ragged::Ragged;
use crate::registry::{NST_THROUGH_NORM, NST_UNIT_ROWS};

/// Rows of bf16 start at multiples of so many values, as `Clouds` takes them.
const ALIGNMENT: usize = 8;

/// Values and gradients of checked rows.
pub(super) fn run(x: &Ragged<'_, Gpu>, y: &Ragged<'_, Gpu>) -> Result<Output<Buffer>> {
    let session = Session::begin("nst", x.points(), y.points())?;
    session.finish(|| {
        if x.points().width() == 0 {
            let value = vec![0.0; x.items()];
            return Ok(Output { value, grad_x: session.room(0)?, grad_y: session.room(0)? });
        }
        compare(&session, x, y, |_| Ok(())).map(|(output, ())| output)
    })
}

/// The same, with what is to be done with the gradients before the host waits for values.
pub(super) fn compare<R>(
    session: &Session<'_>,
    x: &Ragged<'_, Gpu>,
    y: &Ragged<'_, Gpu>,
    then: impl FnOnce(&[Buffer; 2]) -> Result<R>,
) -> Result<(Output<Buffer>, R)> {
    let clouds = Clouds::compact(session, x.points(), y.points())?;
    let offsets = [x.offsets(), y.offsets()];
    match clouds.form {
        Form::F32 => of_form::<f32, R>(session, &clouds, offsets, then),
        Form::BF16 => of_form::<bf16, R>(session, &clouds, offsets, then),
    }
}

fn of_form<T: Element, R>(
    session: &Session<'_>,
    clouds: &Clouds<'_>,
    offsets: [&[usize]; 2],
    then: impl FnOnce(&[Buffer; 2]) -> Result<R>,
) -> Result<(Output<Buffer>, R)>
where
    for<'b> DeviceValues<'b>: From<&'b DeviceBuffer<T>>,
{
    let units = [
        Units::<T>::new(session, clouds, &clouds.x)?,
        Units::<T>::new(session, clouds, &clouds.y)?,
    ];
    let x = Ragged::on_device(units[0].points(session)?, offsets[0])?;
    let y = Ragged::on_device(units[1].points(session)?, offsets[1])?;
    let options = Options::polynomial(2, 0.0);
    let launched = Launched::new(*session, &x, &y, &options)?;
    for (units, grad) in units.iter().zip(&launched.grads) {
        units.through_norm(session, grad)?;
    }
    let rest = then(&launched.grads)?;
    Ok((launched.output()?, rest))
}

/// Rows of length 1, with the lengths they had.
struct Units<T: Element> {
    rows: DeviceBuffer<T>,
    lengths: DeviceBuffer<f64>,
    count: u32,
    width: u32,
    pitch: u32,
    narrow: u32,
}

impl<T: Element> Units<T> {
    fn new(session: &Session<'_>, clouds: &Clouds<'_>, points: &Rows<'_>) -> Result<Self> {
        let (count, width) = (points.count, clouds.width);
        let pitch = width.next_multiple_of(ALIGNMENT as u32);
        let mut rows = session.room(count as usize * pitch as usize)?;
        let mut lengths = session.room(count as usize)?;
        let narrow = u32::from(clouds.form == Form::BF16);
        let kernel = session.kernel(&NST_UNIT_ROWS)?;
        let launch = Launch::new([count.div_ceil(8), 1, 1], [32, 8, 1]);
        let args = args![
            &mut rows,
            &mut lengths,
            points.at(),
            count,
            width,
            points.stride,
            pitch,
            narrow,
        ];
        // SAFETY: `rows` and `lengths` have room for all points, which are of the form.
        unsafe { session.launch(&kernel, launch, args)? };
        Ok(Self { rows, lengths, count, width, pitch, narrow })
    }

    fn points<'b>(&'b self, session: &Session<'b>) -> Result<DevicePoints<'b>>
    where
        DeviceValues<'b>: From<&'b DeviceBuffer<T>>,
    {
        let (count, width) = (self.count as usize, self.width as usize);
        DevicePoints::strided(session.stream, &self.rows, count, width, self.pitch as usize)
    }

    /// Takes a gradient by the rows to one by the points, in place.
    fn through_norm(&self, session: &Session<'_>, grad: &DeviceBuffer<f32>) -> Result<()> {
        let kernel = session.kernel(&NST_THROUGH_NORM)?;
        let launch = Launch::new([self.count.div_ceil(8), 1, 1], [32, 8, 1]);
        let args = args![
            gpu_runtime::Arg::address(grad.address()),
            &self.rows,
            &self.lengths,
            self.count,
            self.width,
            self.pitch,
            self.narrow,
        ];
        // SAFETY: the gradient has a row of `width` for each of the rows.
        unsafe { session.launch(&kernel, launch, args) }
    }
}
