"""An OpenAI-compatible endpoint: one chat completion per call, with patience for what passes."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any, Final

from qembed.errors import Unreachable, UsageError

KEY_VARIABLES: Final = ("QEMBED_JUDGE_KEY", "OPENAI_API_KEY")
PATIENCE_SECONDS: Final = 120.0
_LONGEST_WAIT_SECONDS: Final = 30.0
_wait = time.sleep
_PASSING: Final = (408, 409, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        text: The model's words.
        tokens_in: Tokens of the question, as the endpoint counts them; 0 where it does not say.
        tokens_out: Tokens of the answer; likewise.
    """

    text: str
    tokens_in: int
    tokens_out: int


class Endpoint:
    """Asks a model; safe to use from several threads.

    Attributes:
        url: Base URL, as ``https://host/v1``.
        model: Name of the model there.
    """

    def __init__(
        self, url: str, model: str, key: str | None, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: Base URL; ``/chat/completions`` is added.
            model: Name of the model there.
            key: Sent as a bearer token; none is sent when None.
            patience_seconds: How long one question is asked again while the endpoint is busy.

        Raises:
            UsageError: The URL is none, or would send the key unencrypted to another machine.
        """
        import httpx

        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise UsageError(f"{url!r} is no URL: {error}", remedy="--judge https://host/v1") from None
        local = parsed.host in ("localhost", "127.0.0.1", "::1")
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise UsageError(f"{url!r} is no URL of an endpoint", remedy="--judge https://host/v1")
        if key and parsed.scheme == "http" and not local:
            raise UsageError("the key would be sent unencrypted", where=url, remedy="use https")
        self.url, self.model = url.rstrip("/"), model
        self._patience = patience_seconds
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(headers=headers, timeout=httpx.Timeout(60.0, connect=10.0))

    def ask(self, messages: list[dict[str, str]]) -> Answer:
        """One answer, at temperature 0.

        Raises:
            Unreachable: The endpoint cannot be reached, refuses, or stays busy.
        """
        import httpx

        body = {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": 8}
        end, wait = time.monotonic() + self._patience, 0.5
        while True:
            try:
                response = self._client.post(f"{self.url}/chat/completions", json=body)
            except httpx.TransportError as error:
                reason, asked_to_wait = f"{type(error).__name__}: {error}", 0.0
            else:
                if response.is_success:
                    return self._answer(response)
                reason = f"HTTP {response.status_code}: {_reason(response)}"
                if response.status_code not in _PASSING:
                    raise self._refused(response.status_code, reason)
                asked_to_wait = _seconds(response.headers.get("Retry-After", ""))
            pause = max(asked_to_wait, wait * random.uniform(0.5, 1.0))  # no secret
            if time.monotonic() + pause > end:
                raise Unreachable(
                    f"the judge does not answer: {reason}",
                    where=self.url,
                    remedy="try again later: the same command resumes, what is graded is kept",
                )
            _wait(pause)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _answer(self, response: Any) -> Answer:
        try:
            document = response.json()
            text = document["choices"][0]["message"]["content"] or ""
            usage = document.get("usage") or {}
            return Answer(
                str(text), int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
            )
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise Unreachable(
                f"this is no answer of a chat endpoint: {response.text[:200]!r}",
                where=self.url,
                remedy="--judge wants an OpenAI-compatible base URL, as https://host/v1",
            ) from error

    def _refused(self, status: int, reason: str) -> Unreachable:
        remedy = "check the name of the model with --judge-model, and the URL"
        if status in (401, 403):
            remedy = f"set the key in {' or '.join(KEY_VARIABLES)}"
        return Unreachable(f"the judge refuses: {reason}", where=self.url, remedy=remedy)


def _reason(response: Any) -> str:
    try:
        error = response.json()["error"]
        return str(error["message"] if isinstance(error, dict) else error)[:200]
    except (ValueError, KeyError, TypeError):
        return str(response.text[:200])


def _seconds(text: str) -> float:
    return min(float(text), _LONGEST_WAIT_SECONDS) if text.strip().isdigit() else 0.0
