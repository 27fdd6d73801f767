#!/usr/bin/env python3
"""A peer that embeds the same texts: sentence-transformers or fastembed.

    peer.py NAME --texts FILE --model DIR [--device cpu|cuda] [--dtype float32|float16] [--batch N] [--threads N]

NAME is sentence-transformers or fastembed. Speaks as `embed work` does: the name of a piece of work per line
(chunks, single, queries; with a number of seconds it is repeated for so long), answers in JSON, a line each.
"""

import argparse
import json
import os
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


def sentence_transformers(options):
    import sentence_transformers as package
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    # The directory may come without a vocabulary beside tokenizer.json; the length is the model's own.
    model = package.SentenceTransformer(options.model, device=options.device, model_kwargs={"dtype": getattr(torch, options.dtype)})
    model.eval()

    def embed(texts, batch):
        with torch.inference_mode():
            return model.encode(texts, batch_size=batch, normalize_embeddings=True, show_progress_bar=False)

    versions = {"sentence-transformers": package.__version__, "torch": torch.__version__}
    if options.device == "cuda":
        versions["gpu"] = torch.cuda.get_device_name()
    return embed, versions


def fastembed(options):
    import fastembed as package
    from fastembed.common.model_description import ModelSource, PoolingType

    # The graph pools and normalises; of what fastembed does, batches and tokenizing are left.
    package.TextEmbedding.add_custom_model(
        model="ibid/local", pooling=PoolingType.DISABLED, normalization=False, sources=ModelSource(hf="ibid/local"), dim=options.dimension,
        model_file="model.onnx",
    )  # fmt: skip
    model = package.TextEmbedding("ibid/local", specific_model_path=options.model, threads=options.threads or None)

    def embed(texts, batch):
        return list(model.embed(texts, batch_size=batch))

    return embed, {"fastembed": package.__version__ if hasattr(package, "__version__") else "?"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=["sentence-transformers", "fastembed"])
    parser.add_argument("--texts", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--dimension", type=int, default=384)
    options = parser.parse_args()
    # What libraries print belongs on standard error: answers are read by a program.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with open(options.texts, encoding="utf-8") as file:
        texts = json.load(file)
    embed, versions = (sentence_transformers if options.name == "sentence-transformers" else fastembed)(options)

    def answer(value):
        print(json.dumps(value), file=answers, flush=True)

    answer({"versions": versions, "device": options.device, "dtype": options.dtype, "batch": options.batch})
    for line in sys.stdin:
        what, _, seconds = line.strip().partition(" ")
        seconds = float(seconds or 0)
        kind = "chunks" if what == "chunks" else "queries"
        cpu, started, rounds = time.process_time(), time.perf_counter(), 0
        while rounds == 0 or time.perf_counter() - started < seconds:
            if what == "single":
                for text in texts[kind]:
                    embed([text], 1)
            else:
                embed(texts[kind], options.batch)
            rounds += 1
        answer({
            "work": what,
            "texts": len(texts[kind]) * rounds,
            "cpu": time.process_time() - cpu,
            "wall": time.perf_counter() - started,
        })  # fmt: skip


if __name__ == "__main__":
    main()
