#!/usr/bin/env python3
"""Validates events against the published OCSF schema, and their own facts against our JSON Schema.

    validate_ocsf.py [--all] [--facts SCHEMA.json] [FILE.ndjson]

Reads one JSON value per line, from standard input without a FILE. Prints how many events of which class there were.
Ends with 1 at the first violation and names it (with --all: names the first of every event that has one); with 0 when
there is none. No event at all is a violation, too.

Needs the Python packages ocsf-json-schema and jsonschema; deploy/dev/validate-ocsf brings them.
"""

import argparse
import collections
import json
import sys

import jsonschema
import ocsf_json_schema

VERSION = "1.8.0"
OTHER = 99


class Violation(Exception):
    """What is wrong with an event, and where in it."""


class Ocsf:
    """The published schema. One validator per class and set of profiles, made when it is first needed."""

    def __init__(self):
        self.schema = ocsf_json_schema.get_ocsf_schema(VERSION)
        self.embedded = ocsf_json_schema.OcsfJsonSchemaEmbedded(self.schema)
        self.classes = {one["uid"]: (name, one) for name, one in self.schema["classes"].items()}
        self.validators = {}

    def check(self, event):
        """Returns the caption of the event's class."""
        metadata = self.object(event, "metadata")
        if metadata.get("version") != VERSION:
            raise Violation(f"metadata.version is {metadata.get('version')!r}, not {VERSION!r}")
        name, one = self.classes.get(event.get("class_uid"), (None, None))
        if name is None:
            raise Violation(f"class_uid {event.get('class_uid')!r} is no class of OCSF {VERSION}")
        profiles = metadata.get("profiles", [])
        foreign = [profile for profile in profiles if profile not in one["profiles"]]
        if foreign:
            raise Violation(f"metadata.profiles {foreign} do not belong to the class {one['caption']!r}")
        first(self.validator(name, profiles), event)
        if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
            raise Violation(f"type_uid {event['type_uid']} is not class_uid * 100 + activity_id")
        self.check_attributes(one["attributes"], event, "")
        return one["caption"]

    @staticmethod
    def object(event, key):
        value = event.get(key) if isinstance(event, dict) else None
        if not isinstance(value, dict):
            raise Violation(f"{key} is missing or not an object")
        return value

    def validator(self, name, profiles):
        key = (name, tuple(sorted(profiles)))
        if key not in self.validators:
            schema = self.embedded.get_class_schema(name, list(key[1]))
            self.validators[key] = jsonschema.Draft202012Validator(schema)
        return self.validators[key]

    def check_attributes(self, attributes, value, path):
        """What JSON Schema does not say: a text beside a number is its caption, and nothing deprecated is used."""
        for key, item in value.items():
            attribute = attributes.get(key)
            if attribute is None:
                continue
            where = f"{path}{key}"
            if "@deprecated" in attribute:
                raise Violation(f"{where} is deprecated in OCSF {VERSION}")
            sibling, captions = attribute.get("sibling"), attribute.get("enum") or {}
            if sibling in value and item != OTHER and str(item) in captions:
                caption = captions[str(item)]["caption"]
                if value[sibling] != caption:
                    raise Violation(f"{path}{sibling} is {value[sibling]!r}, but {where} {item} means {caption!r}")
            for at, inner in enumerate(item if isinstance(item, list) else [item]):
                if isinstance(inner, dict) and attribute.get("object_type") in self.schema["objects"]:
                    inside = self.schema["objects"][attribute["object_type"]]["attributes"]
                    suffix = f"[{at}]" if isinstance(item, list) else ""
                    self.check_attributes(inside, inner, f"{where}{suffix}.")


def first(validator, value):
    error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    if error is not None:
        message = error.message if len(error.message) <= 500 else error.message[:500] + "..."
        raise Violation(f"{error.json_path}: {message}")


def refuse_constant(name):
    raise Violation(f"{name} is not JSON")


def check_line(ocsf, facts, line):
    try:
        event = json.loads(line, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Violation(f"not JSON: {error}") from None
    caption = ocsf.check(event)
    if facts is not None:
        unmapped = Ocsf.object(event, "unmapped")
        try:
            first(facts, Ocsf.object(unmapped, "tallyport"))
        except Violation as violation:
            raise Violation(f"unmapped.tallyport: {violation}") from None
    return caption


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=argparse.FileType("rb"), default=sys.stdin.buffer)
    parser.add_argument("--all", action="store_true", help="do not stop at the first violation")
    parser.add_argument("--facts", help="the JSON Schema of unmapped.tallyport")
    options = parser.parse_args()
    facts = None
    if options.facts:
        with open(options.facts, encoding="utf-8") as file:
            facts = jsonschema.Draft202012Validator(json.load(file))
    ocsf, counts, violations = Ocsf(), collections.Counter(), 0
    for number, line in enumerate(options.file, start=1):
        if not line.strip():
            continue
        try:
            counts[check_line(ocsf, facts, line)] += 1
        except Violation as violation:
            violations += 1
            print(f"line {number}: {violation}", file=sys.stderr)
            if not options.all:
                break
    for caption, count in sorted(counts.items()):
        print(f"{count} {caption}")
    print(f"{sum(counts.values())} valid events, {violations} violations")
    if not counts and not violations:
        print("there was no event at all", file=sys.stderr)
        return 1
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
