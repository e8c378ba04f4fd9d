//! The rules of the record, on a few words and made-up clocks.

use super::*;

/// Two warps and the shadow of 64 bytes.
struct Scene {
    shadow: SharedShadow,
    clocks: [Clock; 3],
}

fn scene() -> Scene {
    let mut shadow = SharedShadow::default();
    shadow.reset(64);
    Scene { shadow, clocks: [0, 1, 2].map(Clock::start) }
}

fn party(warp: usize, lane: u32) -> Party {
    Party { index: warp, lane, line: 10 + warp as u32 }
}

impl Scene {
    fn read(&mut self, warp: usize, lane: u32, offset: u32, bytes: u32) -> Option<String> {
        let clock = self.clocks[warp];
        self.shadow.read(offset, bytes, party(warp, lane), &clock).err().map(|t| t.detail)
    }

    fn write(&mut self, warp: usize, lane: u32, offset: u32, bytes: u32) -> Option<String> {
        let clock = self.clocks[warp];
        self.shadow.write(offset, bytes, party(warp, lane), &clock).err().map(|t| t.detail)
    }

    /// All warps meet.
    fn barrier(&mut self) {
        let mut place = Clock::default();
        self.clocks.iter().for_each(|clock| place.join(clock));
        for (warp, clock) in self.clocks.iter_mut().enumerate() {
            clock.join(&place);
            clock.advance(warp);
        }
    }
}

#[test]
fn each_pair_with_a_write_is_a_race_until_a_barrier() {
    let mut s = scene();
    assert_eq!(s.write(0, 3, 8, 4), None);
    let text = s.read(1, 0, 8, 4).unwrap();
    assert!(text.starts_with("reads shared memory at 0x8 that warp 0 wrote at line 10"), "{text}");
    let text = s.write(1, 0, 8, 4).unwrap();
    assert!(text.starts_with("writes shared memory at 0x8 that warp 0 wrote"), "{text}");
    s.barrier();
    assert_eq!(s.read(1, 0, 8, 4), None);
    let text = s.write(0, 3, 8, 4).unwrap();
    assert!(text.starts_with("writes shared memory at 0x8 that warp 1 read at line 11"), "{text}");
    s.barrier();
    assert_eq!(s.write(0, 3, 8, 4), None);
}

#[test]
fn a_write_must_be_after_all_of_many_reads() {
    let mut s = scene();
    assert_eq!(s.read(0, 0, 0, 16), None);
    assert_eq!(s.read(1, 0, 0, 16), None);
    assert_eq!(s.read(2, 0, 0, 16), None);
    // Warp 2 has seen warp 0 but not warp 1.
    let seen = s.clocks[0];
    s.clocks[2].join(&seen);
    let text = s.write(2, 0, 4, 4).unwrap();
    assert!(text.contains("warp 1 read"), "{text}");
    let seen = s.clocks[1];
    s.clocks[2].join(&seen);
    assert_eq!(s.write(2, 0, 4, 4), None);
    assert!(s.read(0, 0, 4, 4).is_some(), "the write is the latest");
    assert_eq!(s.read(0, 0, 8, 4), None, "other words are not touched");
}

#[test]
fn lanes_of_a_warp_must_meet() {
    let mut s = scene();
    assert_eq!(s.write(0, 3, 8, 4), None);
    assert_eq!(s.read(0, 3, 8, 4), None, "a lane sees its own writes");
    let text = s.read(0, 4, 8, 4).unwrap();
    assert!(text.contains("lane 3 of the same warp wrote"), "{text}");
    s.clocks[0].advance(0);
    assert_eq!(s.read(0, 4, 8, 4), None);
    assert_eq!(s.read(0, 5, 8, 4), None);
    let text = s.write(0, 5, 8, 4).unwrap();
    assert!(text.contains("other lanes of the same warp read"), "{text}");
    s.clocks[0].advance(0);
    assert_eq!(s.write(0, 5, 8, 4), None);
}

#[test]
fn halves_of_a_word_are_apart() {
    let mut s = scene();
    // Each lane reads and writes its own half, as bf16 in place.
    for (warp, offset) in [(0, 0), (1, 2)] {
        assert_eq!(s.read(warp, 0, offset, 2), None);
        assert_eq!(s.write(warp, 0, offset, 2), None);
        assert_eq!(s.read(warp, 0, offset, 2), None);
    }
    let text = s.read(1, 0, 0, 4).unwrap();
    assert!(text.contains("at 0x0 that warp 0 wrote"), "{text}");
    let text = s.write(0, 0, 0, 4).unwrap();
    assert!(text.contains("at 0x2 that warp 1 wrote"), "{text}");
    s.barrier();
    assert_eq!(s.write(0, 0, 0, 4), None);
    assert!(s.read(1, 0, 3, 1).is_some());
}

#[test]
fn a_word_keeps_its_record_when_it_is_split() {
    let mut s = scene();
    assert_eq!(s.read(0, 0, 4, 4), None);
    assert_eq!(s.read(1, 0, 4, 4), None);
    assert!(s.write(2, 0, 6, 1).unwrap().contains("at 0x6 that warp 0 read"));
    s.barrier();
    assert_eq!(s.write(2, 0, 6, 1), None);
    assert!(s.read(0, 0, 4, 4).unwrap().contains("at 0x6 that warp 2 wrote"));
    assert_eq!(s.read(0, 0, 5, 1), None);
}

#[test]
fn nobody_touches_the_place_of_a_copy_in_flight() {
    let mut s = scene();
    let clock = s.clocks[0];
    assert_eq!(s.shadow.begin_copy(16, 16, party(0, 7), &clock), Ok(()));
    assert!(s.read(0, 7, 16, 4).unwrap().contains("copy of line 10 is on its way"));
    assert!(s.write(0, 7, 28, 4).is_some());
    s.barrier();
    assert!(s.read(1, 0, 20, 4).is_some(), "a barrier does not wait for copies");
    let now = s.clocks[0].0[0];
    s.shadow.end_copy(16, 16, party(0, 7), now);
    assert_eq!(s.read(0, 7, 16, 4), None, "the lane that waited sees it");
    assert!(s.read(0, 8, 20, 4).is_some(), "other lanes must meet it");
    assert!(s.read(1, 0, 24, 4).is_some());
    s.barrier();
    assert_eq!(s.read(1, 0, 24, 4), None);
}

#[test]
fn a_copy_may_not_begin_where_others_still_read() {
    let mut s = scene();
    assert_eq!(s.read(1, 2, 16, 4), None);
    let clock = s.clocks[0];
    assert!(s.shadow.begin_copy(16, 16, party(0, 7), &clock).is_err());
    s.barrier();
    let clock = s.clocks[0];
    assert_eq!(s.shadow.begin_copy(16, 16, party(0, 7), &clock), Ok(()));
}
