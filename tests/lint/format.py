#!/usr/bin/env python3
"""format.py ROOT: every C file is as .clang-format has it. Exit status 77 (skipped) where clang-format is absent."""
import os
import shutil
import subprocess
import sys

DIRS = ('src', 'tests', 'bench')


def main():
    root = sys.argv[1]
    if not shutil.which('clang-format'):
        print('skipped: clang-format is not installed')
        sys.exit(77)
    files = sorted(os.path.join(folder, name) for top in DIRS for folder, _, names in os.walk(os.path.join(root, top))
                   for name in names if name.endswith(('.c', '.h')))
    if files:
        sys.exit(subprocess.run(['clang-format', '--dry-run', '-Werror', *files], check=False).returncode)


if __name__ == '__main__':
    main()
