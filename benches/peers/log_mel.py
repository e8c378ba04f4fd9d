"""Times the front ends of openai-whisper and librosa on one thread.

    pip install numpy torch openai-whisper librosa soxr
    python log_mel.py [CLIP ...]

The signals are those of `benches/src/log_mel.rs`; clips named on the command line are timed too. Prints
one JSON object: milliseconds, median of at least 20 runs, and the versions.
"""

import json
import os
import statistics
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

# Beside this script lies a `whisper.py` of our own, which would hide the package.
sys.path = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]

import librosa
import numpy
import soxr
import torch
import whisper
from whisper.audio import log_mel_spectrogram

SAMPLE_RATE = 16_000
N_SAMPLES = 480_000


def signal(n):
    state, noise = 1, numpy.empty(n)
    for i in range(n):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        noise[i] = (state >> 8) / (1 << 24) - 0.5
    t = numpy.arange(n) / SAMPLE_RATE
    tones = 0.3 * numpy.sin(2765.0 * t) + 0.2 * numpy.sin(9425.0 * t)
    return (tones + 0.05 * noise).astype(numpy.float32)


def with_whisper(samples, n_mels, n_samples):
    return log_mel_spectrogram(samples, n_mels, padding=n_samples - len(samples)).numpy()


def with_librosa(samples, n_mels, n_samples):
    padded = numpy.pad(samples, (0, n_samples - len(samples)))
    power = librosa.feature.melspectrogram(
        y=padded, sr=SAMPLE_RATE, n_fft=400, hop_length=160, n_mels=n_mels, pad_mode="reflect"
    )[:, :-1]
    log = numpy.log10(numpy.maximum(power, 1e-10))
    return (numpy.maximum(log, log.max() - 8.0) + 4.0) / 4.0


def median_ms(call, budget_s=2.0):
    for _ in range(3):
        call()
    times, end = [], time.perf_counter() + budget_s
    while len(times) < 20 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return round(1e3 * statistics.median(times), 3)


def main():
    torch.set_num_threads(1)
    window = signal(N_SAMPLES)
    cases = {
        "window_30s_80": (window, 80, N_SAMPLES),
        "window_30s_128": (window, 128, N_SAMPLES),
        "clip_10s_padded_80": (window[:160_000], 80, N_SAMPLES),
        "clip_10s_80": (window[:160_000], 80, 160_000),
    }
    for path in sys.argv[1:]:
        clip, _ = librosa.load(path, sr=SAMPLE_RATE)
        cases[os.path.basename(path)] = (clip[:N_SAMPLES], 80, N_SAMPLES)

    result = {"unit": "ms", "threads": 1, "log_mel": {}, "resample_soxr_hq": {}}
    for name, case in cases.items():
        difference = numpy.abs(with_whisper(*case) - with_librosa(*case)).max()
        assert difference < 1e-3, f"{name}: the peers disagree by {difference}"
        result["log_mel"][name] = {
            "openai_whisper": median_ms(lambda: with_whisper(*case)),
            "librosa": median_ms(lambda: with_librosa(*case)),
        }
    for rate in (44_100, 8_000, 48_000):
        samples = signal(10 * rate)
        result["resample_soxr_hq"][f"{rate}_to_16000_10s"] = median_ms(
            lambda: soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ")
        )
    result["versions"] = {
        "python": sys.version.split()[0],
        "numpy": numpy.__version__,
        "torch": torch.__version__,
        "openai_whisper": whisper.__version__,
        "librosa": librosa.__version__,
        "soxr": soxr.__version__,
    }
    json.dump(result, sys.stdout, indent=1)
    print()


main()
