"""nbgrader's settings for the servers of students: where the exchange is, and who they are there."""

import os

c = get_config()  # noqa: F821 (traitlets hands it in)

c.Exchange.root = os.environ["COURSE_EXCHANGE"]
c.CourseDirectory.course_id = os.environ["COURSE_ID"]
c.CourseDirectory.student_id = os.environ["JUPYTERHUB_USER"]

# A course is there for whoever the hub has in the group nbgrader-COURSE or formgrade-COURSE, and for nobody else.
c.Authenticator.plugin_class = "nbgrader.auth.JupyterHubAuthPlugin"
