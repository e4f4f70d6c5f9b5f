# SPDX-License-Identifier: GPL-2.0-or-later
"""A fresh clone of this tree."""

import os
import shutil
import subprocess

from vmmtest import Skip

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def clone(folder):
    """What a newcomer has: the tree's committed state, and nothing of ours."""
    if not os.path.exists(os.path.join(ROOT, ".git")) or not shutil.which("git"):
        raise Skip("this tree is no git checkout")
    subprocess.run(["git", "clone", "-q", "--no-local", "--depth", "1", f"file://{ROOT}", folder], check=True)
