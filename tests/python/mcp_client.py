"""The official MCP package against a server: its address is the first argument, a question and the text that must be quoted the next
two; the collection `documents` holds the file `report.pdf`. Ends with 0 if all is as it should be."""

import asyncio
import sys

import httpx2
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

URL, QUESTION, QUOTED = sys.argv[1:4]


async def use(session):
    hello = await session.initialize()
    assert hello.server_info.name == "ibid" and hello.capabilities.tools is not None, hello
    assert "list_collections" in hello.instructions
    tools = {tool.name: tool for tool in (await session.list_tools()).tools}
    assert set(tools) == {"ask", "search", "list_collections"}, tools
    for tool in tools.values():
        assert tool.description and tool.input_schema["type"] == "object" and tool.output_schema["type"] == "object"
        assert tool.annotations.read_only_hint is True
    assert tools["ask"].input_schema["required"] == ["query"]

    # The package checks what is structured against the tool's own schema.
    listed = await session.call_tool("list_collections")
    assert [c["name"] for c in listed.structured_content["collections"]] == ["documents"], listed
    assert "documents" in listed.content[0].text

    answer = await session.call_tool("ask", {"query": QUESTION})
    assert not answer.is_error, answer
    sources = answer.structured_content["sources"]
    assert any(QUOTED in source["content"] for source in sources), answer
    async with httpx2.AsyncClient(trust_env=False) as http:
        for source in sources:
            where = source["metadata"]
            text = await http.get(f"{URL}/documents/{where['document_id']}/text?start={where['start_char']}&end={where['end_char']}")
            assert text.text == source["content"], (text.text, source)
            assert f"report.pdf, page {where['page']}" in answer.content[0].text

    found = await session.call_tool("search", {"query": QUESTION, "limit": 2, "collection_name": "documents"})
    assert found.structured_content["total_results"] == 1 and QUOTED in found.content[0].text, found
    nothing = await session.call_tool("search", {"query": QUESTION, "filters": {"sources": ["other.pdf"]}})
    assert nothing.structured_content["results"] == [] and not nothing.is_error, nothing

    # What is wrong is told to whoever can do better.
    for name, arguments, code in [
        ("ask", {"query": " "}, "VALIDATION_ERROR"),
        ("ask", {}, "VALIDATION_ERROR"),
        ("ask", {"query": "?", "collection_name": "no-such"}, "COLLECTION_NOT_FOUND"),
        ("search", {"query": "?", "limit": 0}, "VALIDATION_ERROR"),
    ]:
        failed = await session.call_tool(name, arguments)
        assert failed.is_error and failed.content[0].text.startswith(code), (arguments, failed)
    try:
        await session.call_tool("no-such-tool")
    except Exception as error:
        assert "there is no tool" in str(error), error
    else:
        raise AssertionError("a tool that there is not was called")


async def main():
    async with httpx2.AsyncClient(trust_env=False, timeout=120) as http:
        async with streamable_http_client(f"{URL}/mcp", http_client=http) as streams:
            async with ClientSession(streams[0], streams[1]) as session:
                await use(session)
        # A page of somewhere else may not.
        hello = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        headers = {"accept": "application/json, text/event-stream", "origin": "http://evil.example"}
        assert (await http.post(f"{URL}/mcp", json=hello, headers=headers)).status_code == 403
        headers["origin"] = URL
        assert (await http.post(f"{URL}/mcp", json=hello, headers=headers)).status_code == 200


asyncio.run(main())
