# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/api/openapi.json held against what goes over the API: the subset of JSON Schema that it uses.

Stricter than JSON Schema in one thing: a member that the description does not name is a fault, unless
`additionalProperties` or `unevaluatedProperties` allows it.
"""

import json
import re
from pathlib import Path

PATH = Path(__file__).resolve().parent.parent.parent / "docs" / "api" / "openapi.json"
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "null": type(None)}
SAID_ONLY = {"description", "title", "default", "readOnly", "writeOnly"}
# Keyword to whether a value is as it says; keywords pass what is of another type than theirs.
RULES = {
    "enum": lambda value, of: value in of,
    "const": lambda value, of: value == of and type(value) is type(of),
    "minimum": lambda value, of: not _is(value, "integer") or value >= of,
    "maximum": lambda value, of: not _is(value, "integer") or value <= of,
    "minLength": lambda value, of: not isinstance(value, str) or len(value) >= of,
    "maxLength": lambda value, of: not isinstance(value, str) or len(value) <= of,
    "pattern": lambda value, of: not isinstance(value, str) or re.search(of, value),
    "maxItems": lambda value, of: not isinstance(value, list) or len(value) <= of,
    "maxProperties": lambda value, of: not isinstance(value, dict) or len(value) <= of,
    "required": lambda value, of: not isinstance(value, dict) or set(of) <= set(value),
    "type": lambda value, of: any(_is(value, name) for name in ([of] if isinstance(of, str) else of)),
}
OF_PARTS = {"$ref", "allOf", "properties", "items", "additionalProperties", "unevaluatedProperties"}


class Wrong(Exception):
    """What goes over the API is not as described; the sentence tells where."""


def _is(value, name):
    return isinstance(value, TYPES[name]) and (isinstance(value, bool) == (name == "boolean"))


class Description:
    """An OpenAPI 3.1 description: {"paths": {template: {method: operation}}, "components": {...}}."""

    def __init__(self, root):
        self.root = root
        self.paths = [
            (re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))), template) for template in root["paths"]
        ]

    @classmethod
    def load(cls):
        return cls(json.loads(PATH.read_text(encoding="utf-8")))

    def resolve(self, node):
        """The node itself, or what its $ref leads to; KeyError when that leads nowhere."""
        while "$ref" in node:
            place = self.root
            for part in node["$ref"].removeprefix("#/").split("/"):
                place = place[part]
            node = place
        return node

    def operations(self):
        """(method, template of the path, operation) of each."""
        methods = ("get", "post", "put", "patch", "delete")
        return [(m.upper(), t, o) for t, node in self.root["paths"].items() for m, o in node.items() if m in methods]

    def operation(self, method, path):
        """The operation of a request's path, which may have a query."""
        path = path.partition("?")[0]
        for pattern, template in self.paths:
            if pattern.fullmatch(path) and method.lower() in self.root["paths"][template]:
                return self.root["paths"][template][method.lower()]
        raise Wrong(f"{method} {path} is not described")

    # ---- values ----

    def _parts(self, schema):
        """The schema, and those that it takes in by $ref and allOf."""
        found = [schema]
        if "$ref" in schema:
            found += self._parts(self.resolve({"$ref": schema["$ref"]}))
        for part in schema.get("allOf", []):
            found += self._parts(part)
        return found

    def check(self, value, schema, where="it", answered=True):
        """Wrong when the value is not as the schema says; `answered`: it comes from the service."""
        parts = self._parts(schema)
        for part in parts:
            for word, of in part.items():
                if word in RULES and not RULES[word](value, of):
                    raise Wrong(f"{where} is {value!r}, against '{word}': {of}")
                if word not in RULES and word not in OF_PARTS and word not in SAID_ONLY:
                    raise Wrong(f"the schema of {where} has '{word}', which is not known here")
        if isinstance(value, dict):
            self._check_members(value, parts, where, answered)
        if isinstance(value, list):
            for part in parts:
                for number, item in enumerate(value):
                    self.check(item, part.get("items", {}), f"{where}[{number}]", answered)

    def _check_members(self, value, parts, where, answered):
        if parts == [{}]:
            return
        others = [part[word] for part in parts for word in ("additionalProperties", "unevaluatedProperties") if word in part]
        for name, member in value.items():
            schemas = [part["properties"][name] for part in parts if name in part.get("properties", {})]
            if not schemas:
                schemas = [{} if other is True else other for other in others if other is not False]
            if not schemas:
                raise Wrong(f"{where} has a member '{name}', which is not described")
            for schema in schemas:
                if answered and schema.get("writeOnly"):
                    raise Wrong(f"{where} has a member '{name}', which clients alone send")
                self.check(member, schema, f"{where}.{name}", answered)

    # ---- exchanges ----

    def check_answer(self, method, path, status, headers, content):
        """Status, headers (a mapping without case) and bytes of an answer to a request."""
        where = f"the answer {status} to {method} {path}"
        operation = self.operation(method, path)
        if str(status) not in operation["responses"]:
            raise Wrong(f"{where} is not described")
        response = self.resolve(operation["responses"][str(status)])
        for name, header in response.get("headers", {}).items():
            header = self.resolve(header)
            if headers.get(name) is not None:
                self.check(headers[name], header["schema"], f"{name} of {where}")
            elif header.get("required"):
                raise Wrong(f"{where} has no header {name}")
        kind = (headers.get("Content-Type") or "").partition(";")[0]
        described = response.get("content", {})
        if not content and not described:
            return
        if kind not in described:
            raise Wrong(f"{where} is of the type '{kind}', not of {list(described)}")
        if kind.endswith("json"):
            self.check(json.loads(content), described[kind]["schema"], where)

    def check_request(self, method, path, kind, body):
        """The JSON of a request that was taken; None: it had no body."""
        where = f"the body of {method} {path}"
        described = self.operation(method, path).get("requestBody")
        if body is None:
            if described and described["required"]:
                raise Wrong(f"{where} is absent and was taken")
            return
        if not described or kind not in described["content"]:
            raise Wrong(f"{where} of the type {kind} is not described")
        self.check(body, described["content"][kind]["schema"], where, answered=False)

    def check_event(self, name, data):
        """The type of an event and its JSON."""
        events = self.operation("GET", "/v1/events")["responses"]["200"]["content"]["text/event-stream"]["x-oya-events"]
        if name not in events:
            raise Wrong(f"the event '{name}' is not described")
        self.check(data, events[name], f"the event '{name}'")
