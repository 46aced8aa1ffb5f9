#!/usr/bin/env python3
"""Every rule of lint.py finds what it is there for, and nothing in a clean tree."""
import os
import shutil
import sys
import tempfile
import unittest

from lint import Lint

HERE = os.path.dirname(os.path.abspath(__file__))


def header(name, body=''):
    guard = 'SAMPAN_' + name.replace('/', '_').replace('.', '_').upper()
    return f'/* {name} - a header. */\n#ifndef {guard}\n#define {guard}\n{body}\n#endif\n'


CASES = [
    # what, files below src/, what is said (None: nothing)
    ('downward', {'doc/a.h': header('doc/a.h', '#include "base/b.h"')}, None),
    ('own layer', {'doc/a.h': header('doc/a.h', '#include "doc/sub/b_priv.h"')}, None),
    ('upward', {'base/a.h': header('base/a.h', '#include "doc/b.h"')}, 'base/ may not include doc/'),
    ('sideways', {'gate/a.c': '/* x */\n#include "sched/b.h"\n'}, 'gate/ may not include sched/'),
    ('the agent is a client', {'node/a.c': '/* x */\n#include "store/b.h"\n'}, 'node/ may not include store/'),
    ('the agent speaks HTTP', {'node/x/a.c': '/* x */\n#include "http/b.h"\n'}, None),
    ('unknown layer', {'misc/a.c': '/* x */\n#include "base/b.h"\n'}, 'stands in no row'),
    ('private', {'write/a.c': '/* x */\n#include "store/b_priv.h"\n'}, 'private to store/'),
    ('not from src', {'doc/a.c': '/* x */\n#include "b.h"\n'}, 'not named from src/'),
    ('cycle', {'doc/a.h': header('doc/a.h', '#include "doc/b.h"'), 'doc/b.h': header('doc/b.h', '#include "doc/a.h"')},
     'headers include each other: doc/a.h > doc/b.h > doc/a.h'),
    ('head of a header', {'doc/a.h': header('doc/a.h').replace(' - a', ': a')}, 'does not begin with'),
    ('guard', {'doc/a.h': '/* doc/a.h - a. */\n'}, 'no include guard SAMPAN_DOC_A_H'),
    ('head of a source', {'doc/a.c': 'int a;\n'}, 'no comment at its head'),
    ('explained by its header', {'doc/a.c': '#include "doc/a.h"\n', 'doc/a.h': header('doc/a.h')}, None),
    ('test needs none', {'doc/a_test.c': 'int a;\n'}, None),
    ('long line', {'doc/a.c': '/* ' + 'x' * 120 + ' */\n'}, '126 characters'),
    ('trailing space', {'doc/a.c': '/* x */ \n'}, 'white space at the end'),
    ('time in core', {'sched/a.c': '/* x */\nint f(void) { return time(0); }\n'}, 'do not call time()'),
    ('thread in core', {'sched/a.c': '/* x */\nint f(void) { return pthread_self(); }\n'},
     'do not call pthread_self()'),
    ('random in core', {'sched/a.c': '/* x */\nint f(void) { return srand (1); }\n'}, 'do not call srand()'),
    ('header in core', {'sched/a.c': '/* x */\n#include <sys/socket.h>\n'}, 'do not include <sys/socket.h>'),
    ('words, members, longer names', {'sched/a.c': '/* time(0) */\nint f(void) { x->open(1); y.poll(); my_time(); '
                                      'return g("time(0)"); }\n'}, None),
    ('tests may', {'sched/a_test.c': 'int f(void) { return time(0); }\n'}, None),
    ('I/O files may', {'store/sqlite_log.c': '/* x */\nint f(void) { return open(0); }\n'}, None),
    ('I/O layers may', {'http/a.c': '/* x */\nint f(void) { return socket(0); }\n'}, None),
    ('banned_args', {'sched/meson.build': "layer_sched = static_library('sched', 'a.c')\n"}, 'c_args: banned_args'),
    ('with banned_args', {'sched/meson.build': "layer_sched = static_library('sched', 'a.c', c_args: banned_args)\n"},
     None),
    ('sources elsewhere', {'sched/meson.build': "layer_sched = static_library('sched', sources)\n"}, 'banned_args'),
    ('a library of I/O files', {'store/meson.build': "s = static_library('store', ['sqlite.c', 'sqlite2.c'])\n"}, None),
    ('a mixed library', {'store/meson.build': "s = static_library('store', ['sqlite.c', 'obj.c'])\n"}, 'banned_args'),
    ('a library of libraries', {'store/meson.build': "s = static_library('store', [], link_whole: core)\n"}, None),
]


class LintTest(unittest.TestCase):
    def run_on(self, files):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, 'tests/lint'))
            shutil.copy(os.path.join(HERE, 'layers.txt'), os.path.join(root, 'tests/lint'))
            for name, text in files.items():
                path = os.path.join(root, 'src', name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, 'w', encoding='utf-8') as f:
                    f.write(text)
            return Lint(root).run()

    def test_cases(self):
        for what, files, want in CASES:
            with self.subTest(what):
                found = self.run_on(files)
                if want is None:
                    self.assertEqual(found, [])
                else:
                    self.assertEqual(len(found), 1, found)
                    self.assertIn(want, found[0])


if __name__ == '__main__':
    sys.dont_write_bytecode = True
    unittest.main()
