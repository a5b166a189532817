"""Draws images/running-job.svg from running-job.json: what `orchestrator jobs show` prints of that job.

The JSON is the API's answer about a real job without a model, whose worker was killed and started again.
Run this after a change of what the command prints: `.venv/bin/python docs/picture.py`.
"""

import io
import re
from datetime import timedelta
from pathlib import Path
from typing import Final

from rich.console import Console

from orchestrator.commandline.jobs.picture import Frame, picture
from orchestrator.commandline.run.job_view import FollowedJob

FOLDER: Final = Path(__file__).parent
PICTURE: Final = FOLDER / "images" / "running-job.svg"
COLUMNS: Final = 136
BAR: Final = 24
FONT: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def svg() -> str:
    """The picture; the same job always gives the same one."""
    job = FollowedJob.model_validate_json((FOLDER / "running-job.json").read_text())
    begun = max(attempt.started_at for call in job.steps for attempt in call.attempts if attempt.started_at)
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor", _environ={}
    )
    for line in picture(job, Frame(begun + timedelta(seconds=9), BAR)):
        console.print(line, highlight=False, soft_wrap=True)
    drawn = console.export_svg(title=f"orchestrator jobs show {job.job_id}", unique_id="job")
    return FONT.sub("", drawn)  # The font is the reader's own: a picture fetches nothing.


if __name__ == "__main__":
    PICTURE.write_text(svg())
