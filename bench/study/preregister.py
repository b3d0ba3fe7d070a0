"""A study's plan as a text for a preregistration (OSF, AsPredicted), with the reason for its size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facesr.bench.stats.power import TYPICAL, StudySize, study_power
from facesr.bench.study.carried import stopping_in_words
from facesr.bench.study.design import Design
from facesr.bench.study.study import Study

if TYPE_CHECKING:
    from facesr.bench.stats.clustered import Components

METHODS = {
    "acr": "absolute category rating (ITU-T P.910)",
    "acr-hr": "absolute category rating with hidden reference (ITU-T P.910)",
}
RULES = {
    "attention_wrong": "more than {:.0%} of the attention items are answered wrong",
    "gold_wrong": "more than {:.0%} of the items with a known answer are answered wrong",
    "same_grade": "more than {:.0%} of the images get one and the same grade",
    "pace_seconds": "an image takes less than {:g} s by the server's clock",
    "repeats_apart": "repeated images differ by more than {:g} grades on average",
    "unseen": "more than {:.0%} of the rated images were never sent to the rater",
    "same_device": "another rater took part from the same browser before",
}

SCREENS = {
    "card": "the size of the screen (by a bank card)",
    "brightness": "its brightness and contrast",
    "colour": "colour vision",
    "acuity": "visual acuity",
}


def text(study: Study, difference: float = 0.3, parts: Components | None = None, source: str = "") -> str:
    """Markdown. ``difference``: the smallest MOS difference of interest; ``parts``: variance components of a pilot, else typical ones."""
    design, plan = study.design, study.plan
    conditions = len(design.conditions)
    pairs = conditions * (conditions - 1) // 2
    rules = [RULES[name].format(value) for name, value in plan.exclude_raters.declared.items()]
    kind = f"paired comparison, {design.pairs} pairs" if design.method == "pair" else METHODS[design.method]
    seen = f", of which each rater sees {design.per_rater}" if design.per_rater < len(design.faces) else ""
    stop = stopping_in_words(plan.stopping, design.raters, design.raters_to_finish)
    lines = [
        f"# Preregistration of the study {study.name}",
        "",
        f"Frozen {design.created[:10]}, sha256 of design and plan: `{study.digest}`.",
        "",
        f"**Question.** Which of {', '.join(design.conditions)} do people judge better, on the same faces?",
        "",
        f"**Design.** {kind[0].upper() + kind[1:]}; {conditions} conditions, {len(design.faces)} faces{seen}; within raters; "
        f"order by Williams squares (seed {design.seed}, sha256 of the plan `{study.info['plan_sha256'][:16]}`), at least {design.gap} trials "
        "between two views of a face. "
        f"Checks: {design.gold} gold, {design.attention} attention, {design.repeats} repeated items. Images: {len(design.stimuli)} files by sha256.",
        "",
        f"**Sample size.** {stop[0].upper() + stop[1:]}. {_reason(study, difference, pairs, parts, source)}",
        "",
        f"**Analysis.** Primary test of each of the {pairs} pairs: {plan.primary.replace('-', ' ')}, two-sided, family-wise level "
        f"{plan.alpha:g}, correction {plan.correction}. {_equality(study)}"
        f"Screening of raters by scores: {plan.screening}. Every other test that is printed is secondary.",
        "",
        f"**Raters left out**, by the program and before the analysis, if {'; if '.join(rules) or 'nothing: no rule is declared'}.",
        "",
        *_before(design),
        f"**Texts.** Raters read frozen texts in {', '.join(design.texts) or 'the built-in languages'}; for each the sha256 agreed to is kept.",
    ]
    return "\n".join(lines) + "\n"


def _before(design: Design) -> list[str]:
    """What is asked and checked before the first rating; nothing where nothing is."""
    parts = []
    if design.screen:
        parts.append(f"checks of {', '.join(SCREENS[name] for name in design.screen)}, at about {design.distance_cm:g} cm")
        failed = "is not taken into the study" if design.screen_failed == "refuse" else "is recorded and stays in the study"
        if {"colour", "acuity"} & set(design.screen):
            limits = {
                "colour": "reads two or more colour plates wrong",
                "acuity": "has a decimal acuity below 0.5 (or below the finest rings that the screen can show at that distance)",
            }
            found = " or ".join(said for check, said in limits.items() if check in design.screen)
            if "acuity" in design.screen and design.screen_failed == "refuse":
                found += ", or has no card to measure the screen with,"
            parts.append(f"who {found} {failed}")
    if design.questionnaire:
        parts.append(f"a questionnaire ({', '.join(q.name for q in design.questionnaire)})")
    if design.practice:
        parts.append(f"{design.practice} practice images with feedback, which are no ratings")
    return [f"**Before rating.** {'; '.join(parts)[0].upper()}{'; '.join(parts)[1:]}.", ""] if parts else []


def _equality(study: Study) -> str:
    margin = study.plan.equivalence_margin
    return f"Equality is claimed within ±{margin:g} grades only (two one-sided tests at the same level). " if margin else ""


def _reason(study: Study, difference: float, pairs: int, parts: Components | None, source: str) -> str:
    design = study.design
    if design.method == "pair":
        return "Pairs have no variance components of grades; the size was set by the resources at hand."
    if design.raters < 2 or len(design.faces) < 2:
        return "A rehearsal: with one rater or one face nothing can be tested."
    size = StudySize(design.raters, len(design.faces), design.per_rater if design.per_rater < len(design.faces) else None)
    level = study.plan.alpha / pairs
    found = study_power(parts or TYPICAL, size, difference, level)
    origin = source or "typical variance components (AVT AI images, 19 raters x 27 prompts x 5 generators)"
    if found.detectable >= study.scale[1] - study.scale[0]:
        return f"By simulation from {origin}, this size finds no difference of the whole scale with 80 % power: it is a rehearsal."
    return (
        f"By simulation from {origin}, {design.raters} raters of {len(design.faces)} faces find a difference of {found.detectable:.2f} MOS with 80 % "
        f"power at level {level:.2g} ({study.plan.alpha:g} over {pairs} pairs), new raters and new faces; a difference of {difference:g} with "
        f"{found.power:.0%}."
    )
