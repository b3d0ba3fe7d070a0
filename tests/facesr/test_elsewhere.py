"""What Windows lacks is not asked for by a run, its table and its report, nor by scores. (Nothing here was run on Windows itself.)"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WITHOUT = r'''
import importlib.abc, os, signal, sys, types

MODULES = {"fcntl", "resource", "termios", "pwd", "grp", "pty", "tty", "syslog", "curses"}
NAMES = {
    os: ("O_NONBLOCK", "O_CLOEXEC", "O_NOFOLLOW", "O_DIRECTORY", "killpg", "setsid", "getuid", "geteuid", "sched_getaffinity", "sysconf",
         "statvfs", "mkfifo", "fchmod", "nice", "uname", "getloadavg", "WNOHANG"),
    signal: ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGPIPE", "SIGALRM", "SIGQUIT"),
}


def asked_by_us():
    frame = sys._getframe(2)
    while frame and frame.f_code.co_filename.startswith("<frozen"):
        frame = frame.f_back
    return bool(frame) and str(frame.f_globals.get("__name__")).startswith("facesr.")


class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in MODULES and asked_by_us():
            raise ImportError(f"Windows has no module {name}")
        return None


class Poorer(types.ModuleType):
    """A module that has some names for other packages (which have their ways round them on Windows), and not for ours."""

    def __getattr__(self, name):
        if name in self.__dict__["hidden"] and not asked_by_us():
            return self.__dict__["hidden"][name]
        raise AttributeError(f"Windows has no {self.__name__}.{name}")


sys.meta_path.insert(0, Without())
for module, names in NAMES.items():
    module.hidden = {name: getattr(module, name) for name in names}
    for name in names:
        delattr(module, name)
    module.__class__ = Poorer

import numpy as np
from pathlib import Path

for name in MODULES:
    sys.modules.pop(name, None)
import facesr
from facesr.cli import main

out = Path(sys.argv[1])
run = facesr.run("demo-x8-128", ["bicubic", "nearest"], out / "run", metrics=["psnr", "ssim"], limit=2)
assert set(run.scores["status"]) == {"ok"}, run.scores
assert "icubic" in run.table().markdown()
assert run.report(out / "report").is_file()
image = np.zeros((32, 32, 3), np.uint8)
assert facesr.metric("psnr")(image, image + 1) > 48
sys.exit(main(["table", str(out / "run"), "--format", "csv"]))
'''


def test_a_run_asks_for_nothing_that_windows_lacks(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT, str(tmp_path)], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "psnr" in done.stdout
