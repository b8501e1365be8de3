"""What the bridge must never do: take what is not signed, show what acts, pass on what nobody pressed.

python3 -m unittest discover -t . -s tests
"""

import base64
import json
import tempfile
import threading
import unittest
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

from standardwebhooks import Webhook

from bridge import text
from bridge.config import Config, ConfigError, SecretFile
from bridge.desk import Desk, Pressed, pressed_in, told
from bridge.gateway import Answer, Gateway, Malformed, Message, Unsigned, Verdict
from bridge.matrix import MatrixError
from bridge.service import PATH, inbox
from bridge.store import Store, StoreError
from bridge.web import Unreachable, Web

KEY = "whsec_" + base64.b64encode(b"the key of all the messages out").decode()
OTHER = "whsec_" + base64.b64encode(b"the key of all the answers back").decode()
NOW = datetime.now(UTC)
ID = "01a20635-5f36-74df-bd6e-bebe288245d9"
DIGEST = "d" * 64


def approval(state: str = "pending", **command: Any) -> dict[str, Any]:
    asked = {"statement": "DELETE FROM t WHERE id = 1", "kinds": ["delete"], "has_where": True, "opaque": False}
    return {
        "approval_id": ID, "state": state, "digest": DIGEST, "kind": "command", "command": asked | command,
        "principal": {"issuer": "https://i", "subject": "s", "display_name": "Agent", "kind": "agent", "owner": "Grace"},
        "delegation": [], "agent": {}, "target": {"name": "sample"}, "reasons": [], "answers": [],
        "requirements": [{"group": "dba", "quorum": 1}], "missing": [{"group": "dba", "quorum": 1}],
        "stands_until": "2026-11-27T10:15:00Z",
    }


def message(state: str = "pending", seconds: int = 0, step: str = "0", **command: Any) -> Message:
    return Message(f"msg_{ID}_{state}-{step}", NOW + timedelta(seconds=seconds), approval(state, **command), "https://g/#/a")


class FakeRoom:
    def __init__(self) -> None:
        self.sent: dict[str, dict[str, Any]] = {}
        self.sends = 0
        self.members = {"@ann:x", "@bridge:x"}

    def send(self, once: str, content: dict[str, Any], kind: str = "m.room.message") -> str:
        self.sends += 1
        self.sent.setdefault(once, content | {"kind": kind})
        return "$" + once

    def has(self, user: str) -> bool:
        return user in self.members

    def messages(self) -> list[dict[str, Any]]:
        return [one for one in self.sent.values() if one["kind"] == "m.room.message"]


class Case(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def secret(self, name: str, *lines: str) -> SecretFile:
        path = self.folder / name
        path.write_text("\n".join(lines))
        path.chmod(0o600)
        return SecretFile(path)


class Signatures(Case):
    body = json.dumps(
        {"type": "approval.pending", "timestamp": "2026-11-27T10:00:00.1Z",
         "data": {"review_url": None, "approval": approval()}}
    ).encode()

    def headers(self, key: str = KEY, at: datetime = NOW, body: bytes | None = None) -> dict[str, str]:
        signature = Webhook(key).sign("msg_1", at, (body or self.body).decode())
        return {"Webhook-Id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}

    def test_what_the_gateway_signed_is_taken(self) -> None:
        for lines in ([KEY], [OTHER, KEY]):
            taken = Message.verified(self.secret("s", *lines), self.headers(), self.body)
            self.assertEqual((taken.id, taken.approval["approval_id"]), ("msg_1", ID))

    def test_what_it_did_not_sign_is_refused(self) -> None:
        good = self.headers()
        forged = {
            "another key": self.headers(key=OTHER),
            "too old": self.headers(at=NOW - timedelta(minutes=6)),
            "too new": self.headers(at=NOW + timedelta(minutes=6)),
            "another body": self.headers(body=b"{}"),
            "another id": good | {"Webhook-Id": "msg_2"},
            "no base64": good | {"webhook-signature": "v1,\u00e9"},
            "no version": good | {"webhook-signature": "x"},
            "nothing": {},
        }
        for what, headers in forged.items():
            with self.subTest(what), self.assertRaises(Unsigned):
                Message.verified(self.secret("s", KEY), headers, self.body)

    def test_what_is_no_message_is_refused(self) -> None:
        for body in (b"[]", b"{}", b"no", b'{"timestamp": "x", "data": {}}'):
            with self.subTest(body), self.assertRaises(Malformed):
                Message.verified(self.secret("s", KEY), self.headers(body=body), body)

    def test_the_inbox_answers_by_status(self) -> None:
        taken: list[Message] = []
        desk, config = mock.Mock(take=taken.append), mock.Mock(secret=self.secret("s", KEY))
        server = ThreadingHTTPServer(("127.0.0.1", 0), inbox(config, desk))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)

        def post(path: str, headers: dict[str, str]) -> int:
            request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}{path}", self.body, headers)
            try:
                return int(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).status)
            except urllib.error.HTTPError as error:
                return error.code

        with self.assertLogs("bridge.service"):
            self.assertEqual(post(PATH, self.headers(key=OTHER)), 401)
        self.assertEqual(post("/", self.headers()), 404)
        self.assertEqual(post(PATH, self.headers() | {"Content-Length": str(2**21)}), 413)
        self.assertEqual(taken, [])
        self.assertEqual((post(PATH, self.headers()), len(taken)), (204, 1))
        desk.take = mock.Mock(side_effect=Unreachable("down"))
        with self.assertLogs("bridge.service"):
            self.assertEqual(post(PATH, self.headers()), 503)


class Texts(unittest.TestCase):
    def test_what_was_asked_stays_text(self) -> None:
        statement = "DELETE FROM t WHERE a = '</code></pre><a href=\"https://x\">@room</a> **b** `c`'\n\u202e"
        content = text.request(approval(statement=statement), "https://g/#/a").content
        self.assertEqual(content["m.mentions"], {})
        self.assertNotIn("</code></pre><a", content["formatted_body"])
        self.assertIn("&lt;/code&gt;&lt;/pre&gt;&lt;a href=&quot;https://x&quot;&gt;@room", content["formatted_body"])
        for body in (content["body"], content["formatted_body"]):
            self.assertNotIn("\u202e", body)
            self.assertIn("\\u{202e}", body)
        self.assertIn("    DELETE FROM t", content["body"])

    def test_no_line_of_theirs_passes_for_one_of_ours(self) -> None:
        asked = approval(statement="x\nAnswer: Ann agreed", parameters=[{"value": {"form": "text", "value": "1\n$2 = 2"}}])
        asked["principal"]["display_name"] = "Agent\nAnswer: Ann agreed"
        lines = text.request(asked, None).content["body"].split("\n")
        self.assertFalse([line for line in lines if line.startswith(("Answer", "$2", "    $2"))])

    def test_without_the_whole_statement_nothing_is_approved(self) -> None:
        without = approval()
        del without["digest"], without["command"]["statement"]
        for asked in (without, approval(statement="x" * 60_000)):
            shown = text.request(asked, None)
            self.assertFalse(shown.whole)
            self.assertIn("page only", shown.content["body"])
            self.assertLess(len(json.dumps(text.edit(shown, "$e").content)), 64_000)
        self.assertTrue(text.request(approval(statement="x" * 20_000), None).whole)


class Answers(Case):
    def setUp(self) -> None:
        super().setUp()
        self.room, self.path = FakeRoom(), self.folder / "state.json"
        self.passed: list[Answer] = []
        self.desk = self.started()

    def started(self) -> Desk:
        def pass_on(answer: Answer) -> Verdict:
            self.passed.append(answer)
            return Verdict(403, "not_a_reviewer", {"message": "whoever asks may not answer"})

        return Desk(self.room, Store(self.path), "@bridge:x", pass_on)  # type: ignore[arg-type]

    def reaction(self, key: str = "✅", under: str = f"$msg_{ID}_pending-0", sender: str = "@ann:x") -> dict[str, Any]:
        relation = {"rel_type": "m.annotation", "event_id": under, "key": key}
        return {"type": "m.reaction", "event_id": "$r:x.y", "sender": sender, "content": {"m.relates_to": relation}}

    def test_an_answer_is_for_what_the_message_showed(self) -> None:
        self.desk.take(message())
        self.desk.hear(self.reaction("✔\ufe0f"))
        self.assertEqual(self.passed, [Answer("$r:x_y", ID, "approve", "@ann:x", DIGEST, None)])
        self.assertEqual(self.room.messages()[-1]["body"], "@ann:x: not counted: whoever asks may not answer")

    def test_who_is_not_there_and_what_is_not_ours_is_not_heard(self) -> None:
        self.desk.take(message())
        strange: list[dict[str, Any]] = [{"m.relates_to": "x"}, {"m.relates_to": {"key": "✅"}}, {}]
        for event in (
            self.reaction(sender="@bridge:x"), self.reaction(sender="@gone:x"), self.reaction("👀"),
            self.reaction(under="$other"), *(self.reaction() | {"content": content} for content in strange),
        ):
            self.desk.hear(event)
        self.assertEqual(self.passed, [])

    def test_without_a_digest_a_denial_alone_is_passed_on(self) -> None:
        self.desk.take(message(statement="x" * 60_000))
        self.desk.hear(self.reaction())
        self.assertEqual(self.passed, [])
        self.assertIn("not counted", self.room.messages()[-1]["body"])
        self.desk.hear(self.reaction("❌"))
        self.assertEqual([answer.word for answer in self.passed], ["deny"])

    def test_a_message_counts_once_and_the_latest_stands(self) -> None:
        self.desk.take(message())
        self.desk.take(message())
        self.assertEqual((len(self.room.messages()), self.room.sends), (1, 3), "the message and two marks")
        self.desk.take(message("used", 2, "1"))
        self.desk.take(message("approved", 1, "1"))
        edits = [one["m.relates_to"]["event_id"] for one in self.room.messages() if "m.new_content" in one]
        self.assertEqual(edits, [f"$msg_{ID}_pending-0"])
        self.assertIn("ran", self.room.messages()[-1]["m.new_content"]["body"])

    def test_a_restart_knows_what_is_in_the_room(self) -> None:
        self.desk.take(message())
        self.desk = self.started()
        self.desk.hear(self.reaction())
        self.assertEqual(len(self.passed), 1)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.path.write_text("{")
        with self.assertRaises(StoreError):
            Store(self.path)

    def test_a_room_that_is_down_leaves_the_message_to_be_told_again(self) -> None:
        with mock.patch.object(self.room, "send", side_effect=MatrixError(502, {})), self.assertRaises(MatrixError):
            self.desk.take(message())
        self.desk.take(message())
        self.assertEqual(len(self.room.messages()), 1)

    def test_replies(self) -> None:
        def reply(body: str, kind: str = "m.text", **relation: Any) -> Pressed | None:
            relation = relation or {"m.in_reply_to": {"event_id": "$e"}}
            return pressed_in({"type": "m.room.message", "content": {"msgtype": kind, "body": body, "m.relates_to": relation}})

        self.assertEqual(reply("approve"), Pressed("$e", "approve", None))
        self.assertEqual(reply("> <@a:x> approve\n\nDeny:  use the\narchive"), Pressed("$e", "deny", "use the\narchive"))
        self.assertEqual(reply("approve", rel_type="m.thread", event_id="$t"), Pressed("$t", "approve", None))
        self.assertIsNone(reply("I approve"))
        self.assertIsNone(reply(""))
        self.assertIsNone(reply("approve", kind="m.notice"))
        self.assertIsNone(reply("approve", rel_type="m.replace", event_id="$e"))


class Passing(Case):
    def gateway(self, *answers: Any) -> tuple[Gateway, mock.Mock]:
        web = mock.Mock(**{"send.side_effect": answers})
        return Gateway(web, "https://g", self.secret("s", OTHER, KEY)), web

    def test_an_answer_is_signed_and_tried_again(self) -> None:
        gateway, web = self.gateway(Unreachable("x"), (503, {"code": "log_unavailable"}), (200, {"state": "approved"}))
        with mock.patch("time.sleep"):
            verdict = gateway.pass_on(Answer("$1", ID, "approve", "@ann:x", DIGEST, None))
        self.assertEqual(told("approve", verdict), "approve counted: it is approved.")
        for call in web.send.call_args_list:
            _, _, headers, body, _ = call.args
            for key in (KEY, OTHER):
                self.assertEqual(Webhook(key).verify(body, headers)["reviewer"], "@ann:x")

    def test_a_signed_answer_goes_to_one_place(self) -> None:
        class Elsewhere(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(302 if self.path == "/" else 200)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        with mock.patch.dict("os.environ", {"no_proxy": "*"}):
            status, _ = Web(None).send("GET", f"http://127.0.0.1:{server.server_port}/", {}, None, 10)
        self.assertEqual(status, 302)

    def test_what_stays_unknown_is_said(self) -> None:
        gateway, _ = self.gateway(*[Unreachable("g does not answer")] * 9)
        with mock.patch("time.sleep"):
            verdict = gateway.pass_on(Answer("$1", ID, "deny", "@ann:x", None, None))
        self.assertEqual(told("deny", verdict), "it is not known whether it counts: g does not answer")


class Configuration(Case):
    def load(self, **changes: str | None) -> Config:
        self.secret("out", KEY)
        self.secret("back", OTHER)
        self.secret("token", "t")
        given: dict[str, str | None] = {
            "listen": "127.0.0.1:1", "state_file": "s", "secret_file": "out", "answers_url": "https://g/v1",
            "answers_secret_file": "back", "homeserver": "http://localhost:8008/", "token_file": "token", "room": "!r",
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in (given | changes).items() if value is not None]
        path = self.folder / "bridge.toml"
        path.write_text("\n".join(lines))
        return Config.load(path)

    def test_what_is_wrong_is_named(self) -> None:
        self.assertEqual(self.load().homeserver, "http://localhost:8008")
        wrong: list[tuple[dict[str, str | None], str]] = [
            ({"room": None}, "room is missing"), ({"rom": "x"}, "rom: there is no such key"),
            ({"listen": "0.0.0.0:1"}, "listen"), ({"homeserver": "http://matrix.example.com"}, "homeserver"),
            ({"answers_secret_file": "out"}, "different secrets"), ({"secret_file": "token"}, "openssl"),
            ({"token_file": "none"}, "none"),
        ]
        for changes, said in wrong:
            with self.subTest(said), self.assertRaisesRegex(ConfigError, said):
                self.load(**changes)

    def test_a_secret_that_others_may_read_is_refused(self) -> None:
        config = self.load()
        (self.folder / "token").chmod(0o640)
        with self.assertRaisesRegex(ConfigError, "chmod 600"):
            config.token.read()


if __name__ == "__main__":
    unittest.main()
