#!/usr/bin/env python3
"""The house rules that a compiler does not check.

lint.py ROOT: include directions (layers.txt), header cycles, what core modules may not call, comments at the head of
files, line length. Prints `file:line: what` for each violation; exit status 1 if there are any.
Standard library only.
"""
import fnmatch
import os
import re
import sys

LINE_MAX = 120
SCRIPT_LINE_MAX = 160  # Python of tests and build
SOURCES = ('.c', '.h')
DIRS = ('src', 'tests', 'bench')
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
TEST = re.compile(r'(_test\.c|/test_\w+\.[ch])$')  # a test, or what several tests share
PRIVATE = re.compile(r'(_priv|(^|/)internal)\.h$')


class Rules:
    """layers.txt."""

    def __init__(self, path):
        rows, only = [], {}
        self.core, self.io, self.calls, self.headers = set(), [], [], set()
        with open(path, encoding='utf-8') as f:
            lines = f.read().split('\n')
        for number, line in enumerate(lines, 1):
            word, *rest = line.split('#')[0].split() or ['']
            if word == 'row':
                rows.append(rest)
            elif word == 'only' and rest[1:2] == [':']:
                only[rest[0]] = set(rest[2:])
            elif word == 'core':
                self.core |= set(rest)
            elif word == 'io':
                self.io += rest
            elif word == 'call':
                self.calls += rest
            elif word == 'header':
                self.headers |= set(rest)
            elif word:
                sys.exit(f'{path}:{number}: not understood: {line.strip()}')
        self.may = {}
        for i, row in enumerate(rows):
            below = {layer for later in rows[i + 1:] for layer in later}
            for layer in row:
                self.may[layer] = (below & only[layer] if layer in only else below) | {layer}
        # A member (`x->open(`) is not the function, and neither is the tail of a longer name.
        self.call = re.compile(r'(?<![\w.])(?<!->)(' + '|'.join(self.calls) + r')\s*\(')

    def is_core(self, name):
        """name: below src/."""
        return (name.split('/')[0] in self.core and not TEST.search(name)
                and not any(fnmatch.fnmatch(name, pattern) for pattern in self.io))


def blank(match):
    """Comments and literals become spaces; lines stay where they were."""
    return re.sub(r'[^\n]', ' ', match.group())


class Lint:
    def __init__(self, root):
        self.root = root
        self.rules = Rules(os.path.join(root, 'tests/lint/layers.txt'))
        self.found = []
        self.includes = {}  # header below src/ -> [(line, header below src/)]

    def say(self, name, line, what):
        self.found.append(f'{name}:{line}: {what}')

    def files(self):
        for top in DIRS:
            for folder, subs, names in os.walk(os.path.join(self.root, top)):
                subs[:] = sorted(s for s in subs if not s.startswith(('.', '__')))
                for name in sorted(names):
                    if name.endswith(SOURCES + ('.py', 'meson.build')):
                        yield os.path.relpath(os.path.join(folder, name), self.root)

    def run(self):
        for name in self.files():
            with open(os.path.join(self.root, name), encoding='utf-8') as f:
                text = f.read()
            self.check_lines(name, text)
            self.check_head(name, text)
            if name.endswith(SOURCES):
                self.check_includes(name, text)
                if name.startswith('src/') and self.rules.is_core(name[4:]):
                    self.check_core(name, text)
            elif name.endswith('meson.build'):
                self.check_build(name, text)
        self.check_cycles()
        return self.found

    def check_lines(self, name, text):
        for number, line in enumerate(text.split('\n'), 1):
            if len(line) > (SCRIPT_LINE_MAX if name.endswith('.py') else LINE_MAX):
                self.say(name, number, f'{len(line)} characters; too long')
            if line != line.rstrip():
                self.say(name, number, 'white space at the end of the line')

    def check_head(self, name, text):
        """A header says what it is; a .c file is explained by its header, or else says so itself."""
        if name.endswith('.h'):
            short = name[4:] if name.startswith('src/') else name
            if not text.startswith(f'/* {short} - '):
                self.say(name, 1, f'does not begin with `/* {short} - what it is`')
            self.check_guard(name, short, text)
        elif name.endswith('.c') and not TEST.search(name):
            has_header = os.path.exists(os.path.join(self.root, name[:-2] + '.h'))
            if not has_header and not text.startswith('/*'):
                self.say(name, 1, 'has no header of its name and no comment at its head')
        elif name.endswith('.py') and text.strip() and not re.match(r'(#!.*\n)?("""|#)', text):
            self.say(name, 1, 'has no comment at its head')

    def check_guard(self, name, short, text):
        guard = 'SAMPAN_' + re.sub(r'\W', '_', short).upper()
        if f'#ifndef {guard}\n#define {guard}\n' not in text and '#pragma once' not in text:
            self.say(name, 1, f'has no include guard {guard}')

    def check_includes(self, name, text):
        layer = name.split('/')[1] if name.startswith('src/') and name.count('/') > 1 else None
        for match in INCLUDE.finditer(text):
            kind, target = match.groups()
            line = text.count('\n', 0, match.start(2)) + 1
            if kind != '"':
                continue
            if '/' not in target and name.startswith('src/'):
                self.say(name, line, f'"{target}" is not named from src/ on')
                continue
            if layer:
                self.check_direction(name, line, layer, target)
            if name.startswith('src/') and name.endswith('.h'):
                self.includes.setdefault(name[4:], []).append((line, target))

    def check_direction(self, name, line, layer, target):
        other = target.split('/')[0]
        if layer not in self.rules.may:
            self.say(name, line, f'{layer}/ stands in no row of layers.txt')
        elif other not in self.rules.may[layer]:
            self.say(name, line, f'{layer}/ may not include {other}/')
        elif other != layer and PRIVATE.search(target):
            self.say(name, line, f'{target} is private to {other}/')

    def check_core(self, name, text):
        for match in INCLUDE.finditer(text):
            if match.group(1) == '<' and match.group(2) in self.rules.headers:
                line = text.count('\n', 0, match.start(2)) + 1
                self.say(name, line, f'core modules do not include <{match.group(2)}>')
        code = NOISE.sub(blank, text)
        for match in self.rules.call.finditer(code):
            line = code.count('\n', 0, match.start()) + 1
            self.say(name, line, f'core modules do not call {match.group(1)}()')

    def check_build(self, name, text):
        parts = name.split('/')
        if len(parts) != 3 or parts[0] != 'src' or parts[1] not in self.rules.core:
            return
        for match in re.finditer(r'(\w+\s*=\s*)?\b(static_library|both_libraries)\s*\(', text):
            call = text[match.start():closing(text, match.end())]
            sources = re.findall(r"'([\w/*]+\.c)'", call)
            exempt = '[]' in call if not sources else not any(self.rules.is_core(f'{parts[1]}/{s}') for s in sources)
            if 'banned_args' not in call and not exempt:
                line = text.count('\n', 0, match.start()) + 1
                self.say(name, line, f'{parts[1]}/ is core: compile it with c_args: banned_args')

    def check_cycles(self):
        done, path = set(), []

        def visit(header):
            if header in path:
                cycle = path[path.index(header):] + [header]
                line = next(n for n, target in self.includes[path[-1]] if target == header)
                self.say('src/' + path[-1], line, 'headers include each other: ' + ' > '.join(cycle))
                return
            if header in done:
                return
            path.append(header)
            for _, target in self.includes.get(header, []):
                visit(target)
            path.pop()
            done.add(header)

        for header in sorted(self.includes):
            visit(header)


def closing(text, at):
    """The end of the bracket that was opened just before `at`."""
    depth = 1
    while at < len(text) and depth:
        depth += {'(': 1, ')': -1}.get(text[at], 0)
        at += 1
    return at


def main():
    found = Lint(sys.argv[1]).run()
    for line in found:
        print(line)
    sys.exit(1 if found else 0)


if __name__ == '__main__':
    main()
