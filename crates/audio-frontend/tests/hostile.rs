//! Damaged, absurd and arbitrary input: an error that says what and where, never a panic.

mod common;

use std::path::Path;

use audio_frontend::{AudioStream, ErrorKind, LoadOptions, Position, info, load, load_bytes};
use common::{Format, data, tone, wav};
use proptest::prelude::*;

fn error_of(bytes: &[u8]) -> audio_frontend::AudioError {
    load_bytes(bytes, &LoadOptions::default()).expect_err("damaged input is refused")
}

fn one_second() -> Vec<u8> {
    wav(&tone(440.0, 0.5, 16_000, 16_000), 16_000, 1, Format::Pcm16)
}

/// Overwrites bytes of a WAV header.
fn patched(at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = one_second();
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

#[test]
fn each_damage_has_its_own_message() {
    let huge_data = {
        let mut bytes = patched(40, &4_000_000_000_u32.to_le_bytes());
        bytes[4..8].copy_from_slice(&4_000_000_036_u32.to_le_bytes());
        bytes
    };
    let table: Vec<(&str, Vec<u8>, ErrorKind, &str)> = vec![
        (
            "empty",
            vec![],
            ErrorKind::Empty,
            "bytes: file is empty, expected a sound file, got 0 bytes",
        ),
        (
            "text",
            b"hello, this is not sound".repeat(40),
            ErrorKind::Unsupported,
            "not a known sound file",
        ),
        (
            "cut in header",
            one_second()[..30].to_vec(),
            ErrorKind::Truncated,
            "at byte 30: file ends inside its Wav header",
        ),
        (
            "cut in data",
            one_second()[..20_044].to_vec(),
            ErrorKind::Truncated,
            "file is cut short, expected 16000 samples a channel, got 10000",
        ),
        (
            "no samples",
            wav(&[], 16_000, 1, Format::Pcm16),
            ErrorKind::Empty,
            "file holds no samples",
        ),
        (
            "2e9 samples claimed",
            huge_data,
            ErrorKind::Truncated,
            "expected 2000000000 samples a channel, got 16000",
        ),
        ("rate 0", patched(24, &0_u32.to_le_bytes()), ErrorKind::Corrupt, "rate"),
        (
            "rate 4e9",
            patched(24, &4_000_000_000_u32.to_le_bytes()),
            ErrorKind::Corrupt,
            "absurd sample rate, expected 100 to 3072000 Hz, got 4000000000",
        ),
        ("no channel", patched(22, &0_u16.to_le_bytes()), ErrorKind::Corrupt, ""),
        ("65535 channels", patched(22, &[0xff, 0xff]), ErrorKind::Corrupt, ""),
        ("unknown codec tag", patched(20, &[0x77, 0x77]), ErrorKind::Unsupported, "cannot decode"),
    ];
    let mut faults = Vec::new();
    for (name, bytes, kind, text) in table {
        let error = error_of(&bytes);
        let message = error.to_string();
        if error.kind() != kind || !message.contains(text) {
            faults.push(format!("{name}: {:?}: {message}", error.kind()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_sample_that_is_not_a_number_is_named() {
    for (bad, text) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let mut samples = tone(440.0, 0.5, 16_000, 2 * 8_000);
        samples[2 * 4_000 + 1] = bad;
        let error = error_of(&wav(&samples, 16_000, 2, Format::Float32));
        assert_eq!(error.kind(), ErrorKind::NonFinite);
        let place = Position::Sample { index: 4_000, channel: 1, seconds: 0.25 };
        assert_eq!(error.position(), Some(place));
        assert!(error.to_string().starts_with(&format!(
            "bytes: at 0.250 s (sample 4000, channel 1): sample is not finite, expected a number, got {text} (hint: "
        )));
    }
}

#[test]
fn every_container_notices_that_it_was_cut() {
    for name in ["tone.flac", "tone.ogg", "tone.mp3", "tone.m4a"] {
        let bytes = std::fs::read(data(name)).unwrap();
        for percent in [10, 50, 80, 95] {
            let cut = bytes.len() * percent / 100;
            let error = error_of(&bytes[..cut]);
            let fits = matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Corrupt);
            assert!(fits && error.position().is_some(), "{name} at {percent} %: {error}");
        }
    }
}

#[test]
fn flipped_bits_in_flac_are_found() {
    let clean = std::fs::read(data("tone.flac")).unwrap();
    for at in [9_000, 15_000, clean.len() - 40] {
        let mut bytes = clean.clone();
        bytes[at] ^= 0x10;
        let error = error_of(&bytes);
        let fits = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Truncated);
        assert!(fits, "byte {at}: {error}");
    }
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip 7.wav");
    std::fs::write(&path, &one_second()[..9_000]).unwrap();
    let error = load(&path, &LoadOptions::default()).unwrap_err();
    assert_eq!(error.path(), Some(path.as_path()));
    assert!(error.to_string().starts_with(&format!("{}: at ", path.display())), "{error}");
    assert_eq!(info(&path).unwrap_err().kind(), ErrorKind::Truncated);

    let missing = load(folder.path().join("absent.wav"), &LoadOptions::default()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Io);
    assert!(std::error::Error::source(&missing).is_some());
    let directory = load(folder.path(), &LoadOptions::default()).unwrap_err();
    assert!(directory.to_string().ends_with("expected a sound file, got a directory"));
    assert_eq!(load(Path::new(""), &LoadOptions::default()).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn offsets_past_the_end_are_refused_with_the_length() {
    let long = std::fs::read(data("long.ogg")).unwrap();
    for (bytes, offset_s) in
        [(one_second(), 1.0), (one_second(), 1e9), (one_second(), 1e300), (long, 20.0)]
    {
        let options = LoadOptions { offset_s, ..Default::default() };
        let error = load_bytes(&bytes, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Range, "{offset_s}: {error}");
        let mut stream = AudioStream::from_bytes(&bytes, &options);
        let from_stream = match &mut stream {
            Ok(stream) => stream.next().unwrap().unwrap_err(),
            Err(_) => continue,
        };
        assert_eq!(from_stream.kind(), ErrorKind::Range);
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let bytes = one_second();
    let base = LoadOptions::default();
    let table = [
        LoadOptions { offset_s: -1.0, ..base },
        LoadOptions { offset_s: f64::NAN, ..base },
        LoadOptions { offset_s: f64::INFINITY, ..base },
        LoadOptions { duration_s: Some(0.0), ..base },
        LoadOptions { duration_s: Some(f64::NAN), ..base },
        LoadOptions { sample_rate: 0, ..base },
        LoadOptions { sample_rate: 1, ..base },
        LoadOptions { sample_rate: u32::MAX, ..base },
    ];
    for options in table {
        let error = load_bytes(&bytes, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Option, "{options:?}: {error}");
        assert!(error.hint().is_some());
    }
}

/// Loads from the start, from an offset, and as a stream; results do not matter, returning does.
fn swallow(bytes: &[u8]) {
    let _ = load_bytes(bytes, &LoadOptions::default());
    let late = LoadOptions { offset_s: 11.0, duration_s: Some(1.0), ..Default::default() };
    let _ = load_bytes(bytes, &late);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        swallow(&bytes);
    }

    #[test]
    fn arbitrary_bytes_behind_a_known_start_never_panic(
        start in prop::sample::select(vec![
            &b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0"[..], b"fLaC\0\0\0\x22", b"OggS\0\x02", b"ID3\x03",
            b"\xff\xfb\x90", b"\0\0\0\x18ftypM4A ", b"\xff\xf1\x50",
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..2048),
    ) {
        swallow(&[start, &rest].concat());
    }

    #[test]
    fn mutated_files_never_panic(
        name in prop::sample::select(vec!["wav", "tone.flac", "tone.ogg", "tone.mp3", "tone.m4a"]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        in_header in any::<bool>(),
        keep in 0.0..1.5_f64,
    ) {
        let mut bytes = match name {
            "wav" => one_second(),
            name => std::fs::read(data(name)).unwrap(),
        };
        let reach = if in_header { bytes.len().min(200) } else { bytes.len() };
        for (at, value) in edits {
            let at = at.index(reach);
            bytes[at] = value;
        }
        bytes.truncate((bytes.len() as f64 * keep.min(1.0)) as usize);
        swallow(&bytes);
    }
}
