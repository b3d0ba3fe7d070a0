"""Mixed models, clustered errors and tests beside R: one R process per question, which gets a table and answers with figures."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np

from benchmarks.conformance import Check, Section
from benchmarks.conformance.data import study
from benchmarks.conformance.statistics import blocks, far, two
from facesr.bench.faces import F64
from facesr.bench.stats import correction, rank_tests
from facesr.bench.stats.clustered import clustered_mean
from facesr.bench.stats.crossed import fit
from facesr.bench.stats.cube import Cube


@cache
def version(package: str) -> str:
    """An R package's version; '' where it, or R, is not installed."""
    if not shutil.which("Rscript"):
        return ""
    asked = f'if (requireNamespace("{package}", quietly = TRUE)) cat("=", as.character(packageVersion("{package}")), sep = "")'
    said = subprocess.run(["Rscript", "-e", asked], capture_output=True, text=True, check=False).stdout
    return said.rpartition("=")[2].strip()


def ask(code: str, cube: Cube | None = None) -> dict[str, list[float]]:
    """What R answers: ``code`` ends in a named list; ``d`` holds the ratings of a cube (y, r, f, c).

    Raises ``RuntimeError`` with R's last line where it stops.
    """
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "ratings.csv"
        if cube is not None:
            r, f, c = np.nonzero(np.isfinite(cube.values))
            rows = [f"{y:g},r{i},f{j},c{k}" for y, i, j, k in zip(cube.values[r, f, c], r, f, c, strict=True)]
            table.write_text("\n".join(["y,r,f,c", *rows]))
            code = f'd <- read.csv("{table}", stringsAsFactors = TRUE)\n{code}'
        script = Path(folder) / "ask.R"
        lines = code.strip().splitlines()
        answer = f"answer <- {lines[-1]}\nfor (n in names(answer)) cat('=', n, sprintf('%.15g', as.numeric(answer[[n]])), '\\n')"
        script.write_text("\n".join([*lines[:-1], answer]))
        done = subprocess.run(["Rscript", str(script)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["R stopped"])[-1])
    said = [line.split() for line in done.stdout.splitlines() if line.startswith("= ")]
    return {name: [float(v) for v in values] for _, name, *values in said}


def one() -> Cube:
    """The ratings of one method, with gaps."""
    cube = study(2, missing=0.3)
    return Cube(cube.values[:, :, :1], cube.raters, cube.faces, ("a",))


def ratings_of(cube: Cube) -> tuple[F64, tuple[np.ndarray, ...]]:  # type: ignore[type-arg]
    """Ratings and the numbers of their rater, face and method."""
    where = np.nonzero(np.isfinite(cube.values))
    return cube.values[where], where


def lmer_mean(what: str) -> float:
    """Mean with gaps: the crossed model's estimate, its error and standard deviations, or its degrees of freedom."""
    answer = ask(
        """suppressMessages(library(lmerTest))
m <- lmer(y ~ 1 + (1 | r) + (1 | f), d)
s <- coef(summary(m)); v <- as.data.frame(VarCorr(m))$sdcor; g <- as.data.frame(VarCorr(m))$grp
list(mean = c(s[1, 1], s[1, 2], v[g == "r"], v[g == "f"], v[g == "Residual"]), df = s[1, 3])""",
        one(),
    )
    y, (r, f, _) = ratings_of(one())
    found = fit(y, np.ones((len(y), 1)), [r, f], np.ones(1))
    assert found is not None
    if what == "df":
        return far(found.df, answer["df"])
    return far([found.value, found.variance**0.5, *np.sqrt(found.variances), found.residual**0.5], answer["mean"])


def emmeans_pair(what: str) -> float:
    """Difference of two methods with gaps, raters and faces with their own slopes."""
    cube = study(3, raters=10, faces=8, missing=0.3)
    pair = Cube(cube.values[:, :, :2], cube.raters, cube.faces, cube.conditions[:2])
    answer = ask(
        """suppressMessages({library(lmerTest); library(emmeans)})
m <- lmer(y ~ c + (1 | r) + (1 | r:c) + (1 | f) + (1 | f:c), d)
p <- as.data.frame(pairs(emmeans(m, ~ c, lmer.df = "satterthwaite")))
list(pair = c(p$estimate, p$SE), df = p$df)""",
        pair,
    )
    y, (r, f, c) = ratings_of(pair)
    design = np.stack([c == 0, c == 1], axis=1).astype(float)
    found = fit(y, design, [r, 2 * r + c, f, 2 * f + c], np.array([1.0, -1.0]))
    assert found is not None
    return (
        far(found.df, answer["df"]) / answer["df"][0] if what == "df" else far([found.value, found.variance**0.5], answer["pair"])
    )


def sandwich() -> float:
    """Mean over other raters, over other faces: standard error and degrees of freedom."""
    answer = ask(
        """suppressMessages(library(clubSandwich))
m <- lm(y ~ 1, d)
one <- function(by) {t <- coef_test(m, vcov = "CR2", cluster = by, test = "Satterthwaite"); c(t$SE, t[[grep("^df", names(t))[1]]])}
list(r = one(d$r), f = one(d$f))""",
        one(),
    )
    found = {"r": clustered_mean(one().values[:, :, 0], "raters"), "f": clustered_mean(one().values[:, :, 0], "faces")}
    return max(far([m.se, m.df], answer[k]) for k, m in found.items())


@cache
def ordinal_ratings() -> Cube:
    """240 five-point ratings of three conditions by 10 raters of 8 faces, made by a proportional-odds model."""
    rng = np.random.default_rng(0)
    latent = (
        rng.normal(0, 1, (10, 1, 1)) + rng.normal(0, 0.7, (1, 8, 1)) + np.array([0.0, -1.0, 1.0]) + rng.logistic(0, 1, (10, 8, 3))
    )
    scores = 1.0 + (latent[..., None] > np.array([-2.0, -0.7, 0.7, 2.0])).sum(axis=-1)
    return Cube(scores, tuple(map(str, range(10))), tuple(map(str, range(8))), ("a", "b", "c"))


def clmm() -> float:
    """Effects, standard errors, spread of raters and faces."""
    from facesr.bench.stats.ordinal import ordinal_model

    answer = ask(
        """suppressMessages(library(ordinal))
m <- clmm(factor(y) ~ c + (1 | r) + (1 | f), d)
s <- coef(summary(m))[c("cc1", "cc2"), ]; v <- sqrt(unlist(VarCorr(m)))
list(all = c(s[, 1], s[, 2], v["r"], v["f"]))""",
        ordinal_ratings(),
    )
    found = ordinal_model(ordinal_ratings())
    return far([*found.effects[1:], *found.errors[1:], found.rater_sd, found.face_sd], answer["all"])


def vector(x: F64) -> str:
    """Numbers as R writes them."""
    return f"c({', '.join(f'{v:.17g}' for v in x.ravel())})"


def base(what: str) -> float:
    """Tests that R has without any package."""
    a, b = two()
    d, p = np.random.default_rng(5).normal(0.3, 1, 18), np.random.default_rng(2).uniform(size=15) ** 3
    if what == "rank tests":
        code = (
            f"a <- {vector(a)}; b <- {vector(b)}; d <- {vector(d)}; x <- matrix({vector(blocks())}, ncol = 5, byrow = TRUE)\n"
            "list(u = wilcox.test(a, b, exact = FALSE)$p.value, s = wilcox.test(d, exact = TRUE)$p.value, f = friedman.test(x)$p.value)"
        )
        answer = ask(code)
        ours = [rank_tests.mann_whitney(a, b).p, rank_tests.signed_rank(d).p, rank_tests.friedman(blocks(), list("abcde")).p]
        return far(ours, [answer["u"][0], answer["s"][0], answer["f"][0]])
    answer = ask(f'p <- {vector(p)}\nlist(h = p.adjust(p, "holm"), b = p.adjust(p, "BH"), o = p.adjust(p, "bonferroni"))')
    ways = {"h": correction.holm, "b": correction.benjamini_hochberg, "o": correction.bonferroni}
    return max(far(way(p), answer[k]) for k, way in ways.items())


def sections() -> list[Section]:
    """What R has and Python has not, and R's own tests once more."""
    few = "8 raters × 6 faces, 30 % missing"
    plain: dict[str, tuple[str, str]] = {
        "rank tests": ("Mann-Whitney, signed rank, Friedman: p", "`wilcox.test`, `friedman.test`"),
        "corrections": ("Holm, Benjamini-Hochberg, Bonferroni", "`p.adjust`"),
    }
    data = {"rank tests": "300 and 280, 18, 30 × 5 values", "corrections": "15 p-values"}
    checks = [
        Check("mixed model with gaps: mean, error, standard deviations", "R lme4", "`lmer(y ~ 1 + (1|r) + (1|f))`, REML", few, 1e-4,
              partial(lmer_mean, "mean")),
        Check("its degrees of freedom", "R lmerTest", "Satterthwaite", few, 1e-2, partial(lmer_mean, "df")),
        Check("difference of two methods with gaps, its error", "R emmeans", "`pairs` of `lmer(y ~ c + (1|r) + (1|r:c) + (1|f) + (1|f:c))`",
              "10 raters × 8 faces × 2 methods, 30 % missing", 1e-4, partial(emmeans_pair, "pair")),
        Check("its degrees of freedom, relative", "R emmeans", "Satterthwaite", "the same", 1e-2, partial(emmeans_pair, "df")),
        Check("mean over raters, over faces: error, df", "R clubSandwich", "`coef_test`, CR2, Satterthwaite", few, 1e-8, sandwich),
        Check("ordinal mixed model: effects, errors, spreads", "R ordinal", "`clmm(y ~ c + (1|r) + (1|f))`", "240 ratings of 3 methods", 1e-2, clmm),
        *[Check(ours, "R stats", what, data[k], 1e-9, partial(base, k)) for k, (ours, what) in plain.items()],
    ]  # fmt: skip
    return [Section("Beside R", checks)]
