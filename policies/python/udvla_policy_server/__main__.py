"""`python -m udvla_policy_server module:Class`."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading

from .server import PolicyServer


def main() -> None:
    """Loads the class, then serves it until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m udvla_policy_server", description=__doc__)
    parser.add_argument("policy", help="the class, as module:Class; the folder is searched too")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--instances", type=int, default=1, help="clients of a class with `reset`")
    parser.add_argument("--max-batch", type=int, default=16, help="observations at once")
    arguments = parser.parse_args()
    if min(arguments.instances, arguments.max_batch) < 1:
        parser.error("--instances and --max-batch are at least 1")
    module, _, name = arguments.policy.partition(":")
    if not name:
        parser.error(f"`{arguments.policy}` is not module:Class")
    sys.path.insert(0, os.getcwd())
    try:
        make = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        parser.error(f"cannot load `{arguments.policy}`: {error}")
    metadata = {"policy": arguments.policy}
    policy = PolicyServer(make, arguments.instances, arguments.max_batch, metadata)
    try:
        server = policy.listen(arguments.host, arguments.port)
    except OSError as error:
        parser.error(f"cannot listen on {arguments.host}:{arguments.port}: {error}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    port = server.socket.getsockname()[1]
    print(f"{arguments.policy} is served at ws://{arguments.host}:{port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
