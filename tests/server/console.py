"""Runs programs with the server's models, one after the other: starting Django for each would take seconds.

Each line of the input is a program as JSON text. What it leaves in `answer` is printed as a line of JSON: {"answer": …} or {"failed": TRACEBACK}.
"""

import contextlib
import json
import sys
import traceback

import django

django.setup()

from debusine.db.context import context  # noqa: E402

answers = sys.stdout
for line in sys.stdin:
    try:
        names = {}
        with context.disable_permission_checks(), contextlib.redirect_stdout(sys.stderr):
            exec(json.loads(line), names)
        told = json.dumps({"answer": names.get("answer")})
    except Exception:
        told = json.dumps({"failed": traceback.format_exc()})
    print(told, file=answers, flush=True)
