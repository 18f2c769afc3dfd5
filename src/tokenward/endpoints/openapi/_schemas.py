"""The schemas of what is sent and answered (JSON Schema 2020-12), made from the models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenward.endpoints.openapi._members import DESCRIPTIONS, EXAMPLES, constraints
from tokenward.schemas import IntrospectResponse, LoginResponse, TokenResponse

if TYPE_CHECKING:
    from tokenward.endpoints.table import Endpoint

Schema = dict[str, Any]

_REF = "#/components/schemas/"

# What is absent is left out of these answers; in all others it is there as null.
_WITHOUT_NULL = (IntrospectResponse, LoginResponse, TokenResponse)


def ref(name: str) -> Schema:
    """Return a reference to a component."""
    return {"$ref": _REF + name}


def model_schemas(endpoints: tuple[Endpoint, ...], *, password_min_length: int) -> Schema:
    """Return a component for each model that an endpoint takes or gives, by the model's name."""
    found: Schema = {}
    for endpoint in endpoints:
        if isinstance(endpoint.takes, type):
            found |= _taken(endpoint.takes, password_min_length)
        if endpoint.gives is not None:
            found |= _given(endpoint.gives)
    return dict(sorted(found.items()))


def form_schema(endpoint: Endpoint) -> Schema:
    """Return the schema of the form that an endpoint reads.

    A field that nobody asked for is ignored (RFC 6749, section 3.2), an empty one counts as absent.
    """
    fields = endpoint.takes if isinstance(endpoint.takes, tuple) else ()
    return {
        "type": "object",
        "required": [field.name for field in fields if field.required],
        "properties": {
            field.name: {
                "type": "string",
                "description": DESCRIPTIONS.get(f"form.{field.name}", field.description),
                **({"minLength": 1} if field.required else {}),
                **constraints("form", field.name),
                **_examples("form", field.name),
            }
            for field in fields
        },
    }


def example_of(schema: Schema, chosen: tuple[str, ...] = ()) -> Schema:
    """Return what may be sent: the required members and those ``chosen``."""
    wanted = {*schema.get("required", ()), *chosen}
    members = schema.get("properties", {})
    return {n: m["examples"][0] for n, m in members.items() if n in wanted and "examples" in m}


def _taken(model: type[Any], password_min_length: int) -> Schema:
    name = model.__name__
    schema, others = _split(model)
    schema["properties"] = {
        member: {
            **described,
            **constraints(name, member, password_min_length=password_min_length),
            **_examples(name, member),
        }
        for member, described in schema["properties"].items()
    }
    return {**others, name: schema}


def _given(model: type[Any]) -> Schema:
    schema, others = _split(model)
    members = schema["properties"]
    if issubclass(model, _WITHOUT_NULL):
        schema["required"] = [n for n, member in members.items() if not _is_nullable(member)]
        schema["properties"] = {n: _present(member) for n, member in members.items()}
    else:
        schema["required"] = list(members)
    for name, other in others.items():
        # An answer that holds another holds all of it.
        others[name] = {**other, "required": list(other["properties"])}
    return {**others, model.__name__: schema}


def _split(model: type[Any]) -> tuple[Schema, Schema]:
    """Return a model's own schema and those of the models in it, by their names."""
    whole = model.model_json_schema(ref_template=_REF + "{model}")
    others = whole.pop("$defs", {})
    return _tidy(model.__name__, whole), {n: _tidy(n, other) for n, other in others.items()}


def _tidy(of: str, schema: Schema) -> Schema:
    kept = {key: value for key, value in schema.items() if key != "title"}
    kept["description"] = schema["description"].replace("``", "`").replace("\n", " ")
    kept["properties"] = {
        name: {
            **{key: value for key, value in member.items() if key not in ("title", "default")},
            **_keyword("description", DESCRIPTIONS.get(f"{of}.{name}", DESCRIPTIONS.get(name))),
        }
        for name, member in schema.get("properties", {}).items()
    }
    return kept


def _is_nullable(member: Schema) -> bool:
    return {"type": "null"} in member.get("anyOf", ())


def _present(member: Schema) -> Schema:
    if not _is_nullable(member):
        return member
    kinds = [kind for kind in member["anyOf"] if kind != {"type": "null"}]
    rest = {key: value for key, value in member.items() if key != "anyOf"}
    return {**rest, **kinds[0]} if len(kinds) == 1 else {**rest, "anyOf": kinds}


def _examples(of: str, member: str) -> Schema:
    example = EXAMPLES.get(f"{of}.{member}", EXAMPLES.get(member))
    return {} if example is None else {"examples": [example]}


def _keyword(name: str, value: str | None) -> Schema:
    return {} if value is None else {name: value}
