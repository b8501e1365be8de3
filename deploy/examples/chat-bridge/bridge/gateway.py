"""Tallyport's side: its messages, whose signatures are checked, and the answers, which are signed."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from .config import SecretFile
from .web import Unreachable, Web

TIMEOUT_SECONDS = 10.0
# Between the tries of one answer, where the gateway cannot say whether it counts.
PAUSES_SECONDS = (1, 2, 4, 8)


class Unsigned(Exception):
    """A message is not from the gateway, or too old."""


class Malformed(Exception):
    """A message of the gateway is not as docs/reference/webhooks.md has it."""


@dataclass(frozen=True)
class Message:
    """What the gateway tells of one request."""

    id: str
    at: datetime
    approval: dict[str, Any]
    review_url: str | None

    @classmethod
    def verified(cls, secret: SecretFile, headers: Mapping[str, str], body: bytes) -> "Message":
        headers = {name.lower(): value for name, value in headers.items()}
        if not any(_is_good(one, headers, body) for one in secret.signing()):
            raise Unsigned("the signature is missing, wrong or too old")
        try:
            sent = json.loads(body)
            # Fractions of a second have any number of digits: texts would not compare.
            at, data = datetime.fromisoformat(sent["timestamp"]), sent["data"]
            approval, review_url = data["approval"], data["review_url"]
            if not isinstance(approval["approval_id"], str) or not isinstance(approval["state"], str):
                raise TypeError("approval_id and state are texts")
        except (ValueError, KeyError, TypeError) as error:
            raise Malformed(f"not a message of Tallyport: {error!r}") from error
        return cls(headers["webhook-id"], at, approval, review_url)


def _is_good(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
        return True
    except (WebhookVerificationError, ValueError):
        # A ValueError is how the library says that a signature is no base64, or the body no text.
        return False


@dataclass(frozen=True)
class Answer:
    """What a reviewer pressed or wrote."""

    id: str
    approval_id: str
    word: str
    reviewer: str
    digest: str | None
    comment: str | None


@dataclass(frozen=True)
class Verdict:
    """What the gateway says of an answer."""

    status: int
    code: str
    said: dict[str, Any]

    @property
    def counts(self) -> bool:
        return self.status == 200


class Gateway:
    def __init__(self, web: Web, url: str, secret: SecretFile) -> None:
        self._web, self._url, self._secret = web, url, secret

    def pass_on(self, answer: Answer) -> Verdict:
        """Passes an answer on, again where the gateway cannot say whether it counts: one answer counts once."""
        for pause in PAUSES_SECONDS:
            verdict = self.pass_on_once(answer)
            if verdict.status < 500:
                return verdict
            time.sleep(pause)
        return self.pass_on_once(answer)

    def pass_on_once(self, answer: Answer) -> Verdict:
        said = {
            "approval_id": answer.approval_id,
            "answer": answer.word,
            "reviewer": answer.reviewer,
            "digest": answer.digest,
            "comment": answer.comment,
        }
        body, now = json.dumps(said), datetime.now(UTC)
        signatures = [Webhook(one).sign(answer.id, now, body) for one in self._secret.signing()]
        headers = {
            "webhook-id": answer.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        try:
            status, told = self._web.send("POST", self._url, headers, body.encode(), TIMEOUT_SECONDS)
        except Unreachable as error:
            return Verdict(503, "unreachable", {"message": str(error)})
        return Verdict(status, str(told.get("code", "")), told)
