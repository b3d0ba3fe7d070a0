"""List the methods that are installed, with their terms and weights."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from facesr.bench.errors import FaceSRError, same_name, suggest


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", help="show one method: what it is, its parameters, weights and terms")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Print a line for each method, or one in full."""
    from facesr.bench import registry
    from facesr.bench.method import Method

    known = registry.installed("facesr.methods")
    args.name = args.name and (same_name(args.name, known) or args.name)
    if args.json:
        return _json(known, [args.name] if args.name else list(known))
    if args.name is None:
        for name, target in known.items():
            cls = registry.load_class(target, Method, "method")
            print(f"{name:<12} {_first(cls.__doc__)}")
        print("\nalso: label=folder:PATH (finished images), label=command:FILE.toml (an external program), my_file.py:MyMethod")
        return 0
    if args.name not in known:
        raise FaceSRError(f"no method {args.name!r}: {suggest(args.name, known)}")
    return _show(args.name, known[args.name])


def _json(known: Mapping[str, str], names: Sequence[str]) -> int:
    import json

    from facesr.bench import registry
    from facesr.bench.method import Method

    if unknown := [name for name in names if name not in known]:
        raise FaceSRError(f"no method {unknown[0]!r}: {suggest(unknown[0], known)}")
    made = []
    for name in names:
        cls = registry.load_class(known[name], Method, "method")
        made.append({"name": name, "target": known[name], "what": _first(cls.__doc__), "cite": cls.cite, "terms": cls.terms})
    print(json.dumps(made, indent=1, ensure_ascii=False))
    return 0


def _first(text: str | None) -> str:
    return " ".join((text or "").strip().split("\n\n")[0].split())


def _show(name: str, target: str) -> int:
    import inspect

    from facesr.bench import registry
    from facesr.bench.method import Method

    cls = registry.load_class(target, Method, "method")
    print(f"{name} ({target})\n\n{inspect.getdoc(cls)}\n")
    for parameter in inspect.signature(cls.__init__).parameters.values():
        if parameter.name not in ("self", "size", "scale", "seed", "device"):
            print(f"  --set {name}.{parameter.name}={parameter.default}")
    print(f"terms    {cls.terms or 'none beyond this project'}\ncite     {cls.cite or '-'}")
    try:
        for file, digest in cls(size=128, scale=8).weights.items():
            print(f"weights  {file} sha256 {digest[:16]}...")
    except FaceSRError as error:
        print(f"weights  missing: {error}")
    return 0
