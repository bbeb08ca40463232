"""Serve an ASGI application on a port of the kernel's choice, and announce it."""

import json
import socket
import sys
from typing import Any

import uvicorn


def serve(application: Any) -> None:
    """Listen on loopback, print the port as one JSON line, serve until SIGTERM."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    sys.stdout.write(json.dumps({"port": listener.getsockname()[1]}) + "\n")
    sys.stdout.flush()
    config = uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])
