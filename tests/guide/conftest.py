"""ws://localhost:8000 leads to the server under test."""

import os

import websockets

real = websockets.connect
websockets.connect = lambda uri, **more: real(uri.replace("ws://localhost:8000", os.environ["GUIDE_SERVER"]), **more)
