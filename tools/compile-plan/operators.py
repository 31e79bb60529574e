#!/usr/bin/env python3
"""What the installed torch registers when it is loaded, a line each, sorted.

    python3 operators.py >FILE      and then `diff` with what another build of it prints

Every operator that TorchScript knows, with its schema; every operator of the dispatcher, with its schema, its alias analysis and
what is registered for each dispatch key and where; and its computed table: the kernel that each key calls. Where a source
file is named it stands without its folder. The dispatcher prints both itself (`OperatorEntry::dumpState`, `dumpComputedTable`).
"""

import re
import sys

import torch

FOLDER = re.compile(r"(registered at )\S*/([^/\s]+:\d+)")


def told(kind: str, name: str, dump: str) -> "set[str]":
    return {f"{kind} {name} {line.strip()}" for line in FOLDER.sub(r"\1\2", dump).splitlines() if line.strip()}


def lines() -> "set[str]":
    found = {f"schema {schema}" for schema in torch._C._jit_get_all_schemas()}
    for name in torch._C._dispatch_get_all_op_names():
        found |= told("operator", name, torch._C._dispatch_dump(name))
        found |= told("table", name, torch._C._dispatch_dump_table(name))
    return found


def main() -> int:
    sys.stdout.writelines(f"{line}\n" for line in sorted(lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
