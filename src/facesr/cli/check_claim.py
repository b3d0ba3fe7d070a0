"""What p-value should a reader expect from published MOS figures?

Takes nothing but the printed means and the numbers of raters and images, assumes ratings spread as five-point ratings do, and
computes the Mann-Whitney U that such figures give. Example:

  facesr check-claim --mos 3.70 3.67 --raters 40 --images 40 --alpha 0.01
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from facesr.bench.errors import FaceSRError
from facesr.bench.numbers import p_text
from facesr.bench.stats.claims import Claim, check_claims, spreads_of

MEANING = {
    "expected": "such figures do give p < {alpha:g}",
    "borderline": "p < {alpha:g} is possible, but hangs on the spread of the ratings or on rounding",
    "not expected": "such figures do not give p < {alpha:g}",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``facesr check-claim``."""
    parser.add_argument("--mos", type=float, nargs="+", required=True, metavar="MOS", help="published means, two or more")
    parser.add_argument("--raters", type=int, required=True, help="raters, each of whom saw every image of every method")
    parser.add_argument("--images", type=int, required=True, help="images (faces) a method")
    parser.add_argument("--alpha", type=float, default=0.01, help="the claimed significance level of each pair (default 0.01)")
    parser.add_argument(
        "--sd",
        type=float,
        nargs="+",
        help="standard deviations of ratings to assume (default 0.9 1.0 1.1 of five points, on other scales the same share of the range)",
    )
    parser.add_argument("--names", nargs="+", help="names of the methods, in the order of --mos")
    parser.add_argument("--scale", type=int, nargs=2, default=(1, 5), metavar=("LOW", "HIGH"), help="rating scale (default 1 5)")
    parser.add_argument("--decimals", type=int, default=2, help="decimals the means are printed with (default 2)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Print every pair; 0 where all claims can hold, 1 where one is not to be expected."""
    if not 0 <= args.decimals <= 15:
        raise FaceSRError(f"means are printed with 0 to 15 decimals, got {args.decimals}: give --decimals 2 for 3.70")
    scale = (args.scale[0], args.scale[1])
    claims = check_claims(
        args.mos,
        args.raters,
        args.images,
        args.alpha,
        args.sd,
        scale,
        args.names,
        0.5 * 10**-args.decimals,
    )
    if args.json:
        print(json.dumps([asdict(c) | {"difference": c.difference} for c in claims], indent=2))
    else:
        for claim in claims:
            print("\n".join(_lines(claim, args.decimals)) + "\n")
        print(_footnote(args.raters, args.images, args.sd or spreads_of(scale)))
    return 1 if any(c.verdict == "not expected" for c in claims) else 0


def _range(low: float, high: float) -> str:
    return p_text(low) if p_text(low) == p_text(high) else f"{p_text(low)} to {p_text(high)}"


def _lines(claim: Claim, digits: int) -> list[str]:
    middle = claim.at[len(claim.at) // 2]
    lines = [
        f"{claim.a} {claim.mos[0]:.{digits}f} against {claim.b} {claim.mos[1]:.{digits}f}, {claim.n:,} ratings each: {claim.verdict.upper()}",
        f"  {MEANING[claim.verdict].format(alpha=claim.alpha)}: expect p = {_range(claim.p_low, claim.p_high)}"
        f" (with rounding in its favour {p_text(claim.p_best)})",
        f"  effect A12 = {middle.a12:.3f}; chance of p < {claim.alpha:g} if the means are true: {middle.power:.0%}",
        f"  detectable with 80 % power: {middle.detectable[0.8]:.3f} MOS"
        + (f"; {abs(claim.difference):.{digits}f} would need {middle.n_needed:,} ratings per method" if middle.n_needed else ""),
        f"  counting raters and images as shared, other raters and other images: p about {p_text(claim.p_clustered)}",
    ]
    return lines


def _footnote(raters: int, images: int, spreads: Sequence[float]) -> str:
    spread = ", ".join(f"{s:g}" for s in spreads)
    return (
        f"Assumed: normal opinions rounded to the scale, rating sd {spread}; {raters} x {images} ratings pooled as the paper's test pools\n"
        "them. Mann-Whitney compares whole distributions: differently shaped ones with these means can give a smaller p, which then is\n"
        "not about the means. The last line takes the rater and image spread of one published study; see docs/statistics.md."
    )
