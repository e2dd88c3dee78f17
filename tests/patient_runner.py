"""A runner that lets its agent, and whatever runs for that, take the time a busy machine takes to end by themselves.

For tests of what somebody still says or does when he is called off. Who is deaf would keep it waiting for a minute.
"""

from __future__ import annotations

import sys

SECONDS = 60
_CODE = f"""
from outlast.agents import acp, child, command, desk, runner, terminal
acp.CANCEL_GRACE = command.CANCEL_GRACE = child.EOF_SECONDS = child.LEAVE_SECONDS = child.TERM_SECONDS = {SECONDS}
desk.QUIET_SECONDS = runner.STUCK_SECONDS = {SECONDS}
terminal.GONE_SECONDS = {SECONDS + 30}
assert "warden.main()" in terminal._BOOT
terminal._BOOT = terminal._BOOT.replace("warden.main()", "warden.GRACE_SECONDS = {SECONDS}; warden.main()")
runner.main()
"""
PATIENT = [sys.executable, "-P", "-c", _CODE]
