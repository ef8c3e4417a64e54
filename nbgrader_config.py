"""nbgrader's settings for this course, for `course`, `nbgrader` and the formgrader alike.

A class lives in `class/`, or in the folder that the environment variable COURSE_CLASS names: its
submissions, autograded notebooks, feedback, results and gradebook. Start `nbgrader` and `jupyter lab`
from the folder that holds this file.
"""

import os
from pathlib import Path

from course_lib.grading.programs import put_on_path

put_on_path()
c = get_config()  # noqa: F821 (traitlets hands it in)

repository = Path(__file__).resolve().parent
classroom = Path(os.environ.get("COURSE_CLASS") or repository / "class").resolve()
classroom.mkdir(parents=True, exist_ok=True)

c.CourseDirectory.root = str(classroom)
c.CourseDirectory.source_directory = os.path.relpath(repository / "build" / "source", classroom)
c.CourseDirectory.release_directory = os.path.relpath(repository / "exercises", classroom)

# The gradebook is gradebook.db in the class's folder, or the database that COURSE_DB_URL names, such as
# postgresql+psycopg://grader@db.example.org/course.
if os.environ.get("COURSE_DB_URL"):
    c.CourseDirectory.db_url = os.environ["COURSE_DB_URL"]

# On a hub, students fetch and hand in through nbgrader's exchange, where the course has a name.
if os.environ.get("COURSE_EXCHANGE"):
    c.Exchange.root = os.environ["COURSE_EXCHANGE"]
    c.CourseDirectory.course_id = os.environ["COURSE_ID"]
c.ExchangeFactory.release_assignment = "course_lib.grading.exchange.Release"
c.ExchangeFactory.collect = "course_lib.grading.exchange.Collect"

# What a student finds where the answer goes.
c.ClearSolutions.code_stub = {"python": 'raise NotImplementedError("write your answer here")'}
c.ClearSolutions.text_stub = "Write your answer here."

# Submissions are read by the course's own reader, which survives any file and gives back the released
# notebook with the student's answers in it, so that nothing has to be sanitized. Scores come from the
# course's results; no notebook is executed.
c.Autograde.exporter_class = "course_lib.grading.nbgrader_plugin.SubmissionExporter"
c.Autograde.sanitize_preprocessors = []
c.Autograde.autograde_preprocessors = [
    "course_lib.grading.nbgrader_plugin.CommitResults",
    "course_lib.grading.nbgrader_plugin.SaveGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
]

# What lateness costs: "none", or "zero", with which a submission after the date of `course due` earns nothing.
c.LateSubmissionPlugin.penalty_method = "none"

# Feedback pages ask nothing of any other host.
c.GenerateFeedback.preprocessors = ["course_lib.grading.feedback.Grades"]
c.GenerateFeedback.exporter_class = "course_lib.grading.feedback.FeedbackExporter"

# Names with commas, quotes or a leading "=" stay names.
c.ExportApp.plugin_class = "course_lib.grading.export.CsvExport"
