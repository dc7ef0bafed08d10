"""Takes datum after datum in one process (datum.batch: true), in a few lines.

    import dvx_batch

    model = load()            # once

    def work(datum):          # datum.inp and datum.out are folders
        ...                   # an exception fails this datum, and only this

    dvx_batch.run(work)
"""

import json
import os
import sys
import traceback
import types


def run(work):
    """Calls work(datum) for each datum. What it raises fails that datum."""
    with os.fdopen(3) as lines, os.fdopen(4, "w") as answers:
        for line in lines:
            offer = json.loads(line)
            os.environ.update(DVX_IN=offer["in"], DVX_OUT=offer["out"], DVX_DATUM_ID=offer["datum"], DVX_ATTEMPT_KEY=offer["attempt"])
            answer = {"n": offer["n"]}
            try:
                work(types.SimpleNamespace(inp=offer["in"], out=offer["out"], id=offer["datum"], urls=offer["urls"]))
            except Exception as e:
                traceback.print_exc()
                answer["error"] = f"{type(e).__name__}: {e}"
            sys.stdout.flush()  # or it would be in the log of the next datum
            sys.stderr.flush()
            print(json.dumps(answer), file=answers, flush=True)
