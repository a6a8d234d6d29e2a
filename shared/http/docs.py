"""/openapi.json and /docs; the page's script and style come from an installed package."""

import asyncio
from importlib.resources import files

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html

from shared.contracts.problems import not_found
from shared.http.openapi import describe
from shared.http.replies import json_reply

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}


def install(app: FastAPI) -> None:
    """Serve the description and a page to read and try it. Open without a token."""
    app.openapi = lambda: describe(app)

    encoded: list[bytes] = []

    async def openapi(request: Request) -> Response:
        if not encoded:  # beside the calls: it takes a while the first time
            encoded.append(await asyncio.to_thread(lambda: msgspec.json.encode(app.openapi())))
        return json_reply(encoded[0])

    async def page(request: Request) -> Response:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=app.title,
            swagger_js_url="/docs/assets/swagger-ui-bundle.js",
            swagger_css_url="/docs/assets/swagger-ui.css",
            swagger_favicon_url="/docs/assets/favicon.png",
        )

    async def asset(request: Request) -> Response:
        name: str = request.path_params["name"]
        if name not in _ASSETS:
            raise not_found("asset", name)
        content = (files("fastapi_offline") / "static" / name).read_bytes()
        return Response(
            content, media_type=_ASSETS[name], headers={"Cache-Control": "max-age=86400"}
        )

    app.add_route("/openapi.json", openapi, include_in_schema=False)
    app.add_route("/docs", page, include_in_schema=False)
    app.add_route("/docs/assets/{name}", asset, include_in_schema=False)
