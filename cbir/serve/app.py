"""The application: routes, and what stands before them."""

from __future__ import annotations

from fastapi import FastAPI

from cbir._version import __version__
from cbir.serve.guard import Guard
from cbir.serve.limits import Limits
from cbir.serve.metrics import Requests
from cbir.serve.problems import add_handlers
from cbir.serve.routes import (
    basket,
    duplicates,
    explain,
    health,
    indexes,
    maps,
    notions,
    page,
    people,
    people_page,
    pictures,
    search,
    segments,
    why_page,
    words,
)
from cbir.serve.service import Service
from cbir.serve.settings import Settings
from cbir.serve.turns import Turns, heavy_turns

#: The routes below `/api/v1`.
ROUTES = (health, indexes, search, pictures, words, duplicates, maps, segments, explain, basket, notions, people)


def make_app(service: Service, settings: Settings | None = None) -> FastAPI:
    """Return the application that serves some indexes."""
    settings = settings or Settings()
    app = FastAPI(title="cbir", version=__version__, docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json")
    app.state.service, app.state.settings = service, settings
    app.state.heavy = heavy_turns(settings)
    for module in ROUTES:
        app.include_router(module.router, prefix="/api/v1")
    app.include_router(page.router)
    app.include_router(people_page.router)
    app.include_router(why_page.router)
    add_handlers(app)
    turns = app.state.turns = Turns(settings)
    app.add_middleware(Limits, turns=turns)
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Requests)
    return app
