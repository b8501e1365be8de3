"""A client of the Model Context Protocol as its Python library makes one: calls what stdin says, prints what it was told.

    mcp_client.py URL CA_FILE auto|legacy|fastmcp      (the token in TOKEN)
    mcp_client.py stdio auto|legacy COMMAND ARGUMENT...

With SIGN_IN=PERSON it has no token: it finds the issuer by what the server says (RFC 9728), and has this person sign in there, as the client
`desktop-agent`; each time it says so, as {"signs_in": the scope that it asks for}.
With SHOWS in its environment it shows pages: it says which, as {"page": ...}, and goes on.

In: a line of JSON per call, {"tool": ..., "arguments": {...}}, or {"list": true}. Out: a line of JSON for each, after
a first one that says which revision was agreed on.
"""
import asyncio
import json
import os
import ssl
import sys

url, ca, mode, *child = sys.argv[1:] + [None]
if url == "stdio":
    mode, child = ca, sys.argv[3:]
token = os.environ.get("TOKEN")


def say(value):
    print(json.dumps(value), flush=True)


def result(answer):
    text = [part.text for part in answer.content if part.type == "text"]
    error = getattr(answer, "is_error", None)
    return {"error": error, "structured": answer.structured_content, "text": text}


async def converse(client, lists):
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        asked = json.loads(line)
        try:
            if asked.get("list"):
                say(await lists(client))
            else:
                say(result(await client.call_tool(asked["tool"], asked["arguments"], **asked.get("how", {}))))
        except Exception as error:  # what the library makes of a refusal is told as it is
            say({"raised": f"{type(error).__name__}: {error}"})


async def shown(context, question):
    from mcp_types import ElicitResult

    say({"page": question.url, "message": question.message})
    return ElicitResult(action="accept")


def listed(tools):
    return {"tools": {tool.name: tool.description for tool in tools}}


async def main():
    if mode == "fastmcp":
        from fastmcp import Client

        async with Client(url, auth=token, verify=ca) as client:
            say({"revision": "fastmcp"})

            async def lists(client):
                return listed(await client.list_tools())

            await converse(client, lists)
        return
    from mcp import Client

    async def talk(transport):
        shows = {"elicitation_callback": shown} if os.environ.get("SHOWS") else {}
        async with Client(transport, mode=mode, **shows) as client:
            say({"revision": client.protocol_version})

            async def lists(client):
                return listed((await client.list_tools()).tools)

            await converse(client, lists)

    if url == "stdio":
        from mcp.client.stdio import StdioServerParameters, stdio_client

        return await talk(stdio_client(StdioServerParameters(command=child[0], args=child[1:], env=dict(os.environ))))
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    trust = ssl.create_default_context(cafile=ca)
    if person := os.environ.get("SIGN_IN"):
        from mcp_sign_in import signing_in

        authorized = {"auth": await signing_in(url, person, say)}
    else:
        authorized = {"headers": {"Authorization": f"Bearer {token}"}}
    async with httpx2.AsyncClient(verify=trust, timeout=60, **authorized) as http:
        await talk(streamable_http_client(url, http_client=http))


asyncio.run(main())
