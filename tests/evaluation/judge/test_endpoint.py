"""The real client against an endpoint that fails on demand."""

from __future__ import annotations

import pytest
from fake_judge import FakeJudge, fake_judge

from qembed.errors import Unreachable, UsageError
from qembed.evaluation.judge.endpoint import Answer, Endpoint
from qembed.evaluation.judge.rubric import messages

ASKED = messages("how?", "so")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qembed.evaluation.judge.endpoint._wait", lambda _: None)


def test_one_answer() -> None:
    with fake_judge(FakeJudge()) as judge:
        endpoint = Endpoint(judge.url + "/", "tiny", "secret")
        assert endpoint.ask(ASKED) == Answer("1", 100, 2)
        endpoint.close()
    assert judge.asked == [{"model": "tiny", "messages": ASKED, "temperature": 0, "max_tokens": 8}]
    assert judge.keys == ["Bearer secret"]


def test_what_passes_is_waited_for() -> None:
    with fake_judge(FakeJudge(faults=[429, 503, "drop", 500])) as judge:
        endpoint = Endpoint(judge.url, "tiny", None)
        assert endpoint.ask(ASKED).text == "1"
        endpoint.close()
    assert len(judge.keys) == 5
    assert set(judge.keys) == {None}


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "QEMBED_JUDGE_KEY"), (404, "--judge-model"), (400, "URL")]
)
def test_what_is_refused_is_said_at_once(status: int, remedy: str) -> None:
    with fake_judge(FakeJudge(faults=[status] * 9)) as judge:
        endpoint = Endpoint(judge.url, "tiny", None)
        with pytest.raises(Unreachable, match=f"HTTP {status}: no, thank you") as caught:
            endpoint.ask(ASKED)
        endpoint.close()
    assert remedy in str(caught.value.remedy)
    assert len(judge.keys) == 1


def test_patience_ends() -> None:
    with fake_judge(FakeJudge(faults=[503] * 99)) as judge:
        endpoint = Endpoint(judge.url, "tiny", None, patience_seconds=0.01)
        with pytest.raises(Unreachable, match="HTTP 503"):
            endpoint.ask(ASKED)
        endpoint.close()
    endpoint = Endpoint(judge.url, "tiny", None, patience_seconds=0.01)  # nobody listens any more
    with pytest.raises(Unreachable, match="ConnectError"):
        endpoint.ask(ASKED)
    endpoint.close()


@pytest.mark.parametrize("url", ["ftp://host/v1", "host/v1", "http://", "https://[::1"])
def test_what_is_no_endpoint(url: str) -> None:
    with pytest.raises(UsageError):
        Endpoint(url, "tiny", None)


def test_a_key_is_not_sent_in_the_clear() -> None:
    with pytest.raises(UsageError, match="unencrypted"):
        Endpoint("http://far.example/v1", "tiny", "secret")
