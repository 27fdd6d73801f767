#!/usr/bin/env python3
"""Measures the embedder beside its peers, on the CPU. Called by `make bench`; benches/README.md says how to read it.

    run.py --program FILE [--rounds N] [--share DIR] [--quick]

All contestants run one thread and take turns of a second or less, so that what else the machine does falls on all of
them; every second round goes the other way round. What counts is tokens per second of processor time. Rates are medians
over the rounds; ratios are taken within each round, and then their median: a machine that is shared is half as fast
again from one minute to the next.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import texts as corpus  # noqa: E402

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
RESULTS = REPOSITORY / "benches/results"
WORK = {"single": "one query", "queries": "queries together", "chunks": "chunks"}


class Contestant:
    """A process that waits for work."""

    def __init__(self, name, command):
        self.name = name
        environment = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.about = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with {self.process.wait()}")
        return json.loads(line)

    def work(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def fastembed_directory(model, source, target):
    """The model as fastembed wants it: our graph, and the tokenizer's files with the model's own length."""
    target.mkdir(parents=True, exist_ok=True)
    for name, origin in {"model.onnx": model, "tokenizer.json": model, "config.json": source, "special_tokens_map.json": source}.items():
        link = target / name
        link.unlink(missing_ok=True)
        link.symlink_to((origin / name).resolve())
    settings = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    length = json.loads((model / "ibid-model.json").read_text(encoding="utf-8"))["max_tokens"]
    settings["model_max_length"] = settings["max_length"] = length
    (target / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return target


def machine():
    cpu = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith(("model name", "flags")):
                key, value = (part.strip() for part in line.split(":", 1))
                if key == "model name":
                    cpu = value
                else:
                    wide = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8") if flag in value.split()]
                    return {"cpu": cpu, "cores": os.cpu_count(), "vector_units": wide, "system": f"{platform.system()} {platform.release()}",
                            "load": list(os.getloadavg())}  # fmt: skip
    return {"cpu": cpu, "cores": os.cpu_count(), "system": platform.platform(), "load": list(os.getloadavg())}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True, help="the bench program `embed`")
    parser.add_argument("--share", type=Path, default=REPOSITORY / "target/share/ibid")
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="few texts: to see that it runs")
    parser.add_argument("--without-peers", action="store_true")
    options = parser.parse_args()
    model, source = options.share / "models" / options.model, options.share / "sources" / options.model
    scratch = REPOSITORY / "target/bench"
    scratch.mkdir(parents=True, exist_ok=True)
    file = scratch / "texts.json"
    corpus.write(file, *((8, 8) if options.quick else (16, 16)))
    ours = [options.program, "work", "--texts", file, "--share", options.share, "--model", model, "--threads", "1"]
    peer = [sys.executable, HERE / "peer.py"]
    commands = {
        "ibid fp32": [*ours, "--precision", "fp32"],
        "bare ONNX Runtime fp32": [*ours, "--precision", "fp32", "--bare"],
        "ibid int8": [*ours, "--precision", "int8"],
        "bare ONNX Runtime int8": [*ours, "--precision", "int8", "--bare"],
    }
    if not options.without_peers:
        commands["sentence-transformers fp32"] = [*peer, "sentence-transformers", "--texts", file, "--model", source, "--threads", "1"]
        local = fastembed_directory(model, source, scratch / "fastembed")
        commands["fastembed fp32"] = [*peer, "fastembed", "--texts", file, "--model", local, "--threads", "1"]
    about = {"machine": machine(), "date": datetime.date.today().isoformat(), "threads": 1, "rounds": options.rounds}
    contestants = [Contestant(name, [str(part) for part in command]) for name, command in commands.items()]
    about["contestants"] = {contestant.name: contestant.about for contestant in contestants}
    rates = {contestant.name: {what: [] for what in WORK} for contestant in contestants}
    for what in WORK:
        # The first run of each is not measured: caches and allocators fill.
        tokens = next(answer["tokens"] for answer in [contestant.work(what) for contestant in contestants] if "tokens" in answer)
        texts = None
        for number in range(options.rounds):
            for contestant in contestants if number % 2 == 0 else reversed(contestants):
                answer = contestant.work(what)
                rates[contestant.name][what].append(tokens / answer["cpu"])
                texts = answer["texts"]
        about.setdefault("tokens_per_text", {})[what] = round(tokens / texts, 1)
        print(f"{WORK[what]}: done", file=sys.stderr)
    for contestant in contestants:
        contestant.close()

    base = "sentence-transformers fp32" if "sentence-transformers fp32" in rates else "ibid fp32"
    medians = {name: {what: statistics.median(values) for what, values in by.items()} for name, by in rates.items()}

    def times(name, what, other):
        return statistics.median(one / two for one, two in zip(rates[name][what], rates[other][what]))

    about["tokens_per_cpu_second"] = {name: {what: round(value) for what, value in by.items()} for name, by in medians.items()}
    about["all_rounds"] = {name: {what: [round(value) for value in values] for what, values in by.items()} for name, by in rates.items()}
    print(f"\nTokens per second of processor time, and times {base}:\n")
    print(f"| {'':28} |" + "".join(f" {text:>22} |" for text in WORK.values()))
    print("| --- |" + " ---: |" * len(WORK))
    about["times"] = {name: {what: round(times(name, what, base), 3) for what in WORK} for name in rates}
    for name, by in medians.items():
        cells = "".join(f" {by[what]:>11,.0f} ({times(name, what, base):5.2f}) |" for what in WORK)
        print(f"| {name:28} |{cells}")
    for precision in ("fp32", "int8"):
        shares = {what: times(f"ibid {precision}", what, f"bare ONNX Runtime {precision}") for what in WORK}
        about[f"share_of_bare_{precision}"] = {what: round(share, 3) for what, share in shares.items()}
        print(f"\nOf bare ONNX Runtime, {precision}: " + ", ".join(f"{WORK[what]} {share:.1%}" for what, share in shares.items()))

    print("\nA query's wait in quiet and under a full load of documents (threads: one per core):")
    for precision in ("fp32", "int8"):
        command = [options.program, "fair", "--texts", file, "--share", options.share, "--model", model, "--precision", precision]
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True)
        fair = json.loads(done.stdout.splitlines()[-1])
        about[f"fair_{precision}"] = fair
        print(f"  {precision}: p95 {fair['quiet_p95_ms']:.1f} ms in quiet, {fair['loaded_p95_ms']:.1f} ms under load: {fair['ratio_p95']:.2f} times")
    command = [options.program, "agree", "--texts", file, "--share", options.share, "--model", model, "--precision", "int8"]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True)
    about["int8_beside_fp32"] = json.loads(done.stdout.splitlines()[-1])
    print(f"\nint8 beside fp32: cosine {about['int8_beside_fp32']['cosine_mean']:.5f} in the mean, {about['int8_beside_fp32']['cosine_min']:.5f} at least")

    if options.quick:
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = "".join(letter if letter.isalnum() else "-" for letter in about["machine"]["cpu"].lower()).strip("-")
    result = RESULTS / f"{about['date']}-cpu-{name}.json"
    result.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {result.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
