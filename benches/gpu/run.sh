#!/usr/bin/env bash
# The embedder on a GPU: correctness, then speed beside sentence-transformers and beside the bare model. Needs no network.
#
#   benches/gpu/run.sh --program FILE --libraries DIR --model DIR --source DIR [options]
#
#   --program FILE     the bench program `embed` (cargo bench --bench embed --no-run says where it is)
#   --libraries DIR    libonnxruntime.so and its CUDA part; parts of compressed files (NAME.xz.00, NAME.xz.01, ...) are joined
#   --model DIR        what `ibid model convert` made
#   --source DIR       what it was made of, for sentence-transformers and for its tokenizer
#   --cuda DIR         where CUDA's libraries lie; by default where Python's packages have them (may be repeated)
#   --device cpu       tries this script on a machine without a GPU: nothing that it prints means anything then
#   --seconds N        for each measurement (10)
#   --texts N          passages to embed (4096)
#   --without-large    leaves the BERT-large shape out
#   --without-peer     leaves sentence-transformers out
#   --out DIR          where results go ($OUT, or benches/results beside this script)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
program='' libraries='' model='' source='' device=required seconds=10 texts=4096 large=yes peer=yes cuda=() out=${OUT:-$here/../results}
while (($#)); do
  case $1 in
    --program) program=$2 && shift 2 ;;
    --libraries) libraries=$2 && shift 2 ;;
    --model) model=$2 && shift 2 ;;
    --source) source=$2 && shift 2 ;;
    --cuda) cuda+=("$2") && shift 2 ;;
    --device) device=$2 && shift 2 ;;
    --seconds) seconds=$2 && shift 2 ;;
    --texts) texts=$2 && shift 2 ;;
    --without-large) large=no && shift ;;
    --without-peer) peer=no && shift ;;
    --out) out=$2 && shift 2 ;;
    *) sed -n '2,${/^#/!q;s/^# \{0,1\}//p}' "$0" && exit 2 ;;
  esac
done
for needed in program libraries model source; do
  [ -n "${!needed}" ] || { echo "--$needed is missing; see the head of $0" >&2 && exit 2; }
done
scratch=$(mktemp -d)
sampler=''
trap '[ -z "$sampler" ] || kill "$sampler" 2>/dev/null || true; rm -rf "$scratch"' EXIT

# Libraries that came in parts are joined in a directory of their own, beside links to the others.
mkdir "$scratch/lib"
for file in "$libraries"/*; do
  case $file in
    *.xz.[0-9][0-9] | *.xz) ;;
    *) ln -s "$(realpath "$file")" "$scratch/lib/$(basename "$file")" ;;
  esac
done
for first in "$libraries"/*.xz.00 "$libraries"/*.xz; do
  [ -e "$first" ] || continue
  name=$(basename "${first%.00}" .xz)
  echo "joining $name"
  cat "${first%.00}"* | xz -dc >"$scratch/lib/$name"
done
# The versioned name is the file, the other one a link to it; either may be what was brought.
if [ ! -e "$scratch/lib/libonnxruntime.so" ]; then
  ln -s "$(basename "$(ls "$scratch"/lib/libonnxruntime.so.* | head -1)")" "$scratch/lib/libonnxruntime.so"
fi
# ONNX Runtime looks for its parts beside the file that the link names.
if [ -e "$scratch/lib/libonnxruntime_providers_cuda.so" ]; then
  for link in "$scratch"/lib/*; do
    [ ! -L "$link" ] || [ ! -f "$link" ] || case $(readlink "$link") in /*) cp --remove-destination "$(readlink "$link")" "$link" ;; esac
  done
fi

if [ ${#cuda[@]} -eq 0 ]; then
  while read -r directory; do cuda+=("$directory"); done < <(python3 - <<'P' 2>/dev/null || true
import importlib.util
spec = importlib.util.find_spec("nvidia")
print("\n".join(spec.submodule_search_locations if spec else []))
P
)
fi
options=(--runtime "$scratch/lib" --device "$device")
for directory in ${cuda[@]+"${cuda[@]}"}; do options+=(--cuda-libraries "$directory"); done

export IBID_BENCH_OPTIONS
IBID_BENCH_OPTIONS=$(printf '%s\n' "${options[@]}")
export PROGRAM=$program SECONDS_EACH=$seconds TEXTS=$texts PEER=$peer DEVICE=$device SCRATCH=$scratch RESULTS=$out HERE=$here

if command -v nvidia-smi >/dev/null; then
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader
  nvidia-smi --query-gpu=index,utilization.gpu --format=csv,noheader,nounits -lms 100 >"$scratch/busy.csv" 2>/dev/null &
  sampler=$!
else
  echo "there is no nvidia-smi: how busy the GPU is will not be told"
fi

models=("$(basename "$model")=$model=$source")
if [ "$large" = yes ]; then
  echo "making a model of random weights in the shape of BERT-large"
  "$program" model "$scratch/large" --tokenizer "$source" >/dev/null
  models+=("bert-large=$scratch/large/bert-large=$scratch/large/source")
fi
printf '%s\n' "${models[@]}" >"$scratch/models"

python3 - <<'P'
import datetime, json, os, statistics, subprocess, sys
from pathlib import Path

sys.dont_write_bytecode = True
here, scratch = Path(os.environ["HERE"]), Path(os.environ["SCRATCH"])
sys.path.insert(0, str(here.parent / "embed"))
import texts as corpus

program, device, seconds = os.environ["PROGRAM"], os.environ["DEVICE"], os.environ["SECONDS_EACH"]
common = os.environ["IBID_BENCH_OPTIONS"].split("\n")
corpus.write(scratch / "texts.json", int(os.environ["TEXTS"]), 256)
corpus.write(scratch / "few.json", min(96, int(os.environ["TEXTS"])), 32)
cores, failed = os.cpu_count(), []
smi = scratch / "busy.csv"


def answers(command, work=()):
    command = [str(part) for part in command]
    done = subprocess.run(command, input="".join(line + "\n" for line in work), stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def busy_since(line):
    """The median of what nvidia-smi sampled from this line on, in percent."""
    if not smi.exists():
        return None
    samples = [float(row.split(",")[1]) for row in smi.read_text().splitlines()[line:] if "," in row and row.split(",")[1].strip().isdigit()]
    return statistics.median(samples) if samples else None


def lines():
    return len(smi.read_text().splitlines()) if smi.exists() else 0


report = {"date": datetime.date.today().isoformat(), "cores": cores, "device": device, "models": {}}
try:
    report["gpu"] = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], stdout=subprocess.PIPE, text=True).stdout.strip()
except FileNotFoundError:
    report["gpu"] = None

for line in (scratch / "models").read_text().splitlines():
    name, model, source = line.split("=")
    print(f"\n== {name}")
    result = report["models"][name] = {}
    agree = answers([program, "agree", "--texts", scratch / "few.json", "--model", model, *common])[-1]
    result["agree"] = agree
    print(f"on {agree['device']} in {agree['precision']}: cosine with 32 bits on the CPU {agree['cosine_mean']:.6f} in the mean, {agree['cosine_min']:.6f} at least")
    if agree["cosine_min"] < 0.999:
        failed.append(f"{name}: a cosine of {agree['cosine_min']:.6f} is below .999")

    work = [program, "work", "--texts", scratch / "texts.json", "--model", model, *common]
    warm = "chunks 1" if device == "required" else "chunks"
    measured = {}
    for contestant, extra in (("ibid", []), ("bare", ["--bare"])):
        # Two turns each, A B A B would load each model four times: the second answer of each is after the first has warmed it.
        before = lines()
        about, _, answer = answers([*work, *extra], [warm, f"chunks {seconds}"])
        answer["busy"] = busy_since(before)
        measured[contestant] = answer
        rate = answer["tokens"] / answer["wall"]
        busy = "" if answer["busy"] is None else f", GPU busy {answer['busy']:.0f} %"
        print(f"{contestant:5} {answer['texts'] / answer['wall']:>10,.0f} texts/s {rate:>12,.0f} tokens/s{busy}")
    ours, bare = measured["ibid"], measured["bare"]
    reading = ours["reading"]
    share = reading / (ours["wall"] * ours["threads"])
    limit = ours["tokens"] / max(reading, 1e-9) * ours["threads"]
    rate, bare_rate = ours["tokens"] / ours["wall"], bare["tokens"] / bare["wall"]
    print(f"tokenizing takes {share:.0%} of {ours['threads']} threads: at most {limit:,.0f} tokens/s")
    print(f"of the smaller of tokenizer limit and bare model: {rate / min(limit, bare_rate):.1%} (wanted: 90 %)")
    result.update(ibid=ours, bare=bare, tokenizer_share=share, tokenizer_limit=limit, share_of_limit=rate / min(limit, bare_rate))

    if os.environ["PEER"] == "yes":
        best = None
        dtype, where = ("float32", "cpu") if device == "cpu" else ("float16", "cuda")
        for batch in (32, 128, 512):
            peer = [sys.executable, here.parent / "embed/peer.py", "sentence-transformers", "--texts", scratch / "texts.json", "--model", source,
                    "--device", where, "--dtype", dtype, "--batch", batch]  # fmt: skip
            try:
                about, _, answer = answers(peer, [warm, f"chunks {seconds}"])
            except Exception as error:
                print(f"sentence-transformers, batches of {batch}: {error}")
                continue
            found = answer["texts"] / answer["wall"]
            print(f"sentence-transformers {dtype}, batches of {batch}: {found:,.0f} texts/s")
            if best is None or found > best[0]:
                best = (found, batch, about["versions"])
        if best:
            times = ours["texts"] / ours["wall"] / best[0]
            print(f"times sentence-transformers at its best: {times:.2f} (wanted: 3)")
            result["sentence_transformers"] = {"texts_per_second": best[0], "batch": best[1], "versions": best[2], "times": times}

if device == "cpu":
    print("\nThis was a trial on the CPU: none of these numbers means anything.")
else:
    results = Path(os.environ["RESULTS"])
    results.mkdir(parents=True, exist_ok=True)
    words = "".join(letter if letter.isalnum() else "-" for letter in (report["gpu"] or "gpu").split(",")[0].lower())
    path = results / f"{report['date']}-gpu-{words}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten to {path}")
for failure in failed:
    print(f"FAILED: {failure}")
sys.exit(1 if failed else 0)
P
