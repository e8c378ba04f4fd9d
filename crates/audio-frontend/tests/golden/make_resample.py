"""Makes resample.json: a seeded band-limited input and what torchaudio and soxr make of it.

    pip install numpy torch torchaudio soxr
    python make_resample.py

Versions used are written into the file.
"""

import json
import pathlib

import numpy
import soxr
import torch
import torchaudio

RATES = [(44100, 16000), (8000, 16000), (48000, 16000), (22050, 16000), (16000, 17600)]


def main():
    rng = numpy.random.default_rng(20)
    # Sines below a sixth of the input rate: inside the pass band of every case and resampler.
    n = 1000
    t = numpy.arange(n)
    x = sum(
        a * numpy.sin(2 * numpy.pi * f * t + p)
        for a, f, p in zip(rng.uniform(0.02, 0.1, 9), rng.uniform(0.002, 0.14, 9), rng.uniform(0, 6, 9))
    )
    x = (x * numpy.hanning(n)).astype(numpy.float32)
    cases = []
    for old, new in RATES:
        resample = torchaudio.functional.resample
        wave = torch.from_numpy(x)
        best = resample(
            wave,
            old,
            new,
            lowpass_filter_width=64,
            rolloff=0.9475937167399596,
            resampling_method="sinc_interp_kaiser",
            beta=14.769656459379492,
        )
        hann = resample(wave, old, new)
        vhq = soxr.resample(x.astype(numpy.float64), old, new, quality="VHQ")
        cases.append(
            {
                "from": old,
                "to": new,
                "kaiser_best": rounded(best.numpy()),
                "hann": rounded(hann.numpy()),
                "soxr_vhq": rounded(vhq),
            }
        )
    versions = {
        "numpy": numpy.__version__,
        "soxr": soxr.__version__,
        "torch": torch.__version__,
        "torchaudio": torchaudio.__version__,
    }
    golden = {"made_by": "make_resample.py", "versions": versions, "input": rounded(x), "cases": cases}
    path = pathlib.Path(__file__).with_name("resample.json")
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


def rounded(values):
    return [round(float(v), 8) for v in values]


main()
