"""A hub for a class, on a machine whose users have accounts: ``jupyterhub -f deploy/jupyterhub/campus_config.py``.

It is started as root, lets people in through PAM and runs each student's server as that student. Who is a student
and who a grader is said by two groups of the machine, nbgrader-COURSE and formgrade-COURSE. The formgrader runs as an
account of its own, whose the class is. It listens on this machine only; a web server with a certificate stands before
it.
"""

import grp
import os
import pwd
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from hub import HERE, Hub
from jupyterhub.auth import PAMAuthenticator

c = get_config()  # noqa: F821 (traitlets hands it in)
hub = Hub.from_environment(folder=Path("/srv/course"))
grader = os.environ.get("COURSE_GRADER", "grader")
if os.geteuid() != 0:
    raise SystemExit("This hub starts servers as other users: start it as root, or try the course with make hub.")
missing = [name for name in (hub.students, hub.graders) if name not in {group.gr_name for group in grp.getgrall()}]
if missing or grader not in {user.pw_name for user in pwd.getpwall()}:
    raise SystemExit(
        f"This machine has no group {' and no group '.join(missing)}: groupadd makes one."
        if missing
        else f"This machine has no account {grader}: useradd -r -m {grader} makes it."
    )
hub.make_folders(owner=grader)
hub.folder.chmod(0o755)  # whatever root's umask is


class CampusAuthenticator(PAMAuthenticator):
    """PAM, with those of a user's groups on this machine that mean something to the course."""

    async def authenticate(self, handler: Any, data: dict[str, str]) -> dict[str, Any] | None:
        """The user with this name and password, if there is one."""
        name = await super().authenticate(handler, data)
        if name is None:
            return None
        mine = {grp.getgrgid(number).gr_name for number in os.getgrouplist(name, pwd.getpwnam(name).pw_gid)}
        return {"name": name, "groups": sorted(mine & {hub.students, hub.graders})}


c.JupyterHub.authenticator_class = CampusAuthenticator
c.Authenticator.manage_groups = True
c.LocalAuthenticator.allowed_groups = {hub.students, hub.graders}
c.JupyterHub.spawner_class = "localprocess"
c.Spawner.notebook_dir = "~"
hub.configure(c, settings_of_grader=[HERE / "servers" / "grader"], account=grader)
