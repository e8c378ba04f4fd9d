#!/usr/bin/env python3
"""Makes the recordings of microworld smaller without changing a sample of them.

An Ogg Vorbis clip of some seconds is one fifth codebooks, and all clips hold the same. So the clips of each article of the
training split become one recording, packet by packet, and their manifest lines say where in it they lie. Then OptiVorbis
writes every file anew with the shortest codes for its packets (https://github.com/OptiVorbis/OptiVorbis).

Usage
    pack_recordings.py --corpus DIR --out DIR --optivorbis PROGRAM    # PROGRAM IN.ogg OUT.ogg

DIR is what make_microworld.py wrote. Needs nothing but Python.
"""
import argparse, itertools, json, os, struct, subprocess, tempfile

RATE = 16000
LAST_PAGE, FIRST_PAGE = 4, 2


def crc_table():
    for byte in range(256):
        r = byte << 24
        for _ in range(8):
            r = (r << 1) & 0xFFFFFFFF ^ (0x04C11DB7 if r >> 31 else 0)
        yield r


CRC = list(crc_table())


def crc(data):
    c = 0
    for byte in data:
        c = (c << 8) & 0xFFFFFFFF ^ CRC[c >> 24 ^ byte]
    return c


def packets(data):
    """The packets of an Ogg file of one stream, and the number of samples that it says it has."""
    out, packet, at, samples = [], b"", 0, 0
    while at < len(data):
        samples, lacing = struct.unpack_from("<q", data, at + 6)[0], data[at + 27: at + 27 + data[at + 26]]
        at += 27 + len(lacing)
        for length in lacing:
            packet += data[at: at + length]
            at += length
            if length < 255:
                out.append(packet)
                packet = b""
    return out, samples


def page(flags, granule, number, pieces):
    lacing = bytes(itertools.chain.from_iterable([255] * (len(p) // 255) + [len(p) % 255] for p in pieces))
    head = b"OggS" + struct.pack("<BBqIII", 0, flags, granule, 1, number, 0) + bytes([len(lacing)]) + lacing
    whole = head + b"".join(pieces)
    return whole[:22] + struct.pack("<I", crc(whole)) + whole[26:]


def ogg(headers, sound):
    """An Ogg file of three header packets and of (packet, samples until its end) pairs."""
    pages = [page(FIRST_PAGE, 0, 0, headers[:1]), page(0, 0, 1, headers[1:])]
    pieces, used, end = [], 0, 0
    for packet, samples in sound:
        segments = len(packet) // 255 + 1
        if used + segments > 255:
            pages.append(page(0, end, len(pages), pieces))
            pieces, used = [], 0
        pieces, used, end = pieces + [packet], used + segments, samples
    return b"".join(pages + [page(LAST_PAGE, end, len(pages), pieces)])


def join(clips):
    """One recording of clips by the same encoder, and (first sample, samples) of each clip in it.

    Two neighbouring packets overlap, and give a quarter of both their lengths in samples. The first packet of a clip
    overlaps with the last one of the clip before, which gives samples of neither: a clip begins behind them.
    """
    first, sound, places, end, before = packets(clips[0])[0], [], [], 0, 0
    lengths = 1 << (first[0][28] & 15), 1 << (first[0][28] >> 4)
    for clip in clips:
        parts, samples = packets(clip)
        assert parts[0] == first[0] and parts[2] == first[2], "clips of other codebooks"
        for k, packet in enumerate(parts[3:]):
            length = lengths[packet[0] >> 1 & 1]  # libvorbis has two modes, a bit behind the bit of the packet's kind
            end += (before + length) // 4 if before else 0
            before = length
            if k == 0:
                places.append((end, samples))
            sound.append((packet, end))
        assert end >= sum(places[-1]), "a clip shorter than it says"
    return ogg(first[:3], sound), places


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--corpus", required=True); ap.add_argument("--out", required=True); ap.add_argument("--optivorbis", required=True)
    args = ap.parse_args()
    os.makedirs(f"{args.out}/audio", exist_ok=True)
    rows = [json.loads(line) for line in open(f"{args.corpus}/manifest.jsonl")]
    read = lambda row: open(f"{args.corpus}/{row['audio']}", "rb").read()
    files = {}
    for split, group in itertools.groupby(rows, lambda row: row["split"]):
        for article, clips in itertools.groupby(group, lambda row: row["article"]):
            clips = list(clips)
            if split != "train":
                files |= {row["audio"]: read(row) for row in clips}
                continue
            recording, places = join([read(row) for row in clips])
            files[f"audio/{article}.ogg"] = recording
            for row, (start, samples) in zip(clips, places):
                # The duration is rounded to milliseconds; where that is up, it would reach into the overlap.
                row |= {"audio": f"audio/{article}.ogg", "offset": start / RATE,
                        "duration": min(row["duration"], samples / RATE)}
    for name, data in files.items():
        with tempfile.NamedTemporaryFile(suffix=".ogg") as whole:
            whole.write(data)
            whole.flush()
            subprocess.run([args.optivorbis, whole.name, f"{args.out}/{name}"], check=True, stdout=subprocess.DEVNULL)
    with open(f"{args.out}/manifest.jsonl", "w") as f:
        f.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    main()
