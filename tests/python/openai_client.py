"""The official `openai` package against a server: its address is the first argument, a question and the text that must be quoted the
next two; the collection `documents` holds the file `report.pdf`. Ends with 0 if all is as it should be."""

import base64
import struct
import sys

import openai
from httpx2 import Client

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
URL, QUESTION, QUOTED = sys.argv[1:4]
# Retries would hide what the server does; a proxy of the environment is not meant.
client = openai.OpenAI(base_url=f"{URL}/v1", api_key="unused", max_retries=0, http_client=Client(trust_env=False))
messages = [
    {"role": "system", "content": "Answer from the documents."},
    {"role": "user", "content": "Who goes there?"},
    {"role": "assistant", "content": "Nobody."},
    {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
]


def models():
    found = {model.id: model for model in client.models.list()}
    assert found["documents"].object == "model" and found["documents"].owned_by == "ibid", found
    assert found["documents"].created > 1_700_000_000
    assert client.models.retrieve("documents").id == "documents"
    (embedder,) = [model.id for model in found.values() if model.kind == "embedding"]
    return embedder


def chat():
    answer = client.chat.completions.create(model="documents", messages=messages, temperature=0.2)
    assert answer.id.startswith("chatcmpl-") and answer.object == "chat.completion" and answer.model == "documents"
    (choice,) = answer.choices
    assert choice.finish_reason == "stop" and choice.message.role == "assistant", choice
    check(choice.message.content, choice.message.annotations, answer.sources)
    assert answer.usage.prompt_tokens > 10 and answer.usage.completion_tokens > 5, answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    return answer


def cut(whole):
    """`max_tokens` and `stop` end an answer, and each says so."""
    ask = client.chat.completions.create
    text = whole.choices[0].message.content
    for name in ["max_tokens", "max_completion_tokens"]:
        short = ask(model="documents", messages=messages, temperature=0.2, **{name: 4})
        (choice,) = short.choices
        assert choice.finish_reason == "length" and text.startswith(choice.message.content), short
        assert 0 < short.usage.completion_tokens <= 4 and len(choice.message.content) < len(text), short
        content, reasons = "", []
        with ask(model="documents", messages=messages, temperature=0.2, stream=True, **{name: 4}) as chunks:
            for chunk in chunks:
                content += chunk.choices[0].delta.content or ""
                reasons.append(chunk.choices[0].finish_reason)
        assert content == choice.message.content and reasons[-1] == "length", (content, reasons)
    enough = ask(model="documents", messages=messages, temperature=0.2, max_tokens=100_000)
    assert enough.choices[0].message.content == text and enough.choices[0].finish_reason == "stop", enough
    stop = text[10:14]
    for stops in [stop, ["nowhere at all", stop]]:
        (choice,) = ask(model="documents", messages=messages, temperature=0.2, stop=stops).choices
        assert choice.message.content == text[: text.index(stop)] and choice.finish_reason == "stop", choice
    # What changes nothing that a client relies on.
    same = ask(
        model="documents", messages=messages, n=1, seed=1, top_p=0.5, logprobs=False, user="somebody", modalities=["text"],
        presence_penalty=0.1, response_format={"type": "text"}, tools=[TOOL], tool_choice="none",
    )
    assert same.choices[0].message.content == text, same


def check(content, annotations, sources):
    """What is annotated is a marker, and the source behind it is an exact quotation."""
    assert sources and len(annotations) == len(sources), (annotations, sources)
    for annotation, source in zip(annotations, sources, strict=True):
        citation = annotation.url_citation
        marker = content[citation.start_index : citation.end_index]
        assert f"[{source['citation_id']}]" in marker, (marker, content)
        page = source["metadata"]["page"]
        assert citation.title == f"report.pdf, page {page}", citation
        assert citation.url == f"{URL}/documents/{source['metadata']['document_id']}/file#page={page}", citation
        with Client(trust_env=False) as http:
            where = f"start={source['metadata']['start_char']}&end={source['metadata']['end_char']}"
            text = http.get(f"{URL}/documents/{source['metadata']['document_id']}/text?{where}")
            assert text.text == source["content"], (text.text, source)
            file = http.get(citation.url)
            assert file.status_code == 200 and file.content.startswith(b"%PDF-")
    assert any(QUOTED in source["content"] for source in sources), sources


def stream(whole):
    content, annotations, sources, usage, reasons = "", [], None, None, []
    with client.chat.completions.create(
        model="documents", messages=messages, stream=True, stream_options={"include_usage": True}
    ) as chunks:
        for n, chunk in enumerate(chunks):
            assert chunk.object == "chat.completion.chunk" and chunk.id.startswith("chatcmpl-")
            if chunk.usage:
                usage = chunk.usage
                assert chunk.choices == []
                continue
            (choice,) = chunk.choices
            assert (choice.delta.role == "assistant") == (n == 0), chunk
            content += choice.delta.content or ""
            for annotation in getattr(choice.delta, "annotations", None) or []:
                annotations.append(openai.types.chat.chat_completion_message.Annotation.model_validate(annotation))
            reasons.append(choice.finish_reason)
            sources = getattr(chunk, "sources", None) or sources
    assert reasons[-1] == "stop" and not any(reasons[:-1]), reasons
    assert content == whole.choices[0].message.content, (content, whole)
    assert usage == whole.usage, (usage, whole.usage)
    check(content, annotations, sources)


def embeddings(model):
    texts = ["The budget of the IT department.", "Zürich", "x " * 2_000]
    vectors = client.embeddings.create(model=model, input=texts, encoding_format="float")
    assert vectors.model == model and [item.index for item in vectors.data] == [0, 1, 2]
    assert vectors.usage.prompt_tokens == vectors.usage.total_tokens > 2_000
    # The package asks for Base64 by itself, and decodes it.
    decoded = client.embeddings.create(model=model, input=texts)
    for one, other in zip(vectors.data, decoded.data, strict=True):
        assert abs(sum(x * x for x in one.embedding) - 1) < 1e-4
        assert max(abs(x - y) for x, y in zip(one.embedding, other.embedding, strict=True)) < 1e-6
    raw = client.embeddings.with_raw_response.create(model=model, input=texts[0], encoding_format="base64")
    packed = base64.b64decode(raw.http_response.json()["data"][0]["embedding"])
    length = len(vectors.data[0].embedding)
    assert max(abs(x - y) for x, y in zip(struct.unpack(f"<{length}f", packed), vectors.data[0].embedding, strict=True)) < 1e-6
    client.embeddings.create(model=model, input="x", dimensions=length)
    for wrong, param in [
        ({"input": "x", "dimensions": length + 1}, "dimensions"),
        ({"input": ""}, "input"),
        ({"input": [1, 2, 3]}, "input"),
        ({"input": [[1, 2], [3]]}, "input"),
    ]:
        refused(openai.BadRequestError, param, client.embeddings.create, model=model, **wrong)
    refused(openai.NotFoundError, "model", client.embeddings.create, model="text-embedding-3-small", input="x")


def refused(kind, param, call, **arguments):
    try:
        call(**arguments)
    except kind as error:
        assert error.param == param and error.code and error.type.endswith("_error") and error.request_id, vars(error)
    else:
        raise AssertionError(f"{arguments} was not refused")


def errors():
    ask = client.chat.completions.create
    for streams in [False, True]:
        refused(openai.NotFoundError, "model", ask, model="no-such", messages=messages, stream=streams)
    refused(openai.BadRequestError, "messages", ask, model="documents", messages=[])
    refused(openai.BadRequestError, "messages[0].content", ask, model="documents", messages=[{"role": "user", "content": " "}])
    refused(openai.BadRequestError, "temperature", ask, model="documents", messages=messages, temperature=3)
    for param, wrong in [
        ("n", 2),
        ("tools", [TOOL]),
        ("response_format", {"type": "json_object"}),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}),
        ("logprobs", True),
        ("modalities", ["text", "audio"]),
        ("max_tokens", 0),
        ("max_completion_tokens", 0),
        ("stop", ["a", "b", "c", "d", "e"]),
        ("stop", ""),
    ]:
        refused(openai.BadRequestError, param, ask, model="documents", messages=messages, **{param: wrong})
    refused(openai.BadRequestError, "tools", ask, model="documents", messages=messages, tools=[TOOL], tool_choice="required")
    refused(openai.NotFoundError, "model", client.models.retrieve, model="no-such")


embedder = models()
whole = chat()
stream(whole)
cut(whole)
embeddings(embedder)
errors()
