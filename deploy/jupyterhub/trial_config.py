"""A hub to try the course with, on this machine and for nobody else: ``make hub``.

All of its servers run as whoever starts it, so its users are not kept apart: each of them can read every file
that you can. It listens on this machine only. For a class, there is ``campus_config.py``.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from accounts import AccountsError, TrialAuthenticator, prepare
from hub import HERE, ROOT, Hub, runs_as_root

c = get_config()  # noqa: F821 (traitlets hands it in)
hub = Hub.from_environment(folder=ROOT / "hub")
hub.make_folders()
hub.folder.chmod(0o700)
home = hub.folder / "home"
(home / "formgrader").mkdir(parents=True, exist_ok=True)

table = hub.folder / "accounts.csv"
try:
    accounts = prepare(table)
except AccountsError as error:
    raise SystemExit(str(error)) from error

c.JupyterHub.authenticator_class = TrialAuthenticator
c.TrialAuthenticator.table = str(table)
c.TrialAuthenticator.groups = {"student": hub.students, "grader": hub.graders}
c.Authenticator.manage_groups = True
c.Authenticator.allow_all = True  # of those whom the table names
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(home / "{username}")
if runs_as_root(""):
    c.Spawner.args = ["--allow-root"]
c.JupyterHub.template_vars = {
    "announcement": "This hub is a trial: its users are not kept apart, and each can read the others' files."
}
hub.configure(
    c,
    settings_of_grader=[HERE / "servers" / "trial", HERE / "servers" / "grader"],
    home=home / "formgrader",
)

print(f"http://127.0.0.1:{hub.port} is there in some seconds. Accounts (in {table}):")
for account in accounts:
    print(f"  {account.role:8} {account.name:12} {account.password}")
print("This is a trial: users are not kept apart, and whoever logs in can read your files. Ctrl+C ends it.", flush=True)
