"""Runs Python of the guide as it stands: ws://localhost:8000 leads to the server under test, and the argument that newer
versions of `websockets` call `additional_headers` may be called `extra_headers`.  python run.py SCENARIO SERVER CODE"""

import asyncio
import json
import sys

import websockets

scenario, server, path = sys.argv[1:]
real = websockets.connect


def connect(uri, extra_headers=None, **more):
    return real(uri.replace("ws://localhost:8000", server), additional_headers=extra_headers, **more)


websockets.connect = connect
code = compile(open(path, encoding="utf-8").read(), path, "exec")


async def cancel(client_class):
    client = client_class("ws://localhost:8000/ws/query", auth_token="your-jwt-token")
    await client.connect()
    ended = asyncio.get_running_loop().create_future()
    asked = asyncio.get_running_loop().create_future()

    async def callback(kind, data):
        if kind == "status":
            await client.cancel_query(await asked)
        elif kind in ("complete", "error"):
            ended.set_result({"type": kind, "status": data.get("status")})

    asked.set_result(await client.query("What is the budget?", callback=callback))
    result = await ended
    result["waiting"] = len(client.request_callbacks)
    print("RESULT", json.dumps(result))


if scenario == "query":
    exec(code, {"__name__": "__main__"})
else:
    # The example at its end is another scenario.
    run, asyncio.run = asyncio.run, lambda coroutine: coroutine.close()
    names = {"__name__": "__main__"}
    exec(code, names)
    run(cancel(names["RAGWebSocketClient"]))
