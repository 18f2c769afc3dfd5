"""Programs that tests start and coverage need not follow."""

import os


def unmeasured():
    """Return this environment for a program that coverage is not to follow.

    Following costs a third of its time: spent for nothing where it is none of ours, where others
    have run the same lines, or where it is killed and has nothing to say.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
