//! TensorBoard event files, written without TensorFlow.
//!
//! A file is a sequence of records, each a hand-encoded `Event` message:
//!
//! ```text
//! u64 length   u32 masked CRC-32C of length   bytes   u32 masked CRC-32C of bytes
//! masked(crc) = rotate_right(crc, 15) + 0xa282ead8
//! ```
//!
//! All integers are little-endian. Of `Event` only what scalars need is written: `wall_time` (1,
//! double), `step` (2, varint), `file_version` (3, string), `summary` (5) with `value` (1) holding
//! `tag` (1) and `simple_value` (2, float), and `session_log` (7) with `status` (1).
//!
//! # Source
//!
//! `tensorflow/core/lib/io/record_writer.h` and `tensorflow/core/util/event.proto`; CRC-32C is
//! RFC 3720 appendix B.4.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// `SessionLog.SessionStatus.START`: readers drop points at or past its step.
const SESSION_START: u64 = 1;

/// Writes scalars of one run.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// Opens a new event file in `folder`, which is made if need be.
    ///
    /// `wall_time` is in seconds since 1970 and goes into the file's name. A resumed run gives the
    /// last step whose points stand; readers then drop those of later steps, which the broken run
    /// wrote.
    ///
    /// # Errors
    ///
    /// When the folder or the file cannot be made.
    pub fn create(folder: &Path, wall_time: f64, last_step: Option<u64>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{}: cannot make log folder", folder.display()))?;
        let (path, file) = create_new(folder, wall_time as u64)
            .with_context(|| format!("{}: cannot make event file", folder.display()))?;
        let mut writer = Self { path, file };
        let mut version = event(wall_time, 0);
        put_bytes(&mut version, 3, b"brain.Event:2");
        writer.append(&version)?;
        if let Some(last_step) = last_step {
            let mut session = Vec::new();
            put_varint_field(&mut session, 1, SESSION_START);
            let mut start = event(wall_time, last_step + 1);
            put_bytes(&mut start, 7, &session);
            writer.append(&start)?;
        }
        Ok(writer)
    }

    /// Writes the scalars of one step; tags with a slash (`train/loss`) are grouped by readers.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, as on a full disk.
    pub fn scalars<'a>(
        &mut self,
        step: u64,
        wall_time: f64,
        scalars: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> anyhow::Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            let mut item = Vec::new();
            put_bytes(&mut item, 1, tag.as_bytes());
            put_key(&mut item, 2, WireType::Fixed32);
            item.extend((value as f32).to_le_bytes());
            put_bytes(&mut summary, 1, &item);
        }
        let mut event = event(wall_time, step);
        put_bytes(&mut event, 5, &summary);
        self.append(&event)
    }

    fn append(&mut self, event: &[u8]) -> anyhow::Result<()> {
        // One write, so that a kill cuts at most this record.
        self.file
            .write_all(&record(event))
            .with_context(|| format!("{}: cannot write events", self.path.display()))
    }
}

/// A file whose name is not taken yet; runs that start in the same second get numbers.
fn create_new(folder: &Path, seconds: u64) -> std::io::Result<(PathBuf, File)> {
    for number in 0.. {
        let path = folder.join(format!("events.out.tfevents.{seconds:010}.{number}"));
        match File::create_new(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            file => return Ok((path, file?)),
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}

/// How a field's value is laid out, by its number in the key.
#[derive(Debug, Clone, Copy)]
enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

/// The start of an `Event`: `wall_time` and `step`.
fn event(wall_time: f64, step: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_key(&mut out, 1, WireType::Fixed64);
    out.extend(wall_time.to_le_bytes());
    put_varint_field(&mut out, 2, step);
    out
}

fn put_key(out: &mut Vec<u8>, field: u64, wire_type: WireType) {
    put_varint(out, field << 3 | wire_type as u64);
}

fn put_varint_field(out: &mut Vec<u8>, field: u64, value: u64) {
    put_key(out, field, WireType::Varint);
    put_varint(out, value);
}

fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_key(out, field, WireType::Bytes);
    put_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

/// Seven bits a byte, lowest first; the top bit says that more follow.
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(data.len() + 16);
    out.extend(length);
    out.extend(masked_crc32c(&length).to_le_bytes());
    out.extend(data);
    out.extend(masked_crc32c(data).to_le_bytes());
    out
}

/// The CRC, masked since a CRC over data that holds its own CRC is weak.
fn masked_crc32c(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected, one table look-up a byte.
fn crc32c(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = crc32c_table();
    !data.iter().fold(!0, |crc: u32, &byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

const fn crc32c_table() -> [u32; 256] {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_gives_the_published_values() {
        // RFC 3720 appendix B.4; "123456789" is the check value of the CRC catalogue.
        let rising: Vec<u8> = (0..32).collect();
        let falling: Vec<u8> = (0..32).rev().collect();
        for (data, crc) in [
            (&b""[..], 0),
            (b"123456789", 0xe306_9283),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&rising, 0x46dd_794e),
            (&falling, 0x113f_db5c),
        ] {
            assert_eq!(crc32c(data), crc, "{data:?}");
        }
    }

    #[test]
    fn the_mask_is_the_one_of_published_event_files() {
        // Event files of TensorFlow begin with these twelve bytes: a record of 24 bytes.
        let first = *b"\x18\0\0\0\0\0\0\0\xa3\x7fK\"";
        assert_eq!(record(&[0; 24])[..12], first);
    }

    #[test]
    fn varints_are_the_documented_bytes() {
        for (value, expected) in
            [(0, &[0][..]), (1, &[1]), (127, &[0x7f]), (128, &[0x80, 1]), (300, &[0xac, 2])]
        {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, expected);
        }
        let mut out = Vec::new();
        put_varint(&mut out, u64::MAX);
        assert_eq!(out.len(), 10);
    }

    /// The records of a file, checksums checked.
    fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            assert_eq!(word(8), masked_crc32c(&bytes[..8]));
            let data = &bytes[12..12 + length];
            assert_eq!(word(12 + length), masked_crc32c(data));
            records.push(data.to_vec());
            bytes = &bytes[16 + length..];
        }
        records
    }

    /// A field's value as its raw bytes or number.
    #[derive(Debug, PartialEq)]
    enum Field {
        Number(u64),
        Bytes(Vec<u8>),
    }

    /// The fields of a message, by number.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, Field)> {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            value
        }
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let value = if key & 7 == 0 {
                Field::Number(varint(&mut bytes))
            } else {
                let length = match key & 7 {
                    1 => 8,
                    5 => 4,
                    2 => varint(&mut bytes) as usize,
                    other => panic!("wire type {other}"),
                };
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(value.to_vec())
            };
            fields.push((key >> 3, value));
        }
        fields
    }

    #[test]
    fn scalars_parse_back_with_step_tag_and_value() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), 1.5, Some(7)).unwrap();
        let scalars = [("train/loss", 0.25), ("lr", f64::NAN)];
        writer.scalars(300, 2.5, scalars).unwrap();
        let records = records(&std::fs::read(&writer.path).unwrap());
        let time = |seconds: f64| (1, Field::Bytes(seconds.to_le_bytes().to_vec()));
        let [version, start, values] = &records[..] else { panic!("three records") };
        assert_eq!(
            fields(version),
            [time(1.5), (2, Field::Number(0)), (3, Field::Bytes(b"brain.Event:2".to_vec()))]
        );
        assert_eq!(
            fields(start),
            // Points of step 7 stand: readers drop those at or past the step of the start.
            [time(1.5), (2, Field::Number(8)), (7, Field::Bytes(vec![8, 1]))]
        );
        let values = fields(values);
        assert_eq!(values[..2], [time(2.5), (2, Field::Number(300))]);
        let (5, Field::Bytes(summary)) = &values[2] else { panic!("a summary") };
        let parsed: Vec<(String, f32)> = fields(summary)
            .into_iter()
            .map(|(number, item)| {
                let Field::Bytes(item) = item else { panic!("a message") };
                assert_eq!(number, 1);
                let item = fields(&item);
                let [(1, Field::Bytes(tag)), (2, Field::Bytes(value))] = &item[..] else {
                    panic!("tag and value")
                };
                let value = f32::from_le_bytes(value[..].try_into().unwrap());
                (String::from_utf8(tag.clone()).unwrap(), value)
            })
            .collect();
        assert_eq!(parsed[0], ("train/loss".to_string(), 0.25));
        assert!(parsed[1].0 == "lr" && parsed[1].1.is_nan());
    }

    #[test]
    fn writers_of_the_same_second_get_files_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let first = EventWriter::create(folder.path(), 9.2, None).unwrap();
        let second = EventWriter::create(folder.path(), 9.7, None).unwrap();
        assert_ne!(first.path, second.path);
        let name = first.path.file_name().unwrap().to_str().unwrap();
        assert_eq!(name, "events.out.tfevents.0000000009.0");
    }
}
