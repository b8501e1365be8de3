"""HTTP as both sides need it: JSON in and out, no redirects, a certificate authority of one's own where there is one."""

import http.client
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

MAX_ANSWER_BYTES = 8 * 1024 * 1024


class Unreachable(Exception):
    """No answer came: what was asked may have been done, or not."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Signed answers and tokens go to the address that was configured, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Web:
    def __init__(self, ca_file: Path | None) -> None:
        context = ssl.create_default_context()
        if ca_file is not None:
            context.load_verify_locations(ca_file)
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect())

    def send(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None, timeout_seconds: float
    ) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer, whatever the status; an empty body where it is no JSON object."""
        headers = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            try:
                answer = self._opener.open(request, timeout=timeout_seconds)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                return answer.status, _object(answer.read(MAX_ANSWER_BYTES))
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{request.host} does not answer: {error}") from error


def _object(read: bytes) -> dict[str, Any]:
    try:
        value = json.loads(read)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
