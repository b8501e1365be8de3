"""A SAML identity provider on loopback, made of pysaml2 and xmlsec1: what a provider's sign-in would post, without the
sign-in. Run by saml-idp; see there."""

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from saml2 import BINDING_HTTP_POST, saml
from saml2.config import IdPConfig
from saml2.server import Server

folder, port, entity_id, audience, recipient = sys.argv[1:6]

SP = f"""<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{audience}">
<SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol" WantAssertionsSigned="true">
<AssertionConsumerService Binding="{BINDING_HTTP_POST}" Location="{recipient}" index="1"/>
</SPSSODescriptor></EntityDescriptor>"""

config = IdPConfig()
config.load({
    "entityid": entity_id,
    "key_file": f"{folder}/idp.key",
    "cert_file": f"{folder}/idp.pem",
    "xmlsec_binary": "/usr/bin/xmlsec1",
    "metadata": {"inline": [SP]},
    "service": {"idp": {
        "endpoints": {"single_sign_on_service": [(f"{entity_id}/sso", BINDING_HTTP_POST)]},
        "policy": {"default": {"lifetime": {"minutes": 5}, "attribute_restrictions": None,
                               "name_form": "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"}},
        "name_id_format": [saml.NAMEID_FORMAT_PERSISTENT, saml.NAMEID_FORMAT_TRANSIENT],
    }},
})
server = Server(config=config)


def response(asked):
    """The response for a person: `name`, `groups` (each one), `transient`; `sign` is `assertion`, `response` or `both`."""
    name = asked.get("name", ["ada"])[0]
    form = saml.NAMEID_FORMAT_TRANSIENT if "transient" in asked else saml.NAMEID_FORMAT_PERSISTENT
    sign = asked.get("sign", ["assertion"])[0]
    made = server.create_authn_response(
        identity={"cn": f"{name.title()} of pysaml2", "groups": asked.get("groups", ["staff"])},
        in_response_to="_asked",
        destination=recipient,
        sp_entity_id=audience,
        name_id=saml.NameID(format=form, text=f"id-of-{name}"),
        userid=name,
        authn={"class_ref": saml.AUTHN_PASSWORD, "authn_auth": entity_id},
        sign_assertion=sign in ("assertion", "both"),
        sign_response=sign in ("response", "both"),
        sign_alg="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        digest_alg="http://www.w3.org/2001/04/xmlenc#sha256",
    )
    return str(made)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        text = response(parse_qs(urlsplit(self.path).query, keep_blank_values=True))
        body = base64.urlsafe_b64encode(text.encode()).rstrip(b"=")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


httpd = HTTPServer(("127.0.0.1", int(port)), Handler)
print(json.dumps({"listening": httpd.server_port}), file=sys.stderr, flush=True)
httpd.serve_forever()
