"""Whisper by `generate` of `transformers`: greedy or its own beam search, without times."""

import copy
import json

import torch
import transformers
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizerFast
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer


def version():
    return f"transformers {transformers.__version__}, torch {torch.__version__}"


class Model:
    def __init__(self, args):
        torch.set_num_threads(args.threads)
        transformers.logging.set_verbosity_error()
        dtype = getattr(torch, args.form)
        self.model = WhisperForConditionalGeneration.from_pretrained(args.model, dtype=dtype).eval()
        self.features = WhisperFeatureExtractor.from_pretrained(args.model)
        self.tokenizer = WhisperTokenizerFast.from_pretrained(args.model)
        self.folder = args.model
        self.options = dict(num_beams=args.beam, do_sample=False, return_timestamps=False)
        if self.is_multilingual():
            self.options |= dict(language="en", task="transcribe")
        self.exact = None

    def is_multilingual(self):
        return self.model.config.vocab_size >= 51865

    def mel(self, clips):
        return self.features(clips, sampling_rate=16000, return_tensors="pt").input_features

    @torch.inference_mode()
    def hear(self, clips):
        ids = self.model.generate(self.mel(clips), **self.options)
        return self.tokenizer.batch_decode(ids, skip_special_tokens=True)

    def normalize(self, texts):
        spelling = self.folder / "normalizer.json"
        # The published table of spellings stands in some folders only, and is the same in all.
        others = sorted(self.folder.parent.glob("*/normalizer.json"))
        if not spelling.exists() and others:
            spelling = others[0]
        english = EnglishTextNormalizer(json.loads(spelling.read_text()) if spelling.exists() else {})
        return [english(text) for text in texts]

    @torch.inference_mode()
    def judge(self, clip, texts):
        """Scores of texts in f64, and how far apart the first tokens are in which two texts differ."""
        if self.exact is None:
            self.exact = copy.deepcopy(self.model).double()
        names = ["<|startoftranscript|>"]
        names += ["<|en|>", "<|transcribe|>"] if self.is_multilingual() else []
        names += ["<|notimestamps|>"]
        prompt = self.tokenizer.convert_tokens_to_ids(names)
        end = self.model.generation_config.eos_token_id
        generation = self.model.generation_config
        memory = self.exact.model.encoder(self.mel([clip]).double())
        rows, sums, counts = [], [], []
        for text in texts:
            # A transcript begins with a space, which `hear` left out.
            said = self.tokenizer.encode(" " + text, add_special_tokens=False) + [end]
            ids = torch.tensor([prompt + said])
            logits = self.exact(encoder_outputs=memory, decoder_input_ids=ids).logits[0, len(prompt) - 1 : -1]
            logits[:, generation.suppress_tokens or []] = -torch.inf
            logits[0, generation.begin_suppress_tokens or []] = -torch.inf
            logprobs = logits.log_softmax(-1)
            rows.append((said, logprobs))
            sums.append(logprobs[torch.arange(len(said)), said].sum().item())
            counts.append(len(said))
        (a, logprobs), (b, _) = rows[:2]
        at = next((k for k, pair in enumerate(zip(a, b)) if pair[0] != pair[1]), None)
        gap = None if at is None else (logprobs[at, a[at]] - logprobs[at, b[at]]).item()
        return dict(sum_logprob=sums, tokens=counts, gap=gap)
