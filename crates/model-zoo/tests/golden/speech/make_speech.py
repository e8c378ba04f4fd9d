#!/usr/bin/env python3
"""Makes speech.json: what `transformers` and openai-whisper hear in real speech with published weights.

    pip install torch transformers openai-whisper soundfile numpy
    python make_speech.py DATA       # DATA is the folder of data beside the project, or CONSONANCE_DATA

Only texts, tokens, times and scores are stored; weights and sound stay where they are. For every clip and model:

greedy, beam5    ids of `generate` without timestamps, num_beams 1 and 5, without prompt and end token
openai           ids, mean log-probability and probability of no speech of openai-whisper's `decode` with timestamps,
                 greedily and with beam_size 5; language and its probability where the model knows several

`long` is a recording of several utterances in a row with half a second of silence between them: the segments of
openai-whisper's `transcribe` at temperature 0 with word times, and the text of the `transformers` pipeline with
chunk_length_s=10 and stride_length_s=[2, 1.5] for its first 24 s.
"""

import importlib.metadata
import json
import pathlib
import platform
import sys

import numpy
import soundfile
import torch
import transformers
import whisper
from transformers import WhisperForConditionalGeneration
from transformers.generation import GenerationMixin

HERE = pathlib.Path(__file__).resolve().parent
RATE = 16_000
CHUNKED_SECONDS = 24

CLIPS = {
    "whisper-tiny": [
        "golden/jfk_16k.flac",
        "corpora/kathleen/audio/data_arctic_a0001_1592748574.ogg",
        "corpora/kathleen/audio/data_arctic_a0002_1592748530.ogg",
        "corpora/an4/audio/wav_an4_clstk_fash_an251-fash-b.ogg",
    ],
    "whisper-base.en": ["golden/jfk_16k.flac"],
}
NAMES = [
    ("model.encoder.", "encoder."), ("model.decoder.", "decoder."), ("layers.", "blocks."),
    ("encoder_attn_layer_norm", "cross_attn_ln"), ("self_attn_layer_norm", "attn_ln"),
    ("final_layer_norm", "mlp_ln"), ("encoder_attn", "cross_attn"), ("self_attn", "attn"), ("q_proj", "query"),
    ("k_proj", "key"), ("v_proj", "value"), ("out_proj", "out"), ("fc1", "mlp.0"), ("fc2", "mlp.2"),
    ("embed_tokens", "token_embedding"), ("encoder.embed_positions.weight", "encoder.positional_embedding"),
    ("decoder.embed_positions.weight", "decoder.positional_embedding"), ("encoder.layer_norm", "encoder.ln_post"),
    ("decoder.layer_norm", "decoder.ln"),
]


def load(path):
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE and samples.ndim == 1, path
    return samples


def openai_model(theirs, heads):
    """The same weights as a model of openai-whisper."""
    c = theirs.config
    dims = whisper.model.ModelDimensions(
        c.num_mel_bins, c.max_source_positions, c.d_model, c.encoder_attention_heads, c.encoder_layers, c.vocab_size,
        c.max_target_positions, c.d_model, c.decoder_attention_heads, c.decoder_layers,
    )
    model = whisper.model.Whisper(dims)
    state = {}
    for name, value in theirs.state_dict().items():
        if name == "proj_out.weight":
            continue
        for old, new in NAMES:
            name = name.replace(old, new)
        state[name] = value
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all("alignment" in name for name in missing), (missing, unexpected)
    mask = torch.zeros(c.decoder_layers, c.decoder_attention_heads, dtype=torch.bool)
    for layer, head in heads:
        mask[layer, head] = True
    model.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)
    return model.eval()


def mel_of(samples, n_mels):
    return whisper.log_mel_spectrogram(whisper.pad_or_trim(samples), n_mels)


def generated(model, mel, prompt, num_beams):
    g = model.generation_config
    out = GenerationMixin.generate(
        model, input_features=mel[None], decoder_input_ids=torch.tensor([prompt]), do_sample=False,
        num_beams=num_beams, max_new_tokens=100, suppress_tokens=g.suppress_tokens,
        begin_suppress_tokens=g.begin_suppress_tokens, eos_token_id=g.eos_token_id, pad_token_id=g.eos_token_id,
    )[0].tolist()[len(prompt):]
    return out[: out.index(g.eos_token_id)] if g.eos_token_id in out else out


def number(value):
    return round(float(value), 6)


def clip_case(data, path, theirs, ours, tokenizer):
    mel = mel_of(load(data / path), theirs.config.num_mel_bins)
    prompt = list(tokenizer.sot_sequence_including_notimestamps)
    case = dict(clip=path, prompt=prompt, greedy=generated(theirs, mel, prompt, 1), beam5=generated(theirs, mel, prompt, 5))
    for name, options in [("openai_greedy", {}), ("openai_beam5", dict(beam_size=5))]:
        language = "en"
        found = whisper.decode(ours, mel, whisper.DecodingOptions(language=language, fp16=False, **options))
        case[name] = dict(ids=found.tokens, text=found.text, avg_logprob=number(found.avg_logprob),
                          no_speech_prob=number(found.no_speech_prob), compression_ratio=number(found.compression_ratio))
    if ours.is_multilingual:
        _, probabilities = whisper.detect_language(ours, mel, tokenizer)
        case["languages"] = {k: number(v) for k, v in sorted(probabilities.items(), key=lambda p: -p[1])[:3]}
    return case


def long_case(data, ours, folder):
    clips = sorted(str(p.relative_to(data)) for p in (data / "corpora/kathleen/audio").iterdir())[:14]
    silence = numpy.zeros(RATE // 2, numpy.float32)
    samples = numpy.concatenate([part for clip in clips for part in (load(data / clip), silence)])
    seconds = len(samples) / RATE
    found = whisper.transcribe(ours, samples, language="en", temperature=0.0, fp16=False, word_timestamps=False)
    keys = ["start", "end", "text", "tokens", "avg_logprob", "no_speech_prob"]
    segments = [{k: s[k] if k in ("text", "tokens") else number(s[k]) for k in keys} for s in found["segments"]]
    worded = whisper.transcribe(ours, samples, language="en", temperature=0.0, fp16=False, word_timestamps=True)
    words = [[w["word"], number(w["start"]), number(w["end"]), number(w["probability"])]
             for s in worded["segments"] for w in s["words"]]
    pipe = transformers.pipeline("automatic-speech-recognition", model=str(folder), chunk_length_s=10,
                                 stride_length_s=[2, 1.5], dtype=torch.float32)
    texts = {}
    # Every chunk is padded to 30 s: more of them would make the slowest test slower and show nothing new.
    samples = samples[: CHUNKED_SECONDS * RATE]
    for timestamps in (False, True):
        out = pipe({"raw": samples.copy(), "sampling_rate": RATE}, return_timestamps=timestamps,
                   generate_kwargs=dict(language="en", task="transcribe", num_beams=1))
        texts["with_timestamps" if timestamps else "text"] = [
            [*c["timestamp"], c["text"]] for c in out["chunks"]] if timestamps else out["text"]
    return dict(clips=clips, seconds=seconds, text=found["text"], segments=segments, words=words, chunked=texts)


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    data = pathlib.Path(sys.argv[1])
    result = {}
    for name, clips in CLIPS.items():
        folder = data / "models" / name
        if not folder.is_dir():
            folder = pathlib.Path(sys.argv[2]) / name
        theirs = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        ours = openai_model(theirs, theirs.generation_config.alignment_heads)
        language = "en" if ours.is_multilingual else None
        tokenizer = whisper.tokenizer.get_tokenizer(ours.is_multilingual, language=language, task="transcribe")
        result[name] = dict(clips=[clip_case(data, clip, theirs, ours, tokenizer) for clip in clips])
        if name == "whisper-tiny":
            result[name]["long"] = long_case(data, ours, folder)
    (HERE / "speech.json").write_text(json.dumps(result, separators=(",", ":"), ensure_ascii=False) + "\n")
    packages = ["torch", "transformers", "openai-whisper", "soundfile", "numpy"]
    versions = {"python": platform.python_version()} | {p: importlib.metadata.version(p).split("+")[0] for p in packages}
    (HERE / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")


if __name__ == "__main__":
    main()
