//! MP4 files of shapes that the encoder at hand does not write, built from the boxes of `tone.m4a`.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a broken file should panic")]

mod common;

use audio_frontend::AudioInfo;
use audio_frontend::{LoadOptions, info, load_bytes};
use common::data;

/// Samples of `tone.m4a` in AAC packets, the delay of 1024 included.
const N_MEDIA: u32 = 53_944;

fn tone() -> Vec<u8> {
    std::fs::read(data("tone.m4a")).unwrap()
}

fn native(bytes: &[u8]) -> Vec<f32> {
    let options = LoadOptions { sample_rate: 44_100, ..LoadOptions::default() };
    load_bytes(bytes, &options).unwrap().samples
}

fn header(bytes: &[u8]) -> AudioInfo {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    info(file.path()).unwrap()
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
}

fn boxed(name: &str, body: &[u8]) -> Vec<u8> {
    [&words(&[8 + body.len() as u32]), name.as_bytes(), body].concat()
}

/// The body of the box at `path`.
fn body<'a>(mut bytes: &'a [u8], path: &[&str]) -> &'a [u8] {
    for name in path {
        bytes = loop {
            let size = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
            if &bytes[4..8] == name.as_bytes() {
                break &bytes[8..size];
            }
            bytes = &bytes[size..];
        };
    }
    bytes
}

/// A copy of the box at `path`.
fn copied(bytes: &[u8], path: &[&str]) -> Vec<u8> {
    boxed(path.last().unwrap(), body(bytes, path))
}

/// Sizes of the packets.
fn sizes(m4a: &[u8]) -> Vec<u32> {
    let table = body(m4a, &["moov", "trak", "mdia", "minf", "stbl", "stsz"]);
    table[12..].chunks(4).map(|n| u32::from_be_bytes(n.try_into().unwrap())).collect()
}

/// A track like that of `m4a` with another id and other tables: `stts`, `stsc`, `stsz` and `stco`.
fn track(m4a: &[u8], id: u32, edts: &[u8], tables: [&[u32]; 4]) -> Vec<u8> {
    let mut tkhd = body(m4a, &["moov", "trak", "tkhd"]).to_vec();
    tkhd[12..16].copy_from_slice(&words(&[id]));
    let mut mdhd = body(m4a, &["moov", "trak", "mdia", "mdhd"]).to_vec();
    mdhd[16..20].fill(0);
    let minf = ["moov", "trak", "mdia", "minf"];
    let mut stbl = copied(m4a, &[&minf[..], &["stbl", "stsd"]].concat());
    for (name, table) in ["stts", "stsc", "stsz", "stco"].into_iter().zip(tables) {
        stbl.extend(boxed(name, &words(table)));
    }
    let minf = [
        copied(m4a, &[&minf[..], &["smhd"]].concat()),
        copied(m4a, &[&minf[..], &["dinf"]].concat()),
        boxed("stbl", &stbl),
    ];
    let mdia = [
        boxed("mdhd", &mdhd),
        copied(m4a, &["moov", "trak", "mdia", "hdlr"]),
        boxed("minf", &minf.concat()),
    ];
    boxed("trak", &[&boxed("tkhd", &tkhd), edts, &boxed("mdia", &mdia.concat())].concat())
}

/// `m4a` with other contents of `moov`, which lies at its end.
fn with_moov(m4a: &[u8], boxes: &[Vec<u8>]) -> Vec<u8> {
    let at = m4a.len() - 8 - body(m4a, &["moov"]).len();
    assert_eq!(&m4a[at + 4..at + 8], b"moov");
    [&m4a[..at], &boxed("moov", &boxes.concat())].concat()
}

/// Where the packets start.
fn mdat_at(m4a: &[u8]) -> u32 {
    m4a.windows(4).position(|bytes| bytes == b"mdat").unwrap() as u32 + 4
}

/// The packets of `m4a` many times over, in one chunk.
fn repeated(m4a: &[u8], times: usize) -> Vec<u8> {
    let sizes = sizes(m4a);
    let n = (sizes.len() * times) as u32;
    let ftyp = copied(m4a, &["ftyp"]);
    let stsz = [&[0, 0, n], &sizes.repeat(times)[..]].concat();
    let stco = [0, 1, ftyp.len() as u32 + 8];
    let tables: [&[u32]; 4] = [&[0, 1, n, 1024], &[0, 1, 1, n, 1], &stsz, &stco];
    let edts = copied(m4a, &["moov", "trak", "edts"]);
    let moov = [copied(m4a, &["moov", "mvhd"]), track(m4a, 1, &edts, tables)];
    let packets = body(m4a, &["mdat"])[..sizes.iter().sum::<u32>() as usize].repeat(times);
    [ftyp, boxed("mdat", &packets), boxed("moov", &moov.concat())].concat()
}

/// `m4a` whose edit list says `(duration, start)`.
fn edited(m4a: &[u8], duration: u32, start: u32) -> Vec<u8> {
    let mut bytes = m4a.to_vec();
    let at = bytes.windows(4).position(|bytes| bytes == b"elst").unwrap() + 12;
    bytes[at..at + 8].copy_from_slice(&words(&[duration, start]));
    bytes
}

#[test]
fn an_edit_list_cuts_both_ends() {
    let m4a = tone();
    let all = native(&edited(&m4a, 0, 0));
    assert_eq!(all.len(), N_MEDIA as usize);
    for (duration, start, want) in [
        (52_920, 1024, 1024..53_944),
        (50_000, 2112, 2112..52_112),
        (1, 0, 0..1),
        // No duration, and one beyond the end, reach to the end.
        (0, 1024, 1024..53_944),
        (u32::MAX, 1024, 1024..53_944),
        // Nothing would be left, or nothing is played.
        (52_920, N_MEDIA, 0..53_944),
        (52_920, u32::MAX, 0..53_944),
    ] {
        let bytes = edited(&m4a, duration, start);
        assert!(native(&bytes) == all[want.clone()], "{duration} from {start}");
        assert_eq!(header(&bytes).n_frames, Some(want.len() as u64), "{duration} from {start}");
    }
}

#[test]
fn lengths_of_a_coarse_movie_clock_are_rounded_up() {
    let mut bytes = edited(&tone(), 79, 1024);
    let at = bytes.windows(4).position(|bytes| bytes == b"mvhd").unwrap() + 16;
    bytes[at..at + 4].copy_from_slice(&words(&[66]));
    // 79 / 66 s are 52 786.4 samples.
    assert!(native(&bytes) == native(&tone())[..52_787]);
}

#[test]
fn what_a_long_recording_was_trimmed_to_is_read() {
    let m4a = tone();
    // 4240 packets, of which the edit list of the tone presents the first 53.
    assert!(native(&repeated(&m4a, 80)) == native(&m4a));
}

#[test]
fn offsets_count_from_the_edit_even_behind_a_seek() {
    let m4a = tone();
    let bytes = repeated(&edited(&m4a, 0, 1024), 10);
    let whole = native(&bytes);
    assert_eq!(whole.len(), sizes(&m4a).len() * 10 * 1024 - 1024);
    for offset_s in [0.25, 1.0, 11.5] {
        let options = LoadOptions { sample_rate: 44_100, offset_s, duration_s: Some(0.5) };
        let part = load_bytes(&bytes, &options).unwrap().samples;
        let start = (offset_s * 44_100.0).round() as usize;
        let want = &whole[start..start + 22_050];
        let worst = part.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert_eq!(part.len(), want.len());
        assert!(worst < 1e-5, "at {offset_s} s differs by {worst}");
    }
}

#[test]
fn a_fragmented_file_without_a_length_is_read_to_its_end() {
    let m4a = tone();
    let sizes = sizes(&m4a);
    let edts = copied(&edited(&m4a, 0, 1024), &["moov", "trak", "edts"]);
    let none: [&[u32]; 4] = [&[0, 0], &[0, 0], &[0, 0, 0], &[0, 0]];
    let moov = [
        copied(&m4a, &["moov", "mvhd"]),
        track(&m4a, 1, &edts, none),
        boxed("mvex", &boxed("trex", &words(&[0, 1, 1, 1024, 0, 0]))),
    ];
    let moof = |offset: u32| {
        // Data offset and the size of each packet are present; the base is this box.
        let mut trun = words(&[0x201, sizes.len() as u32, offset]);
        trun.extend(words(&sizes));
        let traf = [boxed("tfhd", &words(&[0x2_0000, 1])), boxed("trun", &trun)];
        boxed("moof", &[boxed("mfhd", &words(&[0, 1])), boxed("traf", &traf.concat())].concat())
    };
    let bytes = [
        copied(&m4a, &["ftyp"]),
        boxed("moov", &moov.concat()),
        moof(moof(0).len() as u32 + 8),
        copied(&m4a, &["mdat"]),
    ];
    let bytes = bytes.concat();
    let (got, want) = (native(&bytes), native(&m4a));
    // The padding of the last packet stays: only a known length could cut it.
    assert_eq!(got.len(), sizes.len() * 1024 - 1024);
    assert!(got[..want.len()] == want);
    let header = header(&bytes);
    assert_eq!((header.n_frames, header.duration_s), (None, None));
}

#[test]
fn packets_of_a_longer_track_do_not_count_as_silence() {
    let m4a = tone();
    // 5000 packets of a byte each, all but the first after the sound.
    let stts = [0, 2, 1, 60_000, 4_999, 1];
    let stco = [0, 1, mdat_at(&m4a)];
    let tables: [&[u32]; 4] = [&stts, &[0, 1, 1, 5_000, 1], &[0, 1, 5_000], &stco];
    let moov = [
        copied(&m4a, &["moov", "mvhd"]),
        copied(&m4a, &["moov", "trak"]),
        track(&m4a, 2, &[], tables),
    ];
    assert!(native(&with_moov(&m4a, &moov)) == native(&m4a));
}
