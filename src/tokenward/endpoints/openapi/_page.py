"""The OpenAPI document as a page that needs no script."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from http import HTTPStatus
from typing import Any

from tokenward.endpoints.openapi._style import STYLE

_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
PAGE_HEADERS: tuple[tuple[str, str], ...] = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)
"""Beside the content type: nothing but the page's own style is loaded or run."""

_code = re.compile(r"`([^`]+)`").sub

_WHO = {
    "none": "Anybody may ask.",
    "bearer": "With a user's access token.",
    "client": "With client authentication.",
    "maybe": "Client authentication may be sent.",
}


def render(document: dict[str, Any]) -> str:
    """Return an OpenAPI document of ours as a page of HTML."""
    info = document["info"]
    title = escape(f"{info['title']} at {document['servers'][0]['url']}")
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>",
            f"<style>{STYLE}</style></head>",
            '<body><a class="skip" href="#endpoints">To the endpoints</a>',
            *_header(document),
            *_contents(document),
            '<main id="endpoints">',
            *_endpoints(document),
            *_schemas(document),
            "</main></body></html>",
            "",
        ]
    )


def _header(document: dict[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield f"<header><h1>{escape(info['title'])}</h1>"
    yield f"<p><code>{escape(document['servers'][0]['url'])}</code></p>"
    yield from (f"<p>{_text(part)}</p>" for part in info["description"].split("\n\n"))
    yield '<p>For programs, the same is at <a href="openapi.json">openapi.json</a>.</p>'
    yield "<h2>Authentication</h2>"
    for scheme in document["components"]["securitySchemes"].values():
        yield f'<div class="card"><h3>{escape(scheme["scheme"].capitalize())}</h3>'
        yield f"<p>{_text(scheme['description'])}</p></div>"
    yield "</header>"


def _contents(document: dict[str, Any]) -> Iterator[str]:
    yield '<nav aria-label="Endpoints">'
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'].capitalize())}</h2><ul>"
        for method, path, operation in _operations(document, tag["name"]):
            link = f'<a href="#{escape(operation["operationId"])}"><code>{escape(path)}</code></a>'
            yield f"<li>{_badge(method)}{link}</li>"
        yield "</ul>"
    yield "</nav>"


def _endpoints(document: dict[str, Any]) -> Iterator[str]:
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'].capitalize())}</h2>"
        yield f'<p class="quiet">{_text(tag["description"])}</p>'
        for method, path, operation in _operations(document, tag["name"]):
            yield f'<article id="{escape(operation["operationId"])}">'
            yield f"<h3>{_badge(method)}<code>{escape(path)}</code></h3>"
            yield f"<p>{_text(operation['summary'])}</p>"
            yield f'<p class="quiet">{_WHO[_who(operation)]}</p>'
            if "requestBody" in operation:
                yield from _request(operation["requestBody"], document)
            yield from _responses(operation["responses"])
            yield "</article>"


def _request(body: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    for media, content in body["content"].items():
        needed = "" if body["required"] else ", may be left out"
        yield f"<h4>Request: <code>{escape(media)}</code>{needed}</h4>"
        schema = content["schema"]
        if "$ref" in schema:
            schema = document["components"]["schemas"][_name(schema)]
        yield from _members(schema)
        if content["example"]:
            yield f"<pre>{escape(_example(media, content['example']))}</pre>"


def _responses(responses: dict[str, Any]) -> Iterator[str]:
    yield "<h4>Answers</h4><dl>"
    for status, answer in responses.items():
        said = [_text(answer["description"])]
        for content in answer.get("content", {}).values():
            schema = content["schema"]
            codes = schema.get("properties", {}).get("error", {}).get("enum", [])
            if codes:
                said.append(", ".join(f"<code>{escape(code)}</code>" for code in codes))
            elif "$ref" in schema:
                said.append(_link(schema))
        yield f"<dt>{status} {escape(HTTPStatus(int(status)).phrase)}</dt><dd>{' '.join(said)}</dd>"
    yield "</dl>"


def _schemas(document: dict[str, Any]) -> Iterator[str]:
    yield '<h2>Schemas</h2><p class="quiet">What is sent and answered, member by member.</p>'
    for name, schema in document["components"]["schemas"].items():
        yield f'<article id="schema-{escape(name)}"><h3>{escape(name)}</h3>'
        yield f"<p>{_text(schema['description'])}</p>"
        yield from _members(schema)
        yield "</article>"


def _members(schema: dict[str, Any]) -> Iterator[str]:
    if not schema.get("properties"):
        return
    yield "<dl>"
    for name, member in schema["properties"].items():
        required = " <span>(required)</span>" if name in schema.get("required", ()) else ""
        said = [_kind(member), *_limits(member)]
        described = f" {_text(member['description'])}" if "description" in member else ""
        yield f"<dt><code>{escape(name)}</code>{required}</dt>"
        yield f'<dd><span class="quiet">{", ".join(said)}.</span>{described}</dd>'
    yield "</dl>"


def _kind(member: dict[str, Any]) -> str:
    if "$ref" in member:
        return _link(member)
    if "anyOf" in member:
        return " or ".join(_kind(kind) for kind in member["anyOf"])
    if "const" in member:
        return f"<code>{escape(json.dumps(member['const']))}</code>"
    if "enum" in member:
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in member["enum"])
    if member.get("type") == "array":
        return f"list of {_kind(member['items'])}"
    return escape(member.get("type", "anything"))


def _limits(member: dict[str, Any]) -> Iterator[str]:
    least, most = member.get("minLength", 0), member.get("maxLength")
    if most is not None:
        yield f"{least:,} to {most:,} characters"
    elif least:
        yield "not empty" if least == 1 else f"at least {least:,} characters"
    if "pattern" in member:
        yield f"<code>{escape(member['pattern'])}</code>"


def _operations(document: dict[str, Any], tag: str) -> Iterable[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in ("get", "post"):
            if method in item and tag in item[method]["tags"]:
                yield method, path, item[method]


def _who(operation: dict[str, Any]) -> str:
    security = operation["security"]
    if not security:
        return "none"
    return next(iter(security[0]), "maybe")


def _badge(method: str) -> str:
    return f'<span class="method {method}">{method.upper()}</span>'


def _name(schema: dict[str, Any]) -> str:
    return str(schema["$ref"].rpartition("/")[2])


def _link(schema: dict[str, Any]) -> str:
    name = escape(_name(schema))
    return f'<a href="#schema-{name}">{name}</a>'


def _text(text: str) -> str:
    return _code(r"<code>\1</code>", escape(text, quote=False))


def _example(media: str, example: dict[str, Any]) -> str:
    if media == "application/json":
        return json.dumps(example, indent=2)
    return "&".join(f"{name}={value}" for name, value in example.items())
