#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# swift-backpressure
"""What the symbol graphs of a module say about its public API: a list of it, and whether it is documented and curated.

    symbols.py api GRAPHS                 prints the public API, one declaration a line, sorted
    symbols.py coverage GRAPHS ARCHIVE    fails when a public symbol has no documentation comment or is not curated
    symbols.py selftest GRAPHS ARCHIVE    fails when `coverage` does not notice planted faults

GRAPHS is a folder of `swift symbolgraph-extract` with `-skip-synthesized-members -emit-extension-block-symbols`, ARCHIVE
what `docc convert` made of it.

## Curated
DocC puts what no Topics section names into sections that it generates, by kind, and is content. Here a public symbol is
curated when
- it is at the top level, and a Topics section written by hand lists it, on any page; or
- it is a member, and is listed on the page of its type; by hand, if that page has Topics written by hand. What a
  conformance demands may stand on the page of that conformance, which DocC makes below the type's.

## Left out
Extensions (their members count), and names that begin with `$`, which property wrappers and macros make.
"""

import json
import pathlib
import sys


class Symbol:
    def __init__(self, raw):
        self.identifier = raw["identifier"]["precise"]
        self.kind = raw["kind"]["identifier"]
        self.path = raw["pathComponents"]
        self.is_documented = bool(raw.get("docComment", {}).get("lines"))
        self.declaration = declaration(raw)
        self.place = place(raw)

    @property
    def name(self):
        return ".".join(self.path)


def declaration(raw):
    text = "".join(part["spelling"] for part in raw.get("declarationFragments", []))
    text = " ".join(text.split())
    # What the extension demands is not part of the fragments.
    demands = [
        "{lhs} {sign} {rhs}".format(lhs=one["lhs"], rhs=one["rhs"], sign=SIGNS[one["kind"]])
        for one in raw.get("swiftExtension", {}).get("constraints", [])
    ]
    return text + (" [where " + ", ".join(sorted(demands)) + "]" if demands else "")


SIGNS = {"conformance": ":", "superclass": ":", "sameType": "=="}


def place(raw):
    """File and line, for messages."""
    location = raw.get("location")
    if not location:
        return "made by the compiler"
    path = location["uri"].removeprefix("file://")
    return "{}:{}".format(path, location["position"]["line"] + 1)


def read_graphs(folder):
    """All public symbols by identifier, and the relationships of all graphs."""
    symbols, relationships = {}, []
    files = sorted(pathlib.Path(folder).glob("*.symbols.json"))
    if not files:
        sys.exit("no symbol graph in {}".format(folder))
    for file in files:
        graph = json.loads(file.read_text())
        for raw in graph["symbols"]:
            symbol = Symbol(raw)
            symbols[symbol.identifier] = symbol
        relationships += graph["relationships"]
    return symbols, relationships


def is_ours(symbol):
    return symbol.kind != "swift.extension" and not any(part.startswith("$") for part in symbol.path)


# MARK: - The list


def api(symbols, relationships):
    lines = set()
    for symbol in symbols.values():
        if is_ours(symbol):
            lines.add("{} :: {}".format(symbol.name, symbol.declaration))
    for relation in relationships:
        source = symbols.get(relation["source"])
        if relation["kind"] not in ("conformsTo", "inheritsFrom") or source is None or not is_ours(source):
            continue
        target = symbols.get(relation["target"])
        if relation["target"] in ("s:s9EscapableP", "s:s16SendableMetatypeP"):
            continue  # so is nearly everything
        name = target.name if target else relation.get("targetFallback", relation["target"])
        demands = [
            "{} {} {}".format(one["lhs"], SIGNS[one["kind"]], one["rhs"])
            for one in relation.get("swiftConstraints", [])
        ]
        condition = " where " + ", ".join(sorted(demands)) if demands else ""
        lines.add("{} : {}{}".format(source.name, name, condition))
    return sorted(lines)


# MARK: - Coverage


class Archive:
    """What the pages of an archive list in their Topics."""

    def __init__(self, folder):
        self.listed_by_hand = set()  # identifiers of references
        self.pages = {}  # page identifier -> (has topics by hand, {reference: is by hand})
        self.implementations = set()  # references that a page of the conformances of a type lists
        self.reference = {}  # precise identifier -> page identifiers: a symbol may have several declarations
        files = list((pathlib.Path(folder) / "data" / "documentation").rglob("*.json"))
        if not files:
            sys.exit("no page in {}".format(folder))
        for file in files:
            page = json.loads(file.read_text())
            identifier = page["identifier"]["url"]
            members, has_topics = {}, False
            for section in page.get("topicSections", []):
                is_by_hand = not section.get("generated", False)
                has_topics = has_topics or is_by_hand
                for reference in section["identifiers"]:
                    members[reference] = members.get(reference, False) or is_by_hand
                    if is_by_hand:
                        self.listed_by_hand.add(reference)
            if identifier.endswith("-Implementations"):
                self.implementations.update(members)
            self.pages[identifier] = (has_topics, members)
            precise = page.get("metadata", {}).get("externalID")
            if precise:
                self.reference[precise] = identifier


def coverage(symbols, relationships, archive):
    """The symbols that are not documented, and those that are not curated with the reason."""
    parents = {
        relation["source"]: relation["target"]
        for relation in relationships
        if relation["kind"] in ("memberOf", "requirementOf", "optionalRequirementOf", "defaultImplementationOf")
    }
    undocumented, uncurated = [], []
    for identifier, symbol in symbols.items():
        if not is_ours(symbol):
            continue
        if not symbol.is_documented:
            undocumented.append(symbol)
        reference = archive.reference.get(identifier)
        if reference is None:
            uncurated.append((symbol, "has no page"))
        elif reference in archive.listed_by_hand:
            continue
        elif len(symbol.path) == 1:
            uncurated.append((symbol, "is in no Topics section"))
        else:
            parent = archive.reference.get(parents.get(identifier)) or reference.rsplit("/", 1)[0]
            has_topics, members = archive.pages.get(parent, (False, {}))
            if reference in archive.implementations:
                continue
            elif reference not in members:
                uncurated.append((symbol, "is not listed by its type"))
            elif has_topics:
                uncurated.append((symbol, "is left out by the Topics of its type"))
    return undocumented, uncurated


def report(symbols, relationships, archive, out=print):
    undocumented, uncurated = coverage(symbols, relationships, archive)
    total = sum(1 for symbol in symbols.values() if is_ours(symbol))
    for symbol in sorted(undocumented, key=lambda one: one.name):
        out("undocumented: {} ({})".format(symbol.name, symbol.place))
    for symbol, reason in sorted(uncurated, key=lambda one: one[0].name):
        out("not curated: {} {} ({})".format(symbol.name, reason, symbol.place))
    for word, count in (("documented", total - len(undocumented)), ("curated", total - len(uncurated))):
        out("{} of {} public symbols {} ({:.1f} %)".format(count, total, word, 100 * count / total))
    return total > 0 and not undocumented and not uncurated


def selftest(symbols, relationships, archive):
    """Plants one fault of each kind, and looks whether it is noticed."""
    ours = [symbol for symbol in symbols.values() if is_ours(symbol)]
    before = [len(found) for found in coverage(symbols, relationships, archive)]

    def is_noticed(index):
        return [len(found) for found in coverage(symbols, relationships, archive)][index] == before[index] + 1

    victim = next(one for one in ours if one.is_documented)
    victim.is_documented = False
    assert is_noticed(0), "a missing comment is not noticed"
    victim.is_documented = True

    top = next(one for one in ours if len(one.path) == 1 and archive.reference.get(one.identifier) in archive.listed_by_hand)
    reference = archive.reference[top.identifier]
    archive.listed_by_hand.discard(reference)
    assert is_noticed(1), "a type in no Topics section is not noticed"
    archive.listed_by_hand.add(reference)

    for has_topics in (True, False):
        for member in ours:
            reference = archive.reference.get(member.identifier)
            parent = (reference or "").rsplit("/", 1)[0]
            if reference in archive.implementations or len(member.path) == 1:
                continue
            if archive.pages.get(parent, (None, {}))[0] is not has_topics:
                continue
            if reference not in archive.pages[parent][1] or (reference in archive.listed_by_hand) != has_topics:
                continue
            was_by_hand = reference in archive.listed_by_hand
            members = archive.pages[parent][1]
            kept = members.pop(reference)
            archive.listed_by_hand.discard(reference)
            assert is_noticed(1), "a member that its type does not list is not noticed"
            members[reference] = kept
            if was_by_hand:
                assert is_noticed(1), "a member left out by the Topics of its type is not noticed"
                archive.listed_by_hand.add(reference)
            break
    assert [len(found) for found in coverage(symbols, relationships, archive)] == before
    print("planted faults are noticed")


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "api":
        print("\n".join(api(*read_graphs(arguments[1]))))
    elif len(arguments) == 3 and arguments[0] == "coverage":
        if not report(*read_graphs(arguments[1]), Archive(arguments[2])):
            sys.exit(1)
    elif len(arguments) == 3 and arguments[0] == "selftest":
        selftest(*read_graphs(arguments[1]), Archive(arguments[2]))
    else:
        sys.exit(__doc__)


main(sys.argv[1:])
