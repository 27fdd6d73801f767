"""Serves a language model of a megabyte by llama.cpp's own server (the package xllamacpp): `tiny_llm.py TOKENS`, a JSON list.

The model is made here. It writes the tokens one after the other, whatever it is asked: each token's embedding is a vector of
its own, attention and feed-forward add nothing, and the output layer maps each vector to the token that follows. Prints the
server's address; ends when its standard input does.
"""

import array
import json
import os
import struct
import sys
import tempfile

# Types of GGUF's metadata (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
EOS = 2


def string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def strings(items):
    return struct.pack("<IQ", STRING, len(items)) + b"".join(map(string, items))


def numbers(kind, letter, items):
    return struct.pack(f"<IQ{len(items)}{letter}", kind, len(items), *items)


def model(words):
    """A model in GGUF that writes `words`."""
    special = ["<unk>", "<s>", "</s>"]
    first = len(special) + 256
    # All bytes, so that any prompt can be read; SentencePiece writes spaces as U+2581.
    tokens = special + [f"<0x{byte:02X}>" for byte in range(256)] + [word.replace(" ", "\u2581") for word in words]
    kinds = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(words)
    scores = [0.0] * first + [-1.0 - n for n in range(len(words))]
    follows = {token: first for token in range(first)}
    follows.update({first + n: first + n + 1 for n in range(len(words))})
    follows[len(tokens) - 1] = EOS
    width, inner, head = (len(tokens) + 31) // 32 * 32, 32, 32

    def matrix(rows, ones, value):
        data = array.array("f", bytes(4 * width * rows))
        for row, column in ones:
            data[row * width + column] = value
        return data.tobytes()

    ones = array.array("f", [1.0] * width).tobytes()
    tensors = [
        ("token_embd.weight", [width, len(tokens)], matrix(len(tokens), [(n, n) for n in range(len(tokens))], 1.0)),
        ("output.weight", [width, len(tokens)], matrix(len(tokens), [(after, token) for token, after in follows.items()], 4.0)),
        ("output_norm.weight", [width], ones),
        ("blk.0.attn_norm.weight", [width], ones),
        ("blk.0.ffn_norm.weight", [width], ones),
        ("blk.0.ffn_gate.weight", [width, inner], bytes(4 * width * inner)),
        ("blk.0.ffn_up.weight", [width, inner], bytes(4 * width * inner)),
        ("blk.0.ffn_down.weight", [inner, width], bytes(4 * width * inner)),
    ]
    tensors += [(f"blk.0.attn_{part}.weight", [width, width], bytes(4 * width * width)) for part in ("q", "k", "v", "output")]
    facts = [
        ("general.architecture", STRING, string("llama")),
        ("llama.context_length", U32, struct.pack("<I", 16384)),
        ("llama.embedding_length", U32, struct.pack("<I", width)),
        ("llama.block_count", U32, struct.pack("<I", 1)),
        ("llama.feed_forward_length", U32, struct.pack("<I", inner)),
        ("llama.attention.head_count", U32, struct.pack("<I", width // head)),
        ("llama.attention.layer_norm_rms_epsilon", F32, struct.pack("<f", 1e-5)),
        ("llama.rope.dimension_count", U32, struct.pack("<I", head)),
        ("llama.vocab_size", U32, struct.pack("<I", len(tokens))),
        ("tokenizer.ggml.model", STRING, string("llama")),
        ("tokenizer.ggml.tokens", ARRAY, strings(tokens)),
        ("tokenizer.ggml.scores", ARRAY, numbers(F32, "f", scores)),
        ("tokenizer.ggml.token_type", ARRAY, numbers(I32, "i", kinds)),
        ("tokenizer.ggml.bos_token_id", U32, struct.pack("<I", 1)),
        ("tokenizer.ggml.eos_token_id", U32, struct.pack("<I", EOS)),
        ("tokenizer.ggml.unknown_token_id", U32, struct.pack("<I", 0)),
        ("tokenizer.ggml.add_space_prefix", BOOL, b"\0"),
        # It ends with a byte that is no word of the answer, so that the first one follows.
        ("tokenizer.chat_template", STRING, string("{% for message in messages %}{{ message.content }}{% endfor %}\n")),
    ]
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(facts))
    out += b"".join(string(key) + struct.pack("<I", kind) + value for key, kind, value in facts)
    data = b""
    for name, shape, values in tensors:
        out += string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(data))
        data += values + bytes(-len(values) % 32)
    return out + bytes(-len(out) % 32) + data


def main():
    import xllamacpp

    with tempfile.TemporaryDirectory() as home:
        path = os.path.join(home, "tiny.gguf")
        with open(path, "wb") as file:
            file.write(model(json.loads(sys.argv[1])))
        params = xllamacpp.CommonParams()
        params.model.path = path
        params.model_alias = {"tiny"}
        params.n_ctx = 16384
        params.n_parallel = 1
        params.warmup = False
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        server = xllamacpp.Server(params)
        print(server.listening_address, flush=True)
        sys.stdin.read()


main()
