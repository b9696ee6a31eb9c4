"""What follows an answer: background tasks within bounds that all requests of a process share."""

from typing import Annotated

from fastapi import BackgroundTasks, Depends
from starlette.requests import Request

from workers.optimized_background_tasks import OptimizedBackgroundTasks


async def _after_answer(request: Request, background: BackgroundTasks) -> OptimizedBackgroundTasks:
    """Tasks that FastAPI runs as one of its own, after it has sent the answer."""
    tasks = OptimizedBackgroundTasks(pool=request.app.state.tasks)
    background.add_task(tasks)
    return tasks


After = Annotated[OptimizedBackgroundTasks, Depends(_after_answer)]
