"""The local door: who may speak to the daemon, how requests come in and how answers go out.

`paths` and `guard` decide and do no I/O; `connection` is one client's socket, `sockets` the
listening ones; `body` reads what a request brings, `answer` and `respond` write what it gets back,
byte for byte; `handler` tells the story of one request at the door; `admin` holds the daemon's own
pages, `refusals` its own answers; `server` is the `Door` that ties them together. Everything behind
the door is handed in.
"""
