# SPDX-License-Identifier: GPL-2.0-or-later
"""Prometheus' text format 0.0.4, read as strictly as its conventions are meant."""

import re

NAME = r"[a-z_][a-z0-9_]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{([^}}]*)\}})? (\d+(?:\.\d+)?)")
LABEL = re.compile(rf'({NAME})="([^"\\]*)"')


class Malformed(Exception):
    pass


def _need(condition, line, why):
    if not condition:
        raise Malformed(f"{line!r}: {why}")


def parse(text):
    """{name: {frozenset of (label, value): number}}; each metric once, in one piece, with help and type."""
    metrics, types, helps, name = {}, {}, {}, None
    _need(text.endswith("\n"), text[-20:], "the last line has no end")
    for line in text.splitlines():
        comment = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line)
        if comment:
            kind, name, words = comment.groups()
            table = helps if kind == "HELP" else types
            _need(name not in table and name not in metrics, line, "it comes twice, or late")
            table[name] = words
            if kind == "TYPE":
                _need(words in ("counter", "gauge") and name in helps, line, "no type, or no help before it")
                _need((words == "counter") == name.endswith("_total"), line, "counters, and they alone, end in _total")
                metrics[name] = {}
            continue
        sample = SAMPLE.fullmatch(line)
        _need(sample and sample[1] == name and name in metrics, line, "no sample of the metric above")
        parts = sample[2].split(",") if sample[2] else []
        labels = [LABEL.fullmatch(part) for part in parts]
        _need(all(labels) and len({label[1] for label in labels}) == len(labels), line, "labels that are none")
        key = frozenset(label.groups() for label in labels)
        _need(key not in metrics[name], line, "it comes twice")
        metrics[name][key] = float(sample[3])
    return metrics
