"""Writes speech.parquet by Hugging Face's `datasets`, and expected.jsonl, the manifest it comes to.

    python make_golden.py      needs: datasets

Two rows of sound: bytes with a name and without one, a dictionary-coded column, a null, a list, a
whole number, and a 32-bit real.
"""

import io
import json
import platform
import struct
import wave
from pathlib import Path

import datasets
import pyarrow
from datasets import Audio, Dataset, Features, Sequence, Value

HERE = Path(__file__).parent


def wav(n: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(struct.pack(f"<{n}h", *[(17 * k) % 900 - 450 for k in range(n)]))
    return out.getvalue()


rows = {
    "audio": [{"bytes": wav(320), "path": "a.wav"}, {"bytes": wav(480), "path": None}],
    "text": ["Erste Zeile, größer.", "Second line."],
    "gender": ["female", None],
    "speaker_id": [3, 14],
    "rate": [0.1, 2.5],
    "words": [["Erste", "Zeile"], []],
}
features = Features(
    {
        "audio": Audio(sampling_rate=16_000),
        "text": Value("string"),
        "gender": Value("string"),
        "speaker_id": Value("int64"),
        "rate": Value("float32"),
        "words": Sequence(Value("string")),
    }
)
# By the table: `from_dict` would want to decode the sound, which takes PyTorch.
Dataset(pyarrow.table(rows, schema=features.arrow_schema)).to_parquet(HERE / "speech.parquet")

expected = [
    {
        "id": "a",
        "audio": "audio/a.wav",
        "duration": 0.02,
        "text": "Erste Zeile, größer.",
        "gender": "female",
        "speaker": 3,
        "rate": 0.1,
    },
    {
        "id": "speech-1",
        "audio": "audio/speech-1.wav",
        "duration": 0.03,
        "text": "Second line.",
        "speaker": 14,
        "rate": 2.5,
    },
]
lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in expected]
(HERE / "expected.jsonl").write_text("".join(lines))
versions = {
    "python": platform.python_version(),
    "datasets": datasets.__version__,
    "pyarrow": pyarrow.__version__,
}
(HERE / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")
