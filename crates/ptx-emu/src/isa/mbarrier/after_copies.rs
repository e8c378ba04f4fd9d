//! `cp.async.mbarrier.arrive`: an arrival when all earlier `cp.async` copies of the thread are there.

use super::{check, misuse, own, place};
use crate::class::Class;
use crate::error::PtxError;
use crate::isa::{Lowered, bulk};
use crate::lower::{Form, Lower};
use crate::machine::access::Access;
use crate::memory::traffic::lanes;
use crate::program::{Action, Flow};

pub(in crate::isa) fn lower(
    lower: &mut Lower<'_>,
    form: &mut Form<'_>,
) -> Result<Lowered, PtxError> {
    if !["async", "mbarrier", "arrive", "b64"].iter().all(|word| form.take(word)) {
        return Err(form.unknown(lower));
    }
    let counted = form.take("noinc");
    let [at] = form.operands(lower)?;
    let place = place(lower, form, at)?;
    let body = move |access: &mut Access<'_>| {
        let places = place.read(access)?;
        for lane in lanes(access.mask) {
            let offset = own(access, places[lane], lane)?;
            check(access, places[lane], lane)?;
            if !counted {
                access
                    .cta()
                    .mbarrier(offset)
                    .and_then(|object| object.add_pending())
                    .map_err(|text| misuse(offset, lane, &text))?;
            }
            let copies = access.warp.copies.hand_over(lane as u32);
            bulk::arrive_after(access, lane, copies, offset);
        }
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Sync))
}
