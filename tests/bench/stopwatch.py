"""Run one command and write down what it took: ``python -I -S stopwatch.py RESULT TIMEOUT COMMAND...``

A process of its own, and a small one, for two reasons. The time does not hold the way into the namespace (``nsenter``, ``ip netns exec``). And
the peak of resident memory that Linux tells of a child starts from the peak of the process that it was forked from: from a big parent it is wrong.
"""

import json
import os
import signal
import sys
import time


def main() -> int:
    result, timeout, command = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    began = time.monotonic()
    child = os.posix_spawnp(command[0], command, os.environ)
    late = False

    def give_up(number: int, frame: object) -> None:
        nonlocal late
        late = True
        os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, timeout)
    _, status, usage = os.wait4(child, 0)
    wall = time.monotonic() - began
    with open(result, "w") as file:  # noqa: PTH123 - pathlib would be a third of this process
        told = {"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_kb": usage.ru_maxrss, "late": late}
        json.dump({**told, "status": os.waitstatus_to_exitcode(status)}, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
