"""HTTP/3 through aioquic: one function is one case, called by the tests beside it. Exits 0 when the case holds."""

import argparse
import asyncio
import json
import ssl

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (
    ConnectionTerminated,
    StopSendingReceived,
    StreamReset,
)

EXCESSIVE_LOAD = 0x107
FRAME_UNEXPECTED = 0x105
MESSAGE_ERROR = 0x10E
PATIENCE_SECONDS = 15


class Stream:
    """What has come on one request stream."""

    def __init__(self):
        self.status = None
        self.headers = {}
        self.fields = []
        self.data = b""
        self.ended = False
        self.reset = None
        self.stopped = None


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.streams = {}
        self.terminated = None
        self.changed = asyncio.Event()

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.terminated = event
        elif isinstance(event, StreamReset):
            self.stream(event.stream_id).reset = event.error_code
        elif isinstance(event, StopSendingReceived):
            self.stream(event.stream_id).stopped = event.error_code
        for got in self.http.handle_event(event):
            stream = self.stream(got.stream_id)
            if isinstance(got, HeadersReceived):
                stream.headers = dict(got.headers)
                stream.fields = list(got.headers)
                stream.status = int(stream.headers[b":status"])
                stream.ended |= got.stream_ended
            elif isinstance(got, DataReceived):
                stream.data += got.data
                stream.ended |= got.stream_ended
        self.changed.set()

    def stream(self, stream_id):
        return self.streams.setdefault(stream_id, Stream())

    async def until(self, holds):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                if self.terminated is not None:
                    raise AssertionError(f"the connection ended: {self.terminated}")
                self.changed.clear()
                await self.changed.wait()

    async def until_terminated(self):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.terminated is None:
                self.changed.clear()
                await self.changed.wait()
        return self.terminated

    def request(self, headers, end=False):
        stream_id = self._quic.get_next_available_stream_id()
        self.http.send_headers(stream_id, headers, end_stream=end)
        self.transmit()
        return stream_id, self.stream(stream_id)

    def raw(self, data, end=False):
        stream_id = self._quic.get_next_available_stream_id()
        self._quic.send_stream_data(stream_id, data, end_stream=end)
        self.transmit()
        return stream_id, self.stream(stream_id)

    def write(self, stream_id, data, end=False):
        self.http.send_data(stream_id, data, end_stream=end)
        self.transmit()


def connect_headers(args, target, token=True):
    headers = [(b":method", b"CONNECT"), (b":authority", target.encode())]
    if token:
        headers.append((b"authorization", b"Bearer " + args.token.encode()))
    return headers


async def tunnel(client, args):
    stream_id, stream = client.request(connect_headers(args, "echo"))
    await client.until(lambda: stream.status is not None)
    assert stream.status == 200, stream.status
    return stream_id, stream


async def api_answers(client, args):
    _, stream = client.request(
        [
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", b"localhost"),
            (b":path", b"/healthz"),
        ],
        end=True,
    )
    await client.until(lambda: stream.ended)
    assert (stream.status, stream.data) == (200, b"ok"), (stream.status, stream.data)


async def tunnel_echoes_both_ways(client, args):
    stream_id, stream = await tunnel(client, args)
    block = bytes(range(256)) * 4096
    client.write(stream_id, block)
    await client.until(lambda: len(stream.data) == len(block))
    # An empty DATA frame is not the end of a stream.
    client.write(stream_id, b"")
    client.write(stream_id, b"tail", end=True)
    await client.until(lambda: stream.ended)
    assert stream.data == block + b"tail"


async def two_tunnels_on_one_connection(client, args):
    first_id, first = await tunnel(client, args)
    second_id, second = await tunnel(client, args)
    client.write(second_id, b"second", end=True)
    await client.until(lambda: second.ended)
    client.write(first_id, b"first", end=True)
    await client.until(lambda: first.ended)
    assert (first.data, second.data) == (b"first", b"second")


async def refusals_are_json(client, args):
    for target, status, code in [
        ("denied", 403, "denied_by_policy"),
        ("nowhere", 404, "unknown_target"),
        ("Bad", 400, "bad_target"),
    ]:
        _, stream = client.request(connect_headers(args, target))
        await client.until(lambda: stream.ended)
        assert stream.status == status, (target, stream.status)
        assert stream.headers[b"content-type"] == b"application/json"
        assert json.loads(stream.data)["code"] == code, stream.data


async def connect_without_token_is_unauthorized(client, args):
    _, stream = client.request(connect_headers(args, "echo", token=False))
    await client.until(lambda: stream.ended)
    assert stream.status == 401, stream.status
    challenges = [value for name, value in stream.fields if name == b"www-authenticate"]
    assert [value.split()[0] for value in challenges] == [b"Bearer", b"DPoP"], challenges


async def extended_connect_is_not_served(client, args):
    for protocol, statuses in [(b"connect-udp", (501,)), (b"websocket", (501, None))]:
        headers = [
            (b":method", b"CONNECT"),
            (b":protocol", protocol),
            (b":scheme", b"https"),
            (b":path", b"/"),
            (b":authority", b"echo"),
            (b"authorization", b"Bearer " + args.token.encode()),
        ]
        _, stream = client.request(headers)
        await client.until(lambda: stream.status is not None or stream.reset is not None)
        assert stream.status in statuses, (protocol, stream.status)


async def unknown_pseudo_header_is_malformed(client, args):
    headers = connect_headers(args, "echo")
    headers.insert(1, (b":colour", b"red"))
    _, stream = client.request(headers)
    await client.until(lambda: stream.reset is not None)
    assert stream.reset == MESSAGE_ERROR, stream.reset
    await tunnel(client, args)


async def connect_without_authority_is_malformed(client, args):
    _, stream = client.request([(b":method", b"CONNECT")])
    await client.until(lambda: stream.reset is not None)
    assert stream.reset == MESSAGE_ERROR, stream.reset
    await tunnel(client, args)


async def header_over_the_limit_is_refused(client, args):
    # Many small fields: little on the wire, much once decoded.
    headers = connect_headers(args, "echo") + [(b"x-%d" % n, b"1") for n in range(1200)]
    _, stream = client.request(headers)
    await client.until(lambda: stream.status is not None)
    assert stream.status == 431, stream.status
    await tunnel(client, args)


async def header_frame_over_the_limit_is_stopped(client, args):
    frame = encode_uint_var(1) + encode_uint_var(1 << 20) + bytes(4096)
    _, stream = client.raw(frame)
    await client.until(lambda: stream.stopped is not None and stream.reset is not None)
    assert (stream.stopped, stream.reset) == (EXCESSIVE_LOAD, EXCESSIVE_LOAD)
    await tunnel(client, args)


async def data_before_headers_ends_the_connection(client, args):
    client.raw(encode_uint_var(0) + encode_uint_var(4) + b"data")
    terminated = await client.until_terminated()
    assert terminated.error_code == FRAME_UNEXPECTED, terminated


async def second_connect_before_the_first_is_answered(client, args):
    streams = [client.request(connect_headers(args, "echo")) for _ in range(10)]
    bad, answer = client.request(connect_headers(args, "echo", token=False))
    for stream_id, _ in streams:
        client.write(stream_id, b"early", end=True)
    await client.until(lambda: all(stream.ended for _, stream in streams) and answer.ended)
    assert all((stream.status, stream.data) == (200, b"early") for _, stream in streams)
    assert answer.status == 401, (bad, answer.status)


async def client_that_resets_ends_its_tunnel(client, args):
    stream_id, stream = await tunnel(client, args)
    client.write(stream_id, b"half")
    await client.until(lambda: stream.data == b"half")
    client._quic.reset_stream(stream_id, 0x10C)
    client.transmit()
    await client.until(lambda: stream.reset is not None or stream.ended)


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--token", required=True)
    args = parser.parse_args()
    configuration = QuicConfiguration(
        alpn_protocols=H3_ALPN, is_client=True, verify_mode=ssl.CERT_REQUIRED
    )
    configuration.load_verify_locations(args.ca)
    configuration.server_name = "localhost"
    async with connect(
        "127.0.0.1", args.port, configuration=configuration, create_protocol=Client
    ) as client:
        await globals()[args.case](client, args)


asyncio.run(main())
