#!/usr/bin/env python3
"""Times Whisper-tiny of `transformers` on PyTorch's CPU backend: encoder forward and a training step.

The architecture of openai/whisper-tiny (4 + 4 layers, d 384, 6 heads, feed-forward 1536, 80 mel bands, vocabulary
51865) with random weights, f32. Encoder: one utterance of 3000 frames. Training step: four utterances of 3000 frames
with 32 labels, cross-entropy, whole model trained with AdamW, no dropout (as published).
"""

import torch
import transformers
from transformers import WhisperConfig, WhisperForConditionalGeneration

from timing import arguments, measure, prepare

FRAMES, BATCH, LABELS = 3000, 4, 32


def main():
    args = prepare(arguments(__doc__.splitlines()[0]))
    config = WhisperConfig(vocab_size=51865, num_mel_bins=80, d_model=384, encoder_layers=4, decoder_layers=4,
                           encoder_attention_heads=6, decoder_attention_heads=6, encoder_ffn_dim=1536,
                           decoder_ffn_dim=1536, max_source_positions=FRAMES // 2, max_target_positions=448, dropout=0.0,
                           pad_token_id=50257, bos_token_id=50257, eos_token_id=50257, decoder_start_token_id=50258)
    model = WhisperForConditionalGeneration(config)
    one = torch.randn(1, config.num_mel_bins, FRAMES)
    features = torch.randn(BATCH, config.num_mel_bins, FRAMES)
    labels = torch.randint(0, 50257, (BATCH, LABELS))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.01)

    def encoder():
        with torch.inference_mode():
            return model.model.encoder(one).last_hidden_state

    def step():
        model(input_features=features, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    extra = dict(attention=config._attn_implementation, transformers=transformers.__version__)
    model.eval()
    measure(args, "whisper_tiny_encoder_forward", f"1x80x{FRAMES}", "f32", encoder, **extra)
    model.train()
    measure(args, "whisper_tiny_training_step", f"{BATCH}x80x{FRAMES}, {LABELS} labels", "f32", step, **extra)


if __name__ == "__main__":
    main()
