"""Whisper by faster-whisper on CTranslate2; int8 weights are its usual form on a CPU."""

from pathlib import Path

import ctranslate2
import faster_whisper


def version():
    return f"faster-whisper {faster_whisper.__version__}, ctranslate2 {ctranslate2.__version__}"


def converted(folder, into):
    """The folder in CTranslate2's format; f16, as the published weights are."""
    if not (into / "model.bin").exists():
        from ctranslate2.converters import TransformersConverter

        copied = [name for name in ["tokenizer.json", "preprocessor_config.json"] if (folder / name).exists()]
        converter = TransformersConverter(str(folder), copy_files=copied, low_cpu_mem_usage=True)
        converter.convert(str(into), quantization="float16", force=True)
    return into


class Model:
    def __init__(self, args):
        folder = converted(args.model, args.converted / f"ct2-{Path(args.model).name}")
        self.model = faster_whisper.WhisperModel(
            str(folder), device="cpu", compute_type=args.form, cpu_threads=args.threads, num_workers=1
        )
        self.beam = args.beam

    def hear(self, clips):
        return [self.one(clip) for clip in clips]

    def one(self, clip):
        # One pass at temperature 0, without times: what the other sides do.
        segments, _ = self.model.transcribe(
            clip,
            language="en",
            beam_size=self.beam,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            compression_ratio_threshold=None,
            log_prob_threshold=None,
            no_speech_threshold=None,
            vad_filter=False,
        )
        return "".join(segment.text for segment in segments)
