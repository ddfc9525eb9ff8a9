"""The server of policies in Python, asked by openpi's own client."""

import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openpi_client")
pytest.importorskip("websockets")

from openpi_client.websocket_client_policy import WebsocketClientPolicy


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "policies/python")
    from udvla_policy_server import PolicyServer

    servers = []

    def start(make, **options):
        server = PolicyServer(make, **options).listen("127.0.0.1", 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.socket.getsockname()[1]

    yield start
    for server in servers:
        server.shutdown()


class Counting:
    """Answers with the number of calls since the episode began."""

    def reset(self):
        self.calls = 0

    def infer(self, observation):
        self.calls += 1
        return np.full((2, 3), self.calls, np.float32)


def first(answer):
    return answer["actions"][0, 0]


def test_a_class_answers_and_says_what_it_is(serve):
    port = serve(Counting, metadata={"policy": "counting"})
    client = WebsocketClientPolicy("127.0.0.1", port)
    metadata = client.get_server_metadata()
    assert metadata == {"server": "udvla_policy_server", "stateful": True, "policy": "counting"}
    answer = client.infer({"image": np.zeros((4, 5, 3), np.uint8), "prompt": "go"})
    assert answer["actions"].shape == (2, 3) and answer["actions"].dtype == np.float32
    assert answer["server_timing"]["infer_ms"] >= 0
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as health:
        assert health.read() == b"OK\n"


def test_reset_is_called_where_an_episode_begins(serve):
    client = WebsocketClientPolicy("127.0.0.1", serve(Counting))
    begins = [True, False, False, True, False]
    calls = [first(client.infer({"episode": {"begins": it}})) for it in begins]
    assert calls == [1, 2, 3, 1, 2]


def test_a_client_of_a_stateful_class_has_its_instance_alone(serve):
    port = serve(Counting, instances=2)
    clients = [WebsocketClientPolicy("127.0.0.1", port) for _ in range(2)]
    assert [first(client.infer({})) for client in [*clients, *clients]] == [1, 1, 2, 2]
    with pytest.raises(Exception, match="every instance has a client"):
        WebsocketClientPolicy("127.0.0.1", port)


class Batched:
    """Answers with the number of observations it got at once."""

    gate = threading.Event()

    def infer(self, observation):
        raise AssertionError("there is infer_batch")

    def infer_batch(self, observations):
        self.gate.wait(10)
        return [np.full(3, len(observations)) for _ in observations]


def test_observations_of_several_clients_are_one_batch(serve):
    port = serve(Batched)
    clients = [WebsocketClientPolicy("127.0.0.1", port) for _ in range(4)]
    answers = {}

    def ask(index):
        answers[index] = clients[index].infer({})["actions"]

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
        # The first batch is begun with the first; the others wait together.
        thread.join(0.2)
    Batched.gate.set()
    for thread in threads:
        thread.join()
    assert sorted(int(answer[0]) for answer in answers.values()) == [1, 3, 3, 3]


class Failing:
    def infer(self, observation):
        return observation["answer"]


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ({}, "KeyError: 'answer'"),
        ({"answer": "left"}, "actions are numbers"),
        ({"answer": np.zeros((1, 2, 3))}, "of shape"),
        ({"answer": None}, "actions are numbers"),
    ],
)
def test_what_fails_is_told_as_text_and_the_next_client_is_served(serve, observation, message):
    port = serve(Failing)
    with pytest.raises(RuntimeError, match=message):
        WebsocketClientPolicy("127.0.0.1", port).infer(observation)
    answer = WebsocketClientPolicy("127.0.0.1", port).infer({"answer": [[1.0, 2.0]]})
    assert answer["actions"].tolist() == [[1.0, 2.0]]


def test_a_class_with_a_batch_and_a_state_is_refused(monkeypatch):
    class Both(Batched):
        def reset(self):
            pass

    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "policies/python")
    from udvla_policy_server import PolicyServer

    with pytest.raises(TypeError, match="has no `reset`"):
        PolicyServer(Both)


def test_arrays_of_objects_are_neither_sent_nor_taken(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "policies/python")
    from udvla_policy_server import pack, unpack

    with pytest.raises(TypeError):
        pack({"a": np.array([object()])})
    import msgpack

    fields = {b"__ndarray__": True, b"data": b"", b"dtype": "|O", b"shape": [0]}
    with pytest.raises(ValueError, match="not numeric"):
        unpack(msgpack.packb(fields))
