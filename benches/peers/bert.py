#!/usr/bin/env python3
"""Times a BERT forward pass and a masked-language-model training step of `transformers` on PyTorch's CPU backend.

6 layers, d 384, 12 heads, feed-forward 1536, vocabulary 30522, batch 16 x 64 tokens, no padding, f32, dropout 0.1 in
training, AdamW. 15 % of the positions are scored. Two MLM heads are timed: `all` is what `transformers` does (the
vocabulary product on every position), `scored` gathers the scored positions before the head. Compare a program with
the line that does the same work.
"""

import torch
import transformers
from transformers import BertConfig, BertForMaskedLM

from timing import arguments, measure, prepare

BATCH, LENGTH, SCORED = 16, 64, 0.15


def main():
    args = prepare(arguments(__doc__.splitlines()[0]))
    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536,
                        vocab_size=30522, max_position_embeddings=512, hidden_dropout_prob=0.1,
                        attention_probs_dropout_prob=0.1)
    model = BertForMaskedLM(config)
    ids = torch.randint(1000, config.vocab_size, (BATCH, LENGTH))
    mask = torch.ones_like(ids)
    scored = torch.zeros(BATCH * LENGTH, dtype=torch.bool)
    scored[torch.randperm(BATCH * LENGTH)[: round(SCORED * BATCH * LENGTH)]] = True
    labels = torch.where(scored.view(BATCH, LENGTH), ids, -100)
    targets = ids.view(-1)[scored]
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-4, weight_decay=0.01)

    def encoder():
        with torch.inference_mode():
            return model.bert(input_ids=ids, attention_mask=mask).last_hidden_state

    def loss_all():
        return model(input_ids=ids, attention_mask=mask, labels=labels).loss

    def loss_scored():
        hidden = model.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        logits = model.cls(hidden.reshape(-1, config.hidden_size)[scored])
        return torch.nn.functional.cross_entropy(logits, targets)

    def forward(loss):
        with torch.inference_mode():
            loss()

    def step(loss):
        loss().backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    shape = f"{BATCH}x{LENGTH}, 6 layers, d 384"
    extra = dict(attention=config._attn_implementation, transformers=transformers.__version__)
    model.eval()
    measure(args, "bert_encoder_forward", shape, "f32", encoder, **extra)
    measure(args, "bert_mlm_forward_all", shape, "f32", lambda: forward(loss_all), **extra)
    measure(args, "bert_mlm_forward_scored", shape, "f32", lambda: forward(loss_scored), **extra)
    model.train()
    measure(args, "bert_training_step_all", shape, "f32", lambda: step(loss_all), **extra)
    measure(args, "bert_training_step_scored", shape, "f32", lambda: step(loss_scored), **extra)


if __name__ == "__main__":
    main()
