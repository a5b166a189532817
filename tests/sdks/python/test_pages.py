"""The code of the Python libraries' READMEs and of the page in `docs` runs as it stands."""

from collections.abc import Awaitable, Callable

import pytest

from tests.sdks.programs import code_blocks, run_python
from tests.sdks.runners import ROOT, SDKS

PAGES = [*sorted((SDKS / "python").glob("*/README.md")), ROOT / "docs" / "python.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
async def test_the_code_of_a_page_runs(page, server: str, new_key: Callable[..., Awaitable[str]]) -> None:
    blocks = code_blocks(page, "python")
    assert blocks
    key = await new_key()
    environment = {
        **{f"{product}_API_KEY": key for product in ("DEVORA", "AI_ORCHESTRA", "DEVSKYY")},
        **dict.fromkeys(("DEVORA_BASE_URL", "AI_ORCHESTRA_BASE_URL", "DEVSKYY_API_URL"), server),
    }
    ended = await run_python("\n".join(blocks), **environment)
    assert ended.code == 0, ended.err
