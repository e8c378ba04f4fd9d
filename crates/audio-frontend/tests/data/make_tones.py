"""Makes the tone files of this folder: one short sound in every container the crate reads.

Run with ffmpeg on the path, or with the imageio-ffmpeg package, which brings one:

    python make_tones.py

Made with the ffmpeg named in VERSIONS.txt. `tone.*` is 1.2 s, stereo, 44.1 kHz (FLAC 11.025 kHz):
440 Hz at 0.5 left, 660 Hz at 0.25 right. `long.*` is 14 s, 8 kHz, mono, a slow sweep: long enough that
loading from an offset seeks.
"""

import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).parent


def ffmpeg():
    found = shutil.which("ffmpeg")
    if found:
        return found
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()


def make(name, source, *options):
    command = [ffmpeg(), "-v", "error", "-y", "-f", "lavfi", "-i", source]
    command += ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact", *options]
    subprocess.run([*command, str(HERE / name)], check=True)


def main():
    tone = "aevalsrc=0.5*sin(2*PI*440*t)|0.25*sin(2*PI*660*t):s=44100:d=1.2"
    make("tone.mp3", tone, "-c:a", "libmp3lame", "-b:a", "64k")
    make("tone.ogg", tone, "-c:a", "libvorbis", "-q:a", "1")
    make("tone.m4a", tone, "-c:a", "aac", "-b:a", "48k")
    make("tone.aac", tone, "-c:a", "aac", "-b:a", "48k", "-f", "adts")
    make("tone.flac", tone.replace("44100", "11025"), "-c:a", "flac", "-compression_level", "12", "-sample_fmt", "s16")
    sweep = "aevalsrc=0.4*sin(2*PI*(200*t+20*t*t)):s=8000:d=14"
    make("long.mp3", sweep, "-c:a", "libmp3lame", "-b:a", "8k")
    make("long.ogg", sweep, "-c:a", "libvorbis", "-q:a", "-1")
    version = subprocess.run([ffmpeg(), "-version"], capture_output=True, text=True, check=True)
    (HERE / "VERSIONS.txt").write_text(version.stdout.splitlines()[0].split(" Copyright")[0] + "\n")


main()
