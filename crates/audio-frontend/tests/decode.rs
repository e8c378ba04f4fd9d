//! What loading promises: values, mixing, cutting, streaming, every container.

mod common;

use std::io::{Cursor, Write};

use audio_frontend::{
    AudioStream, ErrorKind, LoadOptions, info, load, load_bytes, load_reader, resample,
};
use common::{Format, amplitude_at, data, tone, wav};

fn native(rate: u32) -> LoadOptions {
    LoadOptions { sample_rate: rate, ..LoadOptions::default() }
}

fn noise(n: usize) -> Vec<f32> {
    let mut state = 7_u32;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect()
}

#[test]
fn float_samples_come_back_bit_for_bit_even_beyond_one() {
    let samples = [0.0, 1.0, -1.0, 1.5, -3.25, 1e-20, 0.1];
    let waveform = load_bytes(&wav(&samples, 16_000, 1, Format::Float32), &native(16_000)).unwrap();
    assert_eq!(waveform.samples, samples);
    assert_eq!(waveform.duration_s(), 7.0 / 16_000.0);
}

#[test]
fn sixteen_bit_samples_are_divided_by_32768() {
    let samples = [0.0, 0.5, -1.0, 32_767.0 / 32_768.0];
    let waveform = load_bytes(&wav(&samples, 8_000, 1, Format::Pcm16), &native(8_000)).unwrap();
    assert_eq!(waveform.samples, samples);
}

#[test]
fn channels_are_averaged() {
    for channels in [1_u16, 2, 3, 6] {
        let frames = noise(1000 * usize::from(channels));
        let bytes = wav(&frames, 16_000, channels, Format::Float32);
        let got = load_bytes(&bytes, &native(16_000)).unwrap().samples;
        assert_eq!(got.len(), 1000);
        for (got, frame) in got.iter().zip(frames.chunks(usize::from(channels))) {
            let want = frame.iter().sum::<f32>() / f32::from(channels);
            assert!((got - want).abs() < 1e-6);
        }
    }
}

#[test]
fn path_reader_and_bytes_agree() {
    let bytes = wav(&noise(5000), 44_100, 2, Format::Pcm16);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    let options = LoadOptions::default();
    let from_bytes = load_bytes(&bytes, &options).unwrap();
    assert_eq!(load(file.path(), &options).unwrap(), from_bytes);
    assert_eq!(load_reader(Cursor::new(&bytes), &options).unwrap(), from_bytes);
}

#[test]
fn resampling_on_the_way_equals_resampling_after() {
    let samples = noise(30_000);
    let bytes = wav(&samples, 44_100, 1, Format::Float32);
    let got = load_bytes(&bytes, &LoadOptions::default()).unwrap();
    assert_eq!(got.samples, resample(&samples, 44_100, 16_000).unwrap());
}

#[test]
fn offset_and_duration_give_the_slice_of_the_whole() {
    for rate in [8_000, 16_000, 22_050, 44_100, 48_000] {
        let bytes = wav(&noise(rate as usize * 2), rate, 1, Format::Float32);
        let whole = load_bytes(&bytes, &LoadOptions::default()).unwrap().samples;
        let cuts =
            [(0.0, 0.1), (0.001, 0.5), (0.37, 0.25), (1.5, 9.0), (1.999, 0.001), (0.8, 1e-9)];
        for (offset_s, duration_s) in cuts {
            let options =
                LoadOptions { offset_s, duration_s: Some(duration_s), ..Default::default() };
            let part = load_bytes(&bytes, &options).unwrap().samples;
            let start = (offset_s * 16_000.0_f64).round() as usize;
            let end =
                (start + ((duration_s * 16_000.0_f64).round() as usize).max(1)).min(whole.len());
            assert!(part == whole[start..end], "{rate} Hz, {offset_s} s, {duration_s} s");
        }
    }
}

#[test]
fn offsets_behind_a_seek_give_the_slice_of_the_whole() {
    let wav_bytes = wav(&noise(8_000 * 14), 8_000, 1, Format::Pcm16);
    let mut sounds = vec![("wav", wav_bytes)];
    for name in ["long.mp3", "long.ogg"] {
        sounds.push((name, std::fs::read(data(name)).unwrap()));
    }
    for (name, bytes) in sounds {
        let whole = load_bytes(&bytes, &LoadOptions::default()).unwrap().samples;
        for offset_s in [9.5, 11.25, 12.034, 13.5] {
            let options = LoadOptions { offset_s, duration_s: Some(0.4), ..Default::default() };
            let part = load_bytes(&bytes, &options).unwrap().samples;
            let start = (offset_s * 16_000.0_f64).round() as usize;
            let want = &whole[start..start + 6_400];
            let worst = part.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert_eq!(part.len(), want.len(), "{name} {offset_s}");
            assert!(worst < 1e-5, "{name} at {offset_s} s differs by {worst}");
        }
    }
}

#[test]
fn blocks_of_any_length_join_to_the_whole() {
    let bytes = wav(&noise(50_000), 44_100, 2, Format::Pcm16);
    let whole = load_bytes(&bytes, &LoadOptions::default()).unwrap().samples;
    for block_len in [1, 7, 160, 4096, 1_000_000] {
        let stream = AudioStream::from_bytes(&bytes, &LoadOptions::default()).unwrap();
        let blocks: Vec<Vec<f32>> =
            stream.with_block_len(block_len).unwrap().collect::<Result<_, _>>().unwrap();
        let (last, full) = blocks.split_last().unwrap();
        assert!(full.iter().all(|block| block.len() == block_len) && !last.is_empty());
        assert!(blocks.concat() == whole, "blocks of {block_len}");
    }
    let stream = AudioStream::from_bytes(&bytes, &LoadOptions::default()).unwrap();
    assert_eq!(stream.with_block_len(0).err().unwrap().kind(), ErrorKind::Option);
}

#[test]
fn a_stream_that_has_ended_stays_ended() {
    let bytes = wav(&noise(100), 16_000, 1, Format::Pcm16);
    let mut stream = AudioStream::from_bytes(&bytes, &LoadOptions::default()).unwrap();
    assert_eq!(stream.next().unwrap().unwrap().len(), 100);
    assert!(stream.next().is_none() && stream.next().is_none());
}

#[test]
fn every_container_holds_the_tones() {
    // Delay and padding are trimmed, except those of raw AAC.
    let table = [
        ("tone.flac", 1.2),
        ("tone.ogg", 1.2),
        ("tone.mp3", 1.2),
        ("tone.m4a", 1.2),
        ("tone.aac", 1.25),
    ];
    for (name, longest_s) in table {
        let waveform = load(data(name), &LoadOptions::default()).unwrap();
        let length = waveform.duration_s();
        assert!((1.1999..=longest_s + 1e-3).contains(&length), "{name}: {length} s");
        for (hz, want) in [(440.0, 0.25), (660.0, 0.125)] {
            let got = amplitude_at(&waveform.samples, 16_000, hz);
            assert!((got - want).abs() < 0.02, "{name}: {hz} Hz has amplitude {got}");
        }
        assert!(amplitude_at(&waveform.samples, 16_000, 3_000.0) < 0.002, "{name}");
    }
}

#[test]
fn sound_starts_where_it_started_before_it_was_coded() {
    for (name, rate) in
        [("tone.flac", 11_025), ("tone.ogg", 44_100), ("tone.mp3", 44_100), ("tone.m4a", 44_100)]
    {
        let got = load(data(name), &native(rate)).unwrap().samples;
        let (left, right) = (tone(440.0, 0.5, rate, got.len()), tone(660.0, 0.25, rate, got.len()));
        let want: Vec<f32> = left.iter().zip(&right).map(|(l, r)| 0.5 * (l + r)).collect();
        // The two tones repeat every 200 samples or less, AAC's delay is 5.1 times that.
        let inner = 5_000..got.len() - 2_000;
        let likeness = |late: usize| -> f64 {
            let was = &want[inner.start - 50..inner.end - 50];
            let is = &got[inner.start - 100 + late..inner.end - 100 + late];
            is.iter().zip(was).map(|(x, y)| f64::from(x * y)).sum()
        };
        let late = (0..=100).max_by(|&a, &b| likeness(a).total_cmp(&likeness(b)));
        assert_eq!(late, Some(50), "{name}");
    }
}

#[test]
fn the_header_agrees_with_the_sound() {
    for (name, rate) in
        [("tone.flac", 11_025), ("tone.ogg", 44_100), ("tone.mp3", 44_100), ("tone.m4a", 44_100)]
    {
        let header = info(data(name)).unwrap();
        let frames = load(data(name), &native(rate)).unwrap().samples.len() as u64;
        assert_eq!((header.sample_rate, header.channels), (rate, 2), "{name}");
        assert_eq!(header.n_frames, Some(frames), "{name}");
        assert_eq!(header.duration_s, Some(frames as f64 / f64::from(rate)), "{name}");
    }
}

#[test]
fn trailing_bytes_after_the_sound_are_tolerated() {
    for name in ["tone.flac", "tone.ogg", "tone.mp3"] {
        let clean = std::fs::read(data(name)).unwrap();
        let want = load_bytes(&clean, &LoadOptions::default()).unwrap();
        let mut dirty = clean;
        dirty.extend_from_slice(&[0; 300]);
        assert!(load_bytes(&dirty, &LoadOptions::default()).unwrap() == want, "{name}");
    }
    let mut bytes = wav(&tone(440.0, 0.5, 16_000, 500), 16_000, 1, Format::Pcm16);
    bytes.extend(b"junk of any kind");
    assert_eq!(load_bytes(&bytes, &LoadOptions::default()).unwrap().samples.len(), 500);
}

#[test]
fn one_sample_is_a_sound() {
    let waveform = load_bytes(&wav(&[0.5], 16_000, 1, Format::Pcm16), &native(16_000)).unwrap();
    assert_eq!(waveform.samples, [0.5]);
    let up = load_bytes(&wav(&[0.5], 8_000, 1, Format::Pcm16), &native(16_000)).unwrap();
    assert_eq!(up.samples.len(), 2);
}
