"""What a person sees of a training run: a progress bar on a terminal, plain lines in a log, TensorBoard, and a history file."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from facesr.bench.imaging import to_uint8, write_png

LOG_SECONDS = 30.0


def clock(seconds: float) -> str:
    """``1:02:03`` or ``02:03``."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60:02d}:{rest % 60:02d}"


class TrainingProgress:
    """Rank 0's reporter. ``history.jsonl`` keeps every validation; entries after the step that a run resumes from are dropped."""

    def __init__(self, out: Path, steps: int, start: int, deadline: float | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.out, self.steps, self.start, self.deadline = out, steps, start, deadline
        self.began = self.spoke = time.monotonic()
        self.board = SummaryWriter(str(out / "tensorboard"), purge_step=start or None)
        self.history = out / "history.jsonl"
        self._forget(start)
        self.bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=steps, initial=start, unit="step", dynamic_ncols=True)

    def _forget(self, start: int) -> None:
        if self.history.is_file():
            kept = [line for line in self.history.read_text(encoding="utf-8").splitlines() if json.loads(line)["step"] <= start]
            self.history.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def step(self, step: int, scalars: dict[str, float], rates: dict[str, float], board: bool) -> None:
        """After each step; ``board``: also to TensorBoard."""
        if board:
            for name, value in {**scalars, **rates}.items():
                self.board.add_scalar(name if name in rates else f"loss/{name}", value, step)
        text = "  ".join(f"{k} {v:.4g}" for k, v in scalars.items())
        if self.bar is not None:
            self.bar.update(1)
            self.bar.set_postfix_str(text, refresh=False)
            return
        now = time.monotonic()
        if now - self.spoke >= LOG_SECONDS or step == self.start + 1 or step == self.steps:
            self.spoke = now
            rate = (step - self.start) / max(now - self.began, 1e-9)
            left = (self.steps - step) / rate
            if self.deadline is not None:
                left = min(left, self.deadline - now)
            self.say(f"step {step}/{self.steps}  {text}  {rate:.2f} steps/s  ETA {clock(left)}")

    def scores(self, step: int, scores: dict[str, float], best: bool) -> None:
        """After a validation."""
        for name, value in scores.items():
            self.board.add_scalar(f"validation/{name}", value, step)
        with self.history.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "seconds": round(time.monotonic() - self.began, 1), **scores}) + "\n")
        self.say(f"step {step}: " + "  ".join(f"{k} {v:.4f}" for k, v in scores.items()) + ("  (best so far)" if best else ""))

    def picture(self, step: int, image: Tensor) -> None:
        """A sample grid (3, H, W) in [0, 1]: to TensorBoard and to ``previews/``."""
        self.board.add_image("samples", image, step)
        folder = self.out / "previews"
        folder.mkdir(exist_ok=True)
        write_png(folder / f"{step:07d}.png", to_uint8(image[None])[0])

    def say(self, line: str) -> None:
        """One line, above the bar where there is one."""
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        else:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def close(self) -> None:
        """Finish the bar and the TensorBoard file."""
        if self.bar is not None:
            self.bar.close()
        self.board.close()
