"""One scenario of the suite: its server behind a gateway, and the Python library's conformance client before it.

    behind_gateway.py TALLYPORT CONFIG GATEWAY_PORT BRIDGE_PORT PYTHON CLIENT.PY URL

The suite adds the URL. In `auth/client-credentials-*` the gateway is the OAuth client: the scenario's credential is the gateway's, and
the client before it knows nothing of it. The issuer, which configurations name, is read from the server's own metadata (RFC 9728)."""
import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

tallyport, config, gateway, bridge, python, client, url = sys.argv[1:]
scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def oauth2(context):
    place = urllib.parse.urlsplit(url)
    found = f"{place.scheme}://{place.netloc}/.well-known/oauth-protected-resource{place.path}"
    with opener.open(found, timeout=10) as answer:
        metadata = json.load(answer)
    keys = {"issuer": metadata["authorization_servers"][0], "client_id": context["client_id"]}
    text = ", ".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
    if "private_key_pem" in context:
        return f"{text}, client_key = {{ value = {json.dumps(context['private_key_pem'])} }}"
    return f"{text}, client_secret = {{ value = {json.dumps(context['client_secret'])} }}"


# A name for each: the tools of a server are pinned, and each scenario has others.
name = scenario.replace("/", ".").lower()[:32]
server = f'[[gateway.mcp.servers]]\nname = "{name}"\nurl = "{url}"\n'
environment = dict(os.environ)
if scenario.startswith("auth/client-credentials"):
    server += f"oauth2 = {{ {oauth2(json.loads(os.environ['MCP_CONFORMANCE_CONTEXT']))} }}\n"
    environment["MCP_CONFORMANCE_SCENARIO"] = "initialize"
own = f"{config}.{name}.toml"
with open(config) as template, open(own, "w") as out:
    out.write(template.read().replace("# SERVERS\n", server))
running = subprocess.Popen([tallyport, "gateway", "--config", own], stdin=subprocess.DEVNULL, stdout=sys.stderr)
try:
    for _ in range(600):
        if running.poll() is not None:
            sys.exit("the gateway ended")
        try:
            socket.create_connection(("127.0.0.1", int(gateway)), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    ran = subprocess.run([python, client, f"http://localhost:{bridge}/mcp/{name}"], env=environment)
    sys.exit(ran.returncode)
finally:
    running.terminate()
    running.wait()
