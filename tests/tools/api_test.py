# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/api/openapi.json describes the API that host/api.c serves, no more and no less."""

import re
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "tools"), str(ROOT / "tests" / "system")]
from description import OF_PARTS, RULES, SAID_ONLY, Description, Wrong  # noqa: E402
from docs_test import inside, read  # noqa: E402

METHODS = ("get", "put", "post", "patch", "delete")
# Objects of the settings, and where their members are decoded: file, function or table.
OBJECTS = {
    "Start": ("host/settings.c", r"^static int decode_start\("),
    "Stop": ("host/settings.c", r"^static int decode_stop\("),
    "Crash": ("host/settings.c", r"^static int decode_crash\("),
    "Limits": ("host/settings.c", r"^static int decode_limits\("),
    "Settings": ("host/settings.c", r"^static const struct field fields\[\] = \{"),
    "Boot": ("worker/config.c", r"^static int decode_boot\("),
    "Enlightenments": ("worker/config.c", r"^static int decode_enlightenments\("),
    "Nic": ("worker/config.c", r"^static int decode_nic\("),
    "Disk": ("worker/config.c", r"^(?:static )?int (?:config_)?decode_disk\("),
    "Node": ("worker/config_layout.c", r"^static int decode_node\("),
}
OF_NICS = {"switch", "vlan", "trunk", "dhcp_guard", "isolated", "send_kbit", "receive_kbit"}  # of a port's
OF_DISKS = {"from", "file", "size_mib"}  # the daemon's own, in place of the worker's "path"


class Row:
    """A row of api_routes."""

    def __init__(self, method, pattern, role, flags, query, protocol):
        self.method, self.pattern, self.role = method.lower(), pattern, role.lower()
        self.flags = set(flags.replace("HTTP_", "").split(" | ")) - {"0"}
        self.query = set() if query == "NULL" else set(query.strip('"').split())
        self.protocol = None if protocol == "NULL" else protocol.strip('"')


def rows():
    table = inside(read("host/api.c"), r"^const struct http_route api_routes\[\] = \{", r"^\};", "the routes")
    found = re.findall(
        r'\{HTTP_(\w+),\s*"([^"]+)",\s*HTTP_(\w+),\s*([\w |]+),\s*(NULL|"[^"]*"),\s*(NULL|"[^"]*"),\s*\w+\}', table
    )
    if len(found) != table.count("{HTTP_"):
        raise AssertionError("the test does not find the rows of api_routes any more")
    return [Row(*row) for row in found]


def nodes(value, path="#"):
    """Each object within the description, with its path."""
    if isinstance(value, dict):
        yield path, value
        value = value.items()
    elif isinstance(value, list):
        value = enumerate(value)
    else:
        return
    for name, inner in value:
        yield from nodes(inner, f"{path}/{name}")


class Api(unittest.TestCase):
    def setUp(self):
        self.description = Description.load()
        self.root = self.description.root

    def _operations(self):
        """(row, path item, operation) of each route."""
        return [
            (row, self.root["paths"][row.pattern], self.root["paths"][row.pattern][row.method]) for row in rows()
        ]

    def _parameters(self, item, operation, kind):
        all_of_them = item.get("parameters", []) + operation.get("parameters", [])
        found = [self.description.resolve(parameter) for parameter in all_of_them]
        return {parameter["name"]: parameter for parameter in found if parameter["in"] == kind}

    def test_routes_and_operations_are_the_same(self):
        described = {(path, method) for path, item in self.root["paths"].items() for method in item if method in METHODS}
        self.assertEqual({(row.pattern, row.method) for row in rows()}, described)
        for path, item in self.root["paths"].items():
            self.assertLessEqual(set(item), {*METHODS, "parameters"}, path)

    def test_each_operation_has_the_role_of_its_route(self):
        for row, _, operation in self._operations():
            self.assertEqual(operation["x-oya-role"], row.role, row.pattern)

    def test_each_operation_has_the_names_of_its_path_and_query(self):
        for row, item, operation in self._operations():
            self.assertEqual(set(self._parameters(item, operation, "query")), row.query, row.pattern)
            names = self._parameters(item, operation, "path")
            self.assertEqual(set(names), set(re.findall(r"\{(\w+)\}", row.pattern)))
            self.assertTrue(all(parameter["required"] for parameter in names.values()), row.pattern)

    def test_each_operation_takes_a_body_as_its_route_does(self):
        for row, _, operation in self._operations():
            where = f"{row.method} {row.pattern}"
            body = operation.get("requestBody")
            self.assertEqual(body is not None, bool(row.flags & {"TAKES_BODY", "NEEDS_BODY"}), where)
            if not body:
                continue
            self.assertEqual(body["required"], "NEEDS_BODY" in row.flags, where)
            self.assertIn("application/json", body["content"], where)
            for status in ("413", "415"):
                self.assertIn(status, operation["responses"], where)

    def test_each_operation_answers_with_the_kind_of_its_route(self):
        kinds = {"STREAMS": "text/event-stream", "TEXT": "text/plain"}
        for row, item, operation in self._operations():
            where = f"{row.method} {row.pattern}"
            answers = {s: self.description.resolve(r) for s, r in operation["responses"].items()}
            good = {kind for status, r in answers.items() if status[0] == "2" for kind in r.get("content", {})}
            wanted = {kinds[flag] for flag in row.flags & set(kinds)} or {"application/json"}
            self.assertLessEqual(good, wanted, where)
            self.assertEqual("101" in answers, "UPGRADES" in row.flags, where)
            if row.protocol:
                upgrade = self._parameters(item, operation, "header")["Upgrade"]
                self.assertEqual(upgrade["schema"]["const"], row.protocol, where)

    def test_each_failure_is_a_problem(self):
        for row, _, operation in self._operations():
            for status, response in operation["responses"].items():
                if status == "default" or status >= "400":
                    content = self.description.resolve(response)["content"]
                    self.assertEqual(set(content), {"application/problem+json"}, f"{row.pattern} {status}")
            for status in ("400", "403", "default"):
                self.assertIn(status, operation["responses"], row.pattern)

    def test_posts_and_they_alone_take_an_idempotency_key(self):
        for row, item, operation in self._operations():
            where = f"{row.method} {row.pattern}"
            posts = row.method == "post"
            self.assertEqual("Idempotency-Key" in self._parameters(item, operation, "header"), posts, where)
            for status in ("409", "422", "503") if posts else ():
                self.assertIn(status, operation["responses"], where)

    def test_operations_have_names_of_their_own(self):
        names = [operation["operationId"] for _, _, operation in self._operations()]
        self.assertEqual(len(names), len(set(names)))

    def test_references_lead_somewhere_and_all_components_are_used(self):
        used = set()
        for path, node in nodes(self.root):
            if "$ref" in node:
                self.assertIsInstance(self.description.resolve(node), dict, path)
                used.add(node["$ref"])
        there = {f"#/components/{kind}/{name}" for kind, all_of_it in self.root["components"].items() for name in all_of_it}
        self.assertEqual(used, there)

    def test_schemas_use_what_the_check_at_run_time_knows(self):
        known = {*RULES, *OF_PARTS, *SAID_ONLY}

        def look(schema, path):
            self.assertLessEqual(set(schema), known, path)
            for name, inner in schema.get("properties", {}).items():
                look(inner, f"{path}.{name}")
            others = [schema.get(word) for word in ("items", "additionalProperties", "unevaluatedProperties")]
            for inner in [*schema.get("allOf", []), *others]:
                if isinstance(inner, dict):
                    look(inner, path)

        for path, node in nodes(self.root):
            if isinstance(node.get("schema"), dict):
                look(node["schema"], path)
        for name, schema in self.root["components"]["schemas"].items():
            look(schema, name)

    def test_events_are_those_that_are_published(self):
        published = set()
        for path in (ROOT / "host").glob("*.c"):
            published |= set(re.findall(r'host_publish\([^,]+,\s*"([\w-]+)"', path.read_text(encoding="utf-8")))
        published |= set(re.findall(r'http_stream_send\(stream, e->next - 1, "(\w+)"', read("host/events.c")))
        content = self.description.operation("GET", "/v1/events")["responses"]["200"]["content"]
        self.assertEqual(set(content["text/event-stream"]["x-oya-events"]), published)

    def test_states_are_those_of_the_code(self):
        for file, table, words in (
            ("host/vm.c", "labels", self._schema("VmState")["enum"]),
            ("host/jobs.c", "states", self._schema("Job")["properties"]["state"]["enum"]),
        ):
            body = inside(read(file), rf"^static const char \*const {table}\[\] = \{{", r"\};", f"the states of {file}")
            self.assertEqual(set(re.findall(r'"(\w+)"', body)), set(words))

    def test_settings_are_those_that_are_decoded(self):
        for name, (file, begin) in OBJECTS.items():
            body = inside(read(file), begin, r"^\};?$", f"the members of {name}")
            decoded = set(re.findall(r'\{"(\w+)", JSON_', body))
            if name == "Disk":
                decoded = decoded - {"path"} | OF_DISKS
            if name == "Nic":
                decoded |= OF_NICS
            self.assertEqual(set(self._schema(name)["properties"]), decoded, name)
            words = re.findall(r'\[\w+\] = "(\w+)"', body)
            if words:
                self.assertEqual(set(self._schema(name)["properties"]["action"]["enum"]), set(words), name)

    def test_an_object_that_clients_send_refuses_what_it_does_not_know(self):
        for name in [*OBJECTS, "StopVm", "Migration", "Offer"]:
            if name != "Settings":  # closed where it is used, since others add to it
                self.assertIs(self._schema(name).get("additionalProperties"), False, name)

    def _schema(self, name):
        return self.root["components"]["schemas"][name]


class Check(unittest.TestCase):
    """The check of answers itself."""

    def setUp(self):
        schemas = {"Base": {"type": "object", "properties": {"a": {"type": "integer"}}}}
        self.description = Description({"paths": {}, "components": {"schemas": schemas}})

    def _refused(self, value, schema, sentence, **how):
        with self.assertRaisesRegex(Wrong, sentence):
            self.description.check(value, schema, **how)

    def test_values_are_of_their_type_and_within_their_limits(self):
        for value, schema in (
            (1, {"type": "string"}), (True, {"type": "integer"}), (None, {"type": ["string", "integer"]}), (1.0, {"type": "integer"}),
            ("c", {"enum": ["a", "b"]}), (True, {"const": 1}), (0, {"minimum": 1}), ("ab", {"maxLength": 1}),
            ("", {"minLength": 1}), ("b", {"pattern": "^a$"}), ([1, 2], {"maxItems": 1}), ({}, {"required": ["a"]}),
            ([1, "a"], {"items": {"type": "integer"}}),
        ):  # fmt: skip
            self._refused(value, schema, "against")
        self.description.check({"a": None}, {"properties": {"a": {"type": ["string", "null"]}}})

    def test_members_that_are_not_described_are_told(self):
        self._refused({"b": 1}, {"type": "object", "properties": {"a": {}}}, "member 'b'")
        self._refused({"a": {"b": 1}}, {"properties": {"a": {"$ref": "#/components/schemas/Base"}}}, "it.a has a member 'b'")
        self.description.check({"b": [{"c": 1}]}, {"type": "object", "additionalProperties": True})
        self._refused({"b": 1}, {"additionalProperties": {"type": "string"}}, "it.b is 1")

    def test_members_come_from_all_parts_of_a_schema(self):
        schema = {"allOf": [{"$ref": "#/components/schemas/Base"}], "properties": {"b": {}}, "unevaluatedProperties": False}
        self.description.check({"a": 1, "b": 2}, schema)
        self._refused({"a": 1, "c": 2}, schema, "member 'c'")
        self._refused({"a": "x"}, schema, "it.a is 'x'")

    def test_what_clients_alone_send_is_no_part_of_an_answer(self):
        schema = {"properties": {"a": {"type": "integer", "writeOnly": True}}}
        self.description.check({"a": 1}, schema, answered=False)
        self._refused({"a": 1}, schema, "clients alone")

    def test_a_schema_that_is_not_understood_is_told(self):
        self._refused(1, {"oneOf": []}, "'oneOf', which is not known here")


if __name__ == "__main__":
    unittest.main()
