"""Whisper by whisper.cpp through pywhispercpp, with f16 weights."""

import importlib.metadata
from pathlib import Path

from ggml import made, write_whisper
from pywhispercpp.model import Model as WhisperCpp


def version():
    return f"pywhispercpp {importlib.metadata.version('pywhispercpp')}"


class Model:
    def __init__(self, args):
        file = args.converted / f"ggml-{Path(args.model).name}.bin"
        made(file, lambda part: write_whisper(args.model, part))
        # One pass at temperature 0, without times: what the other sides do.
        options = dict(
            n_threads=args.threads,
            language="en",
            single_segment=True,
            no_timestamps=True,
            no_context=True,
            temperature_inc=0.0,
            suppress_nst=True,
            print_progress=False,
            print_realtime=False,
            print_timestamps=False,
        )
        if args.beam > 1:
            options |= dict(params_sampling_strategy=1, beam_search=dict(beam_size=args.beam, patience=-1.0))
        else:
            options |= dict(greedy=dict(best_of=1))
        self.model = WhisperCpp(str(file), redirect_whispercpp_logs_to=None, **options)

    def hear(self, clips):
        return ["".join(segment.text for segment in self.model.transcribe(clip)) for clip in clips]
