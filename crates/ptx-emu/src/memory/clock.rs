//! Vector clocks: what each warp of a CTA has seen of the others.
//!
//! A warp counts its releases (barriers, fences). Access A happens before access B when B's warp has
//! seen A's count. Beyond the warps there is one more party: copies that run on their own.
//!
//! To release, a party hands out its clock and then advances, so that what it does afterwards is not
//! covered by what it handed out. To acquire, it joins the clock that it was given.

/// Warps that a CTA can have.
pub(crate) const WARPS: usize = 32;
/// The party of asynchronous copies.
pub(crate) const COPIES: usize = WARPS;

/// Counts that a party has seen, its own among them; then the counts of each party up to which a
/// fence between the ordinary and the asynchronous proxy follows, as far as is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock(pub(crate) [u32; WARPS + 1], [u32; WARPS + 1]);

impl Default for Clock {
    fn default() -> Clock {
        Clock([0; WARPS + 1], [0; WARPS + 1])
    }
}

impl Clock {
    /// The clock of party `own` at the start: it has seen itself alone.
    pub(crate) fn start(own: usize) -> Clock {
        let mut clock = Clock::default();
        clock.0[own] = 1;
        clock
    }

    /// Sees all that `other` has seen.
    pub(crate) fn join(&mut self, other: &Clock) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = (*mine).max(*theirs);
        }
        for (mine, theirs) in self.1.iter_mut().zip(&other.1) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// What follows is later than what this party has released.
    pub(crate) fn advance(&mut self, own: usize) {
        self.0[own] += 1;
    }

    /// `fence.proxy.async`: what this party has stored or seen is pushed past the ordinary proxy. The
    /// memory model asks for a fence anywhere between a store and the copy that reads it.
    pub(crate) fn fence_proxy(&mut self, own: usize) {
        for (fenced, seen) in self.1.iter_mut().zip(&self.0) {
            *fenced = (*fenced).max(*seen);
        }
        self.advance(own);
    }

    /// Whether what `writer` stored at `count` is known to be pushed past its proxy.
    pub(crate) fn is_fenced(&self, writer: usize, count: u32) -> bool {
        self.1[writer] >= count
    }

    /// Party `own` leaves at `place` what it has done and seen, for those who join it there.
    pub(crate) fn release(&mut self, place: &mut Clock, own: usize) {
        place.join(self);
        self.advance(own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_covers_what_came_before_it_alone() {
        let (mut one, mut two) = (Clock::start(0), Clock::start(1));
        let mut place = Clock::default();
        one.release(&mut place, 0);
        two.join(&place);
        assert_eq!(two.0[0], 1, "what one did first is seen");
        assert!(two.0[0] < one.0[0], "what one does now is not");
        assert_eq!(two.0[1], 1, "joining does not change one's own count");
    }

    #[test]
    fn a_place_keeps_what_each_has_left_there() {
        let (mut one, mut two, mut place) = (Clock::start(0), Clock::start(1), Clock::default());
        one.release(&mut place, 0);
        two.release(&mut place, 1);
        assert_eq!((place.0[0], place.0[1]), (1, 1));
        assert_eq!((one.0[1], two.0[0]), (0, 0), "a release shows nothing to the one who releases");
    }

    #[test]
    fn a_proxy_fence_covers_earlier_stores() {
        let (mut one, mut two) = (Clock::start(0), Clock::start(1));
        let before = one.0[0];
        one.fence_proxy(0);
        two.join(&one);
        assert!(two.is_fenced(0, before));
        assert!(!two.is_fenced(0, one.0[0]), "later stores are not covered");
        assert!(!two.is_fenced(1, two.0[1]));
        let stored = two.0[1];
        two.release(&mut one, 1);
        one.fence_proxy(0);
        assert!(one.is_fenced(1, stored), "stores that were seen are covered too");
    }

    #[test]
    fn seeing_is_handed_on() {
        let (mut one, mut two, mut three) = (Clock::start(0), Clock::start(1), Clock::start(2));
        let (mut first, mut second) = (Clock::default(), Clock::default());
        one.release(&mut first, 0);
        two.join(&first);
        two.release(&mut second, 1);
        three.join(&second);
        assert_eq!((three.0[0], three.0[1]), (1, 1));
    }
}
