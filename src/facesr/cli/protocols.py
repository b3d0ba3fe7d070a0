"""List the protocols that come with the project, or show one, with what papers print for its faces.

facesr protocols
facesr protocols london-x8-128
facesr protocols my.toml        checks a file of yours
"""

from __future__ import annotations

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", help="a protocol's name, or a TOML file")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Print a line for each, or one in full."""
    from facesr.bench import protocol, registry
    from facesr.reports.published import carried

    known = registry.installed("facesr.metrics")
    if args.json:
        import json

        found = [protocol.load_protocol(name, known) for name in ([args.name] if args.name else protocol.protocol_names())]
        facts = [
            {"name": p.name, "version": p.version, "digest": p.digest, "description": p.description}
            | {"published": [{"cite": t.cite, "place": t.place, "metric": t.metric, "values": t.values} for t in carried(p)]}
            for p in found
        ]
        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return 0
    if args.name is None:
        for name in protocol.protocol_names():
            p = protocol.load_protocol(name, known)
            print(f"{name:<20} v{p.version}  {p.digest[:12]}  {p.description}")
        return 0
    p = protocol.load_protocol(args.name, known)
    scales = ", ".join(f"x{s}" for s in p.degradation.scale)
    print(f"{p.name} version {p.version}, digest {p.digest}\n{p.description}\n")
    if p.lr:
        print(f"LR           {p.lr.folder}{f', photos of the people: {p.lr.references}' if p.lr.references else ''}")
    print(f"data         {p.data.dataset}, split {p.data.split}, {p.data.size} px, reduced by {p.data.reduce}")
    made = f"{scales}{', rounded to 8 bits' if p.degradation.quantize else ', not rounded'}"
    print(f"degradation  {p.degradation.kernel}, {made if not p.lr else 'taken for the operator behind LR by ε'}")
    print(f"consistency  MSE(D(SR), LR) <= {p.consistency.epsilon:g}; a study {p.consistency.study}s images outside it")
    print(f"metrics      {', '.join(m.name for m in p.metrics)}")
    s = p.study
    anchors = f"{s.anchors} + {s.anchors} anchors, scale {s.scale[0]}-{s.scale[1]}"
    print(f"study        {s.raters} raters, {s.images} faces, {anchors}: {', '.join(s.conditions)}")
    for table in carried(p):
        print(
            f"published    {table.metric}: {', '.join(f'{name} {value}' for name, value in table.values.items())}; {table.source}"
        )
    return 0
