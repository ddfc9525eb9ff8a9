"""The server: connections, instances of the policy, batches."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from .codec import pack, unpack

_TRY_AGAIN_LATER = 1013
_INTERNAL_ERROR = 1011


class PolicyServer:
    """Answers observations with the actions of a policy.

    Args:
        make: makes an instance of the policy; called `instances` times before the first client.
        instances: instances, of which a client of a policy with `reset` takes one alone.
        max_batch: observations that `infer_batch` gets at once, at most.
        metadata: what clients are told in addition, for example the checkpoint's name.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        instances: int = 1,
        max_batch: int = 16,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        policies = [make() for _ in range(instances)]
        self.is_stateful = hasattr(policies[0], "reset")
        if self.is_stateful and hasattr(policies[0], "infer_batch"):
            raise TypeError("a policy with `infer_batch` keeps nothing: it has no `reset`")
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._shared: Callable[[dict], Any] | None = None
        if self.is_stateful:
            for policy in policies:
                self._free.put(policy)
        elif hasattr(policies[0], "infer_batch"):
            self._shared = _Batcher(policies[0].infer_batch, max_batch).infer
        else:
            self._shared = _Exclusive(policies[0].infer).infer
        self._metadata = {
            "server": "udvla_policy_server",
            "stateful": self.is_stateful,
            **(metadata or {}),
        }

    def listen(self, host: str, port: int) -> Server:
        """Binds to the address; `serve_forever()` of the result answers clients.

        Raises:
            OSError: if the address is taken or not of this machine.
        """
        return serve(
            self._client,
            host,
            port,
            compression=None,
            max_size=256 << 20,
            ping_interval=None,
            process_request=_health,
        )

    def _client(self, connection: ServerConnection) -> None:
        if not self.is_stateful:
            self._answer(connection, self._shared, None)
            return
        try:
            policy = self._free.get_nowait()
        except queue.Empty:
            reason = "every instance has a client; start with more --instances"
            connection.close(_TRY_AGAIN_LATER, reason)
            return
        try:
            policy.reset()
            self._answer(connection, policy.infer, policy.reset)
        finally:
            self._free.put(policy)

    def _answer(
        self,
        connection: ServerConnection,
        infer: Callable[[dict], Any],
        reset: Callable[[], None] | None,
    ) -> None:
        try:
            connection.send(pack(self._metadata))
            for message in connection:
                start = time.perf_counter()
                observation = unpack(message)
                # Only this project's client says when an episode begins.
                if reset is not None and observation.get("episode", {}).get("begins"):
                    reset()
                answer = _checked(infer(observation))
                answer["server_timing"] = {"infer_ms": (time.perf_counter() - start) * 1000}
                connection.send(pack(answer))
        except ConnectionClosed:
            pass
        except Exception:
            # As openpi's server: the traceback as text, then the end.
            text = traceback.format_exc()
            print(text, flush=True)
            try:
                connection.send(text)
                connection.close(_INTERNAL_ERROR, "the policy failed")
            except ConnectionClosed:
                pass


def _checked(answer: Any) -> dict[str, Any]:  # noqa: ANN401
    fields = dict(answer) if isinstance(answer, dict) else {"actions": answer}
    actions = np.asarray(fields["actions"])
    if actions.ndim not in (1, 2) or actions.dtype.kind not in "iuf":
        raise TypeError(
            f"actions are numbers [steps, width], not {actions.dtype} of shape {actions.shape}"
        )
    return {**fields, "actions": actions}


def _health(connection: ServerConnection, request: Request) -> Response | None:
    return connection.respond(HTTPStatus.OK, "OK\n") if request.path == "/healthz" else None


class _Exclusive:
    """One observation at a time."""

    def __init__(self, infer: Callable[[dict], Any]) -> None:
        self._infer, self._lock = infer, threading.Lock()

    def infer(self, observation: dict) -> Any:  # noqa: ANN401
        """The policy's answer."""
        with self._lock:
            return self._infer(observation)


class _Batcher:
    """Whatever arrived while the last batch was answered is the next one."""

    def __init__(self, infer: Callable[[list[dict]], Any], max_batch: int) -> None:
        self._infer, self._max_batch = infer, max_batch
        self._waiting: queue.SimpleQueue[tuple[dict, Future]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def infer(self, observation: dict) -> Any:  # noqa: ANN401
        """The policy's answer, computed with those to other clients' observations."""
        answer: Future = Future()
        self._waiting.put((observation, answer))
        return answer.result()

    def _run(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < self._max_batch:
                try:
                    batch.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            self._answer(batch)

    def _answer(self, batch: list[tuple[dict, Future]]) -> None:
        try:
            answers = list(self._infer([observation for observation, _ in batch]))
            if len(answers) != len(batch):
                raise ValueError(f"{len(answers)} answers to {len(batch)} observations")
        except Exception as error:
            for _, answer in batch:
                answer.set_exception(error)
            return
        for (_, answer), actions in zip(batch, answers, strict=True):
            answer.set_result(actions)
