"""Writes the golden vectors of speech-metrics from jiwer, sacrebleu, scipy and scikit-learn.

    python make_golden.py

Rewrites error_rate.json, normalize.json, classification.json, multi_label.json,
correlation.json, retrieval.json, translation.json and versions.json in this folder. Seeded: the same library
versions give the same bytes.
"""

import importlib.metadata
import json
import pathlib
import platform
import random
import unicodedata
import warnings

import jiwer
import numpy as np
import sacrebleu
import scipy.stats
import sklearn.metrics as skm
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

HERE = pathlib.Path(__file__).resolve().parent
warnings.simplefilter("ignore")


def write(name, value):
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    # One case a line keeps the diff of a changed case small.
    text = text.replace('},{"', '},\n{"')
    (HERE / name).write_text(text + "\n", encoding="utf-8")


def error_rate():
    rng = random.Random(1)
    sets = [
        (["the cat sat on the mat", "hello world"], ["the cat sat mat", "hello new big world"]),
        ([""], [""]),
        ([""], ["a b c"]),
        (["a b c"], [""]),
        (["", "a"], ["x y", "a"]),
        (["a  b \t c", "tab\tinside", "  edge\n"], ["a b c", "tab inside", "edge"]),
        (["sep\x1c\x1din", "\x1fx\x1f"], ["sep in", "x"]),
        (["Stra\u00dfe \u00fcber", "\u4f60\u597d \u4e16\u754c"], ["strasse uber", "\u4f60 \u4e16\u754c"]),
        (["e\u0301te\u0301", "\U0001f600 ok"], ["\u00e9t\u00e9", "\U0001f601 ok"]),
    ]
    # A small vocabulary makes ties between equally short scripts common.
    for vocabulary in ("ab", "abc", "abcdefgh"):
        for n_max in (3, 7, 20, 70):
            for _ in range(6):
                n_items = rng.randint(1, 3)
                text = lambda: " ".join(rng.choices(vocabulary, k=rng.randint(0, n_max)))
                sets.append(([text() for _ in range(n_items)], [text() for _ in range(n_items)]))
    # Noisy copies: what recognisers produce.
    words = "one two three four five six seven the a of in".split()
    for _ in range(20):
        reference = rng.choices(words, k=rng.randint(5, 40))
        hypothesis = []
        for word in reference:
            draw = rng.random()
            if draw < 0.1:
                continue
            hypothesis.append(rng.choice(words) if draw < 0.25 else word)
            if draw > 0.9:
                hypothesis.append(rng.choice(words))
        sets.append(([" ".join(reference)], [" ".join(hypothesis)]))

    def measures(output, rate):
        return {
            "rate": float(rate),
            "hits": output.hits,
            "substitutions": output.substitutions,
            "deletions": output.deletions,
            "insertions": output.insertions,
            "chunks": [
                [
                    [c.type, c.ref_start_idx, c.ref_end_idx, c.hyp_start_idx, c.hyp_end_idx]
                    for c in sentence
                ]
                for sentence in output.alignments
            ],
        }

    cases = []
    for references, hypotheses in sets:
        words_out = jiwer.process_words(references, hypotheses)
        characters_out = jiwer.process_characters(references, hypotheses)
        cases.append(
            {
                "references": references,
                "hypotheses": hypotheses,
                "words": words_out.references,
                "wer": measures(words_out, words_out.wer),
                "wer_mean": float(
                    np.mean([jiwer.wer(r, h) for r, h in zip(references, hypotheses)])
                ),
                "mer": float(words_out.mer),
                "wip": float(words_out.wip),
                "cer": measures(characters_out, characters_out.cer),
            }
        )
    write("error_rate.json", cases)


def normalize():
    texts = [
        "Hello,  World!",
        "Don't stop - well-known",
        "\u00bfQu\u00e9?\t\u00abS\u00ed\u00bb\n",
        "5 + 3 = $8 ~ 50% `x` ^ |",
        "\u1f48\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3",
        "\u0130stanbul, \u00c9COLE \u2014 \u201cquoted\u201d \u2026",
        "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u300c\u5f15\u7528\u300d",
        "\u0939\u093f\u0928\u094d\u0926\u0940\u0964 \u0627\u0644\u0639\u0631\u0628\u064a\u0629\u061f",
        "a_b-c\u2010d\u30fbe\u203f",
        " \u2003\u00a0 ",
        "...",
        "",
    ]
    clean = jiwer.Compose(
        [jiwer.ToLowerCase(), jiwer.RemovePunctuation(), jiwer.SubstituteRegexes({r"\s+": " "}), jiwer.Strip()]
    )
    codes = [c for c in range(0x110000) if unicodedata.category(chr(c)).startswith("P")]
    ranges = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    write(
        "normalize.json",
        {
            "cases": [[text, clean(text)] for text in texts],
            "unicode": unicodedata.unidata_version,
            "punctuation": ranges,
        },
    )


def classification():
    rng = np.random.default_rng(2)
    cases = []
    for n, classes in [(1, 1), (1, 4), (2, 2), (7, 3), (33, 5), (50, 2), (200, 7), (12, 9)]:
        truth = rng.integers(0, classes, n)
        noise = rng.integers(0, classes, n)
        predicted = np.where(rng.random(n) < 0.5, truth, noise)
        labels = list(range(classes))
        p, r, f, _ = skm.precision_recall_fscore_support(
            truth, predicted, labels=labels, zero_division=0
        )
        cases.append(
            {
                "n_classes": classes,
                "truth": truth.tolist(),
                "predicted": predicted.tolist(),
                "confusion": skm.confusion_matrix(truth, predicted, labels=labels).ravel().tolist(),
                "accuracy": float(skm.accuracy_score(truth, predicted)),
                "balanced_accuracy": float(skm.balanced_accuracy_score(truth, predicted)),
                "precision": p.tolist(),
                "recall": r.tolist(),
                "f1": f.tolist(),
                "macro_f1": float(skm.f1_score(truth, predicted, average="macro", zero_division=0)),
                "weighted_f1": float(
                    skm.f1_score(truth, predicted, average="weighted", zero_division=0)
                ),
            }
        )
    write("classification.json", cases)


def multi_label():
    rng = np.random.default_rng(3)
    cases = []
    for n, labels, rate in [(1, 2, 0.5), (5, 6, 0.3), (40, 6, 0.2), (17, 3, 0.9), (9, 4, 0.0)]:
        truth = rng.random((n, labels)) < rate
        predicted = truth ^ (rng.random((n, labels)) < 0.3)
        f1 = lambda average: float(
            skm.f1_score(truth, predicted, average=average, zero_division=0)
        )
        cases.append(
            {
                "n_labels": labels,
                "truth": truth.astype(int).ravel().tolist(),
                "predicted": predicted.astype(int).ravel().tolist(),
                "subset_accuracy": float(skm.accuracy_score(truth, predicted)),
                "mean_label_accuracy": float(1 - skm.hamming_loss(truth, predicted)),
                "label_accuracy": (truth == predicted).mean(axis=0).tolist(),
                "macro_f1": f1("macro"),
                "micro_f1": f1("micro"),
                "samples_f1": f1("samples"),
            }
        )
    write("multi_label.json", cases)


def correlation():
    rng = np.random.default_rng(4)
    pairs = [
        ([1.0, 2.0], [2.0, 1.0]),
        ([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]),
        ([1.0, 1.0, 2.0, 3.0, 3.0], [5.0, 4.0, 4.0, 1.0, 1.0]),
        ([1e300, -1e300, 0.5e300], [1e-300, -1e-300, 3e-300]),
    ]
    for n, levels in [(3, None), (10, 3), (57, 5), (128, None), (33, 2)]:
        x = rng.normal(size=n)
        y = 0.6 * x + rng.normal(size=n)
        if levels:
            x, y = np.round(x * levels / 3), np.round(y * levels / 3)
        pairs.append((x.tolist(), y.tolist()))
    number = lambda value: None if np.isnan(value) else float(value)
    write(
        "correlation.json",
        [
            {
                "x": list(x),
                "y": list(y),
                "pearson": number(scipy.stats.pearsonr(x, y).statistic),
                "spearman": number(scipy.stats.spearmanr(x, y).statistic),
                "x_ranks": scipy.stats.rankdata(x).tolist(),
            }
            for x, y in pairs
        ],
    )


def retrieval():
    rng = np.random.default_rng(5)
    cases = []
    for n, levels in [(1, None), (2, 2), (7, 3), (20, None), (33, 6)]:
        scores = rng.normal(size=(n, n)) + 1.5 * np.eye(n)
        if levels:
            scores = np.round(scores * levels / 3)
        scores = scores.astype(np.float32)
        case = {"n": n, "scores": [float(s) for s in scores.ravel()]}
        for name, method in [("pessimistic", "max"), ("average", "average")]:
            ranks = np.array([scipy.stats.rankdata(-row, method=method)[i] for i, row in enumerate(scores)])
            case[name] = {
                "ranks": ranks.tolist(),
                "mean_rank": float(ranks.mean()),
                "median_rank": float(np.median(ranks)),
                "recall": {str(k): float((ranks <= k).mean()) for k in (1, 5, 10)},
            }
        # Multi-label ranking precision with one relevant candidate is the mean reciprocal rank.
        case["mrr"] = (
            float(skm.label_ranking_average_precision_score(np.eye(n), scores))
            if n > 1
            else 1.0
        )
        cases.append(case)
    write("retrieval.json", cases)


def translation():
    rng = random.Random(6)
    sets = [
        ([["The cat is on the mat."], ["Hello, world"]], ["The cat sat on the mat .", "Hello, world!"]),
        ([["a b c d e f", "x y", "d c b a"], ["one"]], ["a b c d e", "one two three four five"]),
        ([["It's 3.14, isn't it?", "It is 3.14, no?"]], ["It's 3.14, isn't it? (yes) U.S.-based &quot;x&quot; end."]),
        ([["1,000 km/h -- 5-year; caf\u00e9\u2019s \u00abtest\u00bb"]], ["1.000 km/h - 5 year; caf\u00e9s \u00abtest\u00bb..."]),
        ([["a.,b ...", "a . , b"]], ["a.,b,.c"]),
        ([["line-\nbreak\nhere <skipped>"]], ["linebreak here &amp;lt; &lt;"]),
        ([["\u3000x\x1f y\x85z\u00a0w"]], ["x y z w\n"]),
        ([[""], ["a b c d"]], ["", "a b c d"]),
        ([["a b c d"]], [""]),
        ([["\u4f60\u597d\u4e16\u754c", "\u4f60 \u597d"]], ["\u4f60\u597d, \u4e16\u754c!"]),
        ([["[x]{y}~`^_|\\<>=?@:;*+()$%&#!/'-"]], ["x y ' - _ [ ]"]),
    ]
    words = "das Haus, ist (sehr) gro\u00df und 3,5 alt. Nein! \"Ja\" 12-j\u00e4hrig x-y U.S. A.B".split()
    for n_items, n_references, longest in [(1, 1, 12), (3, 1, 25), (5, 2, 18), (8, 3, 30), (20, 1, 15)]:
        references, hypotheses = [], []
        for _ in range(n_items):
            truth = rng.choices(words, k=rng.randint(1, longest))
            noisy = lambda p: " ".join(w if rng.random() > p else rng.choice(words) for w in truth if rng.random() > 0.1)
            references.append([noisy(0.15) for _ in range(n_references)])
            hypotheses.append(noisy(0.3))
        sets.append((references, hypotheses))
    tokens = Tokenizer13a()
    cases = []
    for references, hypotheses in sets:
        most = max(map(len, references))
        # Missing references of ragged lists are None to sacrebleu.
        streams = [[list_[k] if k < len(list_) else None for list_ in references] for k in range(most)]
        score = sacrebleu.corpus_bleu(hypotheses, streams)
        cases.append(
            {
                "references": references,
                "hypotheses": hypotheses,
                "tokens": [tokens(text.rstrip()) for text in hypotheses],
                "bleu": score.score,
                "matches": score.counts,
                "totals": score.totals,
                "precisions": score.precisions,
                "brevity_penalty": score.bp,
                "lengths": [score.sys_len, score.ref_len],
                "chrf": sacrebleu.corpus_chrf(hypotheses, streams).score,
                "chrf_words": sacrebleu.corpus_chrf(hypotheses, streams, word_order=2).score,
            }
        )
    write("translation.json", cases)


error_rate()
normalize()
classification()
multi_label()
correlation()
retrieval()
translation()
packages = ["jiwer", "rapidfuzz", "sacrebleu", "numpy", "scipy", "scikit-learn", "unicodedata2"]
versions = {name: importlib.metadata.version(name) for name in packages}
versions["python"] = platform.python_version()
versions["unicodedata"] = unicodedata.unidata_version
(HERE / "versions.json").write_text(json.dumps(versions, indent=2) + "\n", encoding="utf-8")
